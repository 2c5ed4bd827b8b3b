"""An `event_id` that does not tell events apart is an error, because the splits do not get their shares."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from cyclotrain.config import load
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import read_json
from cyclotrain.data.assemble import assemble
from cyclotrain.data.hash_split import HashSplit
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.ingest.totals import ExamplesPerEntry
from support.toys import jets, raw_config, write_tree


def files(folder: Path, n: int = 600, **signal: Any) -> dict[str, str]:
    """Toy jets, the signal with other branches."""
    return {
        "background": write_tree(folder / "b.root", jets(n, 1)),
        "signal": write_tree(folder / "s.root", jets(n, 2, is_signal=True) | signal),
    }


def test_few_values_are_named_with_the_sample_the_shares_and_the_way_out(ingest: Any, tmp_path: Path) -> None:
    paths = files(tmp_path, luminosityBlock=np.arange(600, dtype=np.uint32) % 5, event=np.ones(600, np.uint64))
    with pytest.raises(InputError) as error:
        ingest(raw_config(paths))
    message = str(error.value)
    assert message.startswith(
        "samples.signal: `event_id: [run, luminosityBlock, event]` does not tell events apart: it takes 5 different values in "
        "600 selected events. Its splits get train "
    )
    assert "but should get train 60.0 %, validation 10.0 %, test 30.0 %. Add branches" in message
    assert "write `event_id: entry`" in message
    ingest(raw_config(paths, event_id="entry"))


def test_a_single_value_is_not_told_as_too_few_events(ingest: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it takes 1 different value in 600 selected events\. Its splits get"):
        ingest(raw_config(files(tmp_path), event_id=["run"]))


def test_a_class_without_events_in_a_split_is_told_that_few_values_are_the_reason(ingest: Any, tmp_path: Path) -> None:
    """With so few events, the shares alone might be chance."""
    with pytest.raises(InputError, match=r"classes: '.*' has no events in .* split: samples.*it takes 1 different value in 8 "):
        ingest(raw_config(files(tmp_path, 8), event_id=["run"]))
    with pytest.raises(InputError, match=r"classes: '.*' has no events in the .* split; add events, or give this split a"):
        ingest(raw_config(files(tmp_path, 3, event=np.arange(3, dtype=np.uint64))))


def test_two_samples_may_have_the_same_event_numbers(ingest: Any, tmp_path: Path) -> None:
    same = {name: jets(600, 1)[name] for name in ("run", "luminosityBlock", "event")}
    ingest(raw_config(files(tmp_path, **same)))


def test_a_split_that_the_config_gives_is_not_compared(ingest: Any, tmp_path: Path) -> None:
    raw = raw_config(files(tmp_path), event_id=["run"])
    for sample in raw["samples"].values():
        sample["split"] = "(event % 10 > 6) + (event % 10 > 7)"
    ingest(raw)


def assemble_fold(raw: dict[str, Any], folder: Path) -> None:
    """The second of three folds, from the skims of both samples."""
    recipe = DatasetRecipe.from_config(load({**raw, "folds": 3}), fold=1)
    receipts, shards = ([str(folder / f"{name}.{kind}") for name in raw["samples"]] for kind in ("json", "arrow"))
    assemble(recipe, receipts=receipts, shards=shards, contract=folder / "fold.json", dataset=folder / "fold-dataset.json")


def test_folds_are_compared_with_their_own_shares(ingest: Any, tmp_path: Path) -> None:
    raw = raw_config(files(tmp_path), split={"train": 0.1, "validation": 0.1, "test": 0.8})
    ingest(raw)
    assemble_fold(raw, tmp_path)
    raw = raw_config(files(tmp_path), event_id=["run"])
    with pytest.raises(InputError):
        ingest(raw)
    with pytest.raises(InputError, match=r"but should get train 57.1 %, validation 9.5 %, test 33.3 %"):
        assemble_fold(raw, tmp_path)


def jets_of_events(n: int, seed: int, is_same_event: bool) -> dict[str, Any]:
    """Events of 40 jets each."""
    pt = np.random.default_rng(seed).uniform(20, 90, (n, 40)).astype(np.float32)
    event = np.zeros(n, np.int64) if is_same_event else np.arange(n) + 1000 * seed
    return {"event": event, "Jet_pt": ak.from_regular(ak.Array(pt))}


def objects(folder: Path, is_same_event: bool = False) -> dict[str, Any]:
    paths = {}
    for seed, name in enumerate(("background", "signal")):
        paths[name] = write_tree(folder / f"{name}.root", jets_of_events(60, seed, is_same_event))
    return raw_config(
        paths, object="Jet", event_id=["event"], inputs={"jet": {"features": ["Jet_pt"]}}, weight="1", model={"name": "mlp"},
        selection="Jet_pt > 40",
    )  # fmt: skip


def test_objects_count_by_their_events_because_they_are_split_together(ingest: Any, tmp_path: Path) -> None:
    ingest(objects(tmp_path))
    receipt = read_json(tmp_path / "signal.json")
    assert receipt["events_kept"] > 1000
    per_entry = ExamplesPerEntry(**receipt["examples_per_entry"])
    kept = (ak.to_numpy(jets_of_events(60, 1, False)["Jet_pt"]) > 40).sum(axis=1)
    assert per_entry == ExamplesPerEntry(60, int(kept.max()), int((kept**2).sum()))
    with pytest.raises(InputError, match=r"`event_id: .event.` does not tell events apart: it takes 1 different value in 60 sel"):
        ingest(objects(tmp_path, is_same_event=True))


@pytest.mark.parametrize(
    ("share_found", "n", "most", "is_error"),
    [
        (0.304, 10**8, 1, False),  # no chance, but harmless
        (0.307, 10**8, 1, True),
        (0.340, 1000, 1, False),  # chance
        (0.420, 1000, 1, True),
        (0.420, 1000, 20, False),  # chance, as all objects of an event are in one split
    ],
)
def test_a_share_is_wrong_if_it_is_neither_chance_nor_harmless(share_found: float, n: int, most: int, is_error: bool) -> None:
    test = round(share_found * n)
    examples = {"train": n - n // 10 - test, "validation": n // 10, "test": test}
    per_entry = ExamplesPerEntry(n // most, most, n * most)
    split = HashSplit("s", ["event"], examples, {"train": 0.6, "validation": 0.1, "test": 0.3}, per_entry, [])
    if is_error:
        with pytest.raises(InputError, match=r"Its splits get train .* %, test .* %, but should get"):
            split.check_shares()
    else:
        split.check_shares()
