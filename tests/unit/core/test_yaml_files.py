from pathlib import Path

import pytest

from cyclotrain.core.errors import InputError
from cyclotrain.core.yaml_files import read_yaml, require_distinct_keys


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("weight: w\nrun: a\n\nweight: v\n", "weight", (1, 4)),
        ("samples:\n  # signal\n  top: {files: [a.root]}\n  'top':\n    files: [b.root]\n", "samples.top", (3, 4)),
        ("list:\n  - a: 1\n  - {b: 1, c: 2, b: 3}\n", "list.1.b", (3, 3)),
        ('{\n\t"inputs": {\n\t\t"jet": 1,\n\t\t"jet": 2\n\t}\n}\n', "inputs.jet", (3, 4)),
        ("base: &base\n  clip: 1\n  clip: 2\nother: *base\n", "base.clip", (2, 3)),
    ],
)
def test_a_key_that_is_given_twice_is_named_with_both_lines(text: str, key: str, lines: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"config.yaml: keys are given twice: '{key}' in lines {lines[0]} and {lines[1]}\."):
        require_distinct_keys(path)


def test_anchors_and_merge_keys_are_no_repetition(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "common: &common {tree: Jets, label: a}\nmore: &more {clip: 5}\n"
        "samples:\n  x: {<<: *common, label: b}\n  y: {<<: *common, <<: *more}\nagain: [*common, *common]\n"
    )
    read = read_yaml(path)
    assert read["samples"] == {"x": {"tree": "Jets", "label": "b"}, "y": {"tree": "Jets", "label": "a", "clip": 5}}
    assert read["again"] == [read["common"]] * 2
