import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.config import ConfigError, load
from cyclotrain.ingest.sources import Sources, resolve_files, resolve_scored, skim_jobs
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


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the home folder and $DATA are, with files as shells and production systems leave them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SCRATCH", raising=False)
    for name in (
        "home/a.root", "data/2017/a.root", "data/2018/a.root", "data/2018/b.root", "empty/readme", "logs/a.root", "logs/log/x",
        "odd/run[1].root", "odd/x{1,2}.root", "odd/$DATA.root", "odd/~.root",
    ):  # fmt: skip
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("~/a.root", "'~', variables and braces are not expanded; write 'HERE/home/a.root'"),
        ("~/*.root", "write 'HERE/home/*.root'"),
        (
            "~/files.txt",
            "no list of files '~/files.txt' (searched from HERE); '~', variables and braces are not expanded; write 'HERE/home",
        ),
        ("${DATA}/2018/c.root", "write 'HERE/data/2018/c.root'"),
        ("$DATA/201{7,8}/{a,b}.root", "write 'HERE/data/2017/a.root', 'HERE/data/2017/b.root', 'HERE/data/2018/a.root', 'HERE"),
        ("$SCRATCH/a.root", "'$SCRATCH' is not expanded, and no such variable is set; write the path itself"),
        ("data/{2016..2018}/a.root", "braces are not expanded; write a path for each, or a pattern with *, ? or [0-9]"),
        ("data/2018", "'data/2018' is a folder; write 'data/2018/*.root', which matches 2 files"),
        ("data", "'data' is a folder; write 'data/*/*.root', which matches 3 files"),
        ("empty/", "'empty/' is a folder without ROOT files"),
        ("logs/*", "'logs/*' matches 'logs/log', which is a folder; end the pattern with '*.root'"),
        ("data/2018/aa.root", "no file 'data/2018/aa.root' (searched from HERE); did you mean 'a.root'?"),
    ],
)
@pytest.mark.parametrize("where", ["samples", "score", "friends", "list"])
def test_what_a_shell_would_expand_is_told(entry: str, hint: str, where: str, places: Path) -> None:
    raw = raw_config({"background": "home/a.root", "signal": "data/2017/a.root"})
    if where == "list" and not entry.endswith(".txt"):
        Path("list.txt").write_text(f"home/a.root\n{entry}\n")
    files = ["list.txt"] if Path("list.txt").exists() else [entry]
    if where == "score":
        raw["score"] = {"data": {"files": files}}
    elif where == "friends":
        raw["samples"]["signal"]["friends"] = {"more": {"files": files}}
    else:
        raw["samples"]["signal"]["files"] = files
    key = {"score": "score.data.files.0", "friends": "samples.signal.friends.more.files.0"}.get(where, "samples.signal.files.0")
    with pytest.raises(ConfigError) as error:
        Sources.from_config(load(raw))
    assert str(error.value).startswith(f"{key}: ")
    assert hint.replace("HERE", str(places)) in str(error.value)


@pytest.mark.parametrize("path", ["odd/run[1].root", "odd/x{1,2}.root", "odd/$DATA.root", "odd/~.root"])
def test_a_file_whose_name_a_shell_would_expand_is_found(path: str, places: Path) -> None:
    assert resolved([path]) == [path]


def names(files: list[str]) -> list[str]:
    raw = raw_config({"background": "home/a.root", "signal": "data/2017/a.root"}, score={"more": {"files": files}})
    trees = Sources.from_config(load(raw)).friend_trees["more"]
    assert list(trees.values()) == resolve_scored(load(raw))["more"]
    return list(trees)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["data/2018/*.root"], ["a.root", "b.root"]),
        (["data/2018/b.root", "data/2018/a.root"], ["b.root", "a.root"]),
        (["data/*/a.root"], ["2017/a.root", "2018/a.root"]),
        (["data/2017/*.root", "data/2018/*.root"], ["2017/a.root", "2018/a.root", "2018/b.root"]),
        (["data/**/*.root", "home/a.root"], ["data/2017/a.root", "data/2018/a.root", "data/2018/b.root", "home/a.root"]),
        (["odd/run[1].root"], ["run[1].root"]),
        (["root://host//store/x/0/t.root", "root://host//store/x/1/t.root"], ["0/t.root", "1/t.root"]),
        (["root://one//store/x.root", "https://two:443/store/x.root?a=1"], ["one/store/x.root", "two:443/store/x.root"]),
    ],
)  # fmt: skip
def test_friend_trees_of_files_with_one_name_stay_apart(files: list[str], expected: list[str], places: Path) -> None:
    assert names(files) == expected


def test_urls_that_differ_in_the_query_have_a_hash_in_the_name(places: Path) -> None:
    first, second, third = names(["https://host/x.root?run=1", "https://host/x.root?run=2", "https://host/y.root?run=3"])
    assert re.fullmatch(r"x-[0-9a-f]{8}\.root", first) and re.fullmatch(r"x-[0-9a-f]{8}\.root", second) and first != second
    assert third == "y.root"


def test_files_of_a_list_have_the_names_that_they_have_in_the_config(places: Path) -> None:
    Path("list.txt").write_text(f"{places}/data/2017/a.root\ndata/2018/*.root\n")
    assert names(["list.txt"]) == ["2017/a.root", "2018/a.root", "2018/b.root"]


def test_a_new_file_does_not_rename_the_friend_trees_of_others(places: Path) -> None:
    before = names(["data/*/*.root"])
    for name in ("data/2016/a.root", "data/2018/0.root", "data/2017/b.root"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    after = names(["data/*/*.root"])
    assert set(after) == {*before, "2016/a.root", "2018/0.root", "2017/b.root"}
