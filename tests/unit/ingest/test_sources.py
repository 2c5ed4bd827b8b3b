from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.config import ConfigError, load
from cyclotrain.ingest.sources import resolve_files, skim_jobs
from support.toys import raw_config


def resolved(entries: Sequence[str]) -> list[str]:
    raw = raw_config({"background": "", "signal": ""})
    for sample in raw["samples"].values():
        sample["files"] = list(entries)
    return resolve_files(load(raw))["signal"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.root", "b.root", "c.root"):
        Path(name).write_bytes(bytes(1000))
    return tmp_path


def test_a_list_names_files_globs_and_urls(folder: Path) -> None:
    Path("list.txt").write_text("# ttbar, 2018\nroot://host//store/x.root\n\n[bc].root   # the rest\nhttps://host/y.root?key=1\n")
    assert resolved(["a.root", "list.txt"]) == [
        "a.root", "root://host//store/x.root", "b.root", "c.root", "https://host/y.root?key=1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["lost.txt"], "samples.background.files.0: no list of files 'lost.txt'"),
        (["empty.txt"], "the list 'empty.txt' is empty"),
        (["wrong.txt"], "samples.background.files.0: 'wrong.txt', line 2: no file 'd.root'"),
        (["nested.txt"], "'nested.txt', line 1: a list inside a list"),
        (["a.root", "twice.txt"], "a.root' is named twice"),
        (["s3://bucket/a.root"], "'s3://bucket/a.root' is of an unknown kind; give root://, https://, http:// or a local path"),
        (["root://host//store/*.root"], "wildcards do not work in URLs; list the files in a .txt file"),
    ],
)
def test_a_file_that_is_missing_is_named_with_its_line(folder: Path, entries: list[str], message: str) -> None:
    for name, text in {
        "empty.txt": "# nothing\n", "wrong.txt": "a.root\nd.root\n", "nested.txt": "empty.txt\n", "twice.txt": "./a.root\n",
    }.items():  # fmt: skip
        Path(name).write_text(text)
    with pytest.raises(ConfigError) as error:
        resolved(entries)
    assert message in str(error.value)


def make(folder: Path, sizes: Sequence[int]) -> list[str]:
    paths = [str(folder / f"{i:05d}.root") for i in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        with Path(path).open("wb") as file:
            file.truncate(size)
    return paths


@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=60))
def test_every_file_is_in_one_job(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    files = make(tmp_path_factory.mktemp("files"), sizes)
    jobs = skim_jobs(files, job_size=0.002)
    assert sorted(path for job in jobs.values() for path in job) == files
    assert all(len(job) == 1 for job in jobs.values() if any(Path(path).stat().st_size >= 1_000_000 for path in job))
    small = sum(size for size in sizes if size < 1_000_000)
    assert sum("-of-" in name for name in jobs) <= 2 * small / 2_000_000 + 1


def test_a_new_file_leaves_all_jobs_but_its_own(tmp_path: Path) -> None:
    files = make(tmp_path, [10_000] * 300)
    before = skim_jobs(files[:150] + files[151:], job_size=0.0001)
    after = skim_jobs(files, job_size=0.0001)
    assert len(before) > 25
    changed = [name for name in after if after[name] != before.get(name)]
    assert changed == [next(name for name, job in after.items() if files[150] in job)]
