"""Find the ntuples: turn paths, globs, lists and URLs of the configuration into the files of each sample and each skim job."""

import difflib
import hashlib
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from cyclotrain.config import Config, ConfigError
from cyclotrain.core.files import json_sha256, read_json, write_json

_LIST, _ROOT = ".txt", ".root"
_HTTP, _XROOTD = ("http://", "https://"), "root://"


def is_remote(path: str) -> bool:
    """Whether the path is a URL, read over the network."""
    return "://" in path


@dataclass(frozen=True)
class Sources:
    """The files of samples and of `score` by name, the friends of each file, the files of each skim job by sample, and each file
    of samples and of `score` by the name of the friend tree that `score` writes.
    """

    samples: dict[str, list[str]]
    scored: dict[str, list[str]]
    friends: dict[str, dict[str, list[str]]]
    jobs: dict[str, dict[str, list[str]]]
    friend_trees: dict[str, dict[str, str]]

    @classmethod
    def from_config(cls, config: Config) -> "Sources":
        """Find all files; raises ConfigError as `resolve_files` does."""
        samples, scored = resolve_files(config), resolve_scored(config)
        friends = resolve_friends(config, {**samples, **scored})
        jobs = {name: skim_jobs(files, config.job_size) for name, files in samples.items()}
        patterns = {name: (f"samples.{name}.files", config.samples[name].files) for name in samples}
        patterns |= {name: (f"score.{name}.files", config.score[name].files) for name in scored}
        trees = {name: friend_trees(patterns[name][1], files, patterns[name][0]) for name, files in {**samples, **scored}.items()}
        return cls(samples, scored, friends, jobs, trees)

    def save(self, config: Config, folder: Path) -> None:
        """Store them for the jobs of this configuration, which may run where they cannot see the files."""
        write_json(_stored(config, folder), asdict(self))

    @classmethod
    def load(cls, config: Config, folder: Path) -> "Sources":
        """Read what `save` stored."""
        return cls(**read_json(_stored(config, folder)))

    def check_transferable(self) -> None:
        """Raise ConfigError for local files outside this folder: without a shared file system, jobs get only its files."""
        for key, files_by_name in (("samples", self.samples), ("score", self.scored)):
            for name, files in files_by_name.items():
                for path in [*files, *(friend for friends in self.friends[name].values() for friend in friends)]:
                    if not is_remote(path) and (Path(path).is_absolute() or ".." in Path(path).parts):
                        raise ConfigError(
                            f"{key}.{name}: the workers cannot see '{path}', because they share no file system with this "
                            f"machine; give a URL (root://, https://), or a path inside {Path.cwd()}, which is transferred"
                        )


def _stored(config: Config, folder: Path) -> Path:
    return folder / f"{json_sha256(config.model_dump(mode='json'))[:16]}.json"


def resolve_files(config: Config) -> dict[str, list[str]]:
    """The files of each sample that is not simulated: reads lists, expands and sorts globs.

    Raises ConfigError for a missing file, and for a file that is named twice, whose events would count twice.
    """
    given = {name: sample.files for name, sample in config.samples.items() if not sample.simulate}
    return {name: _expand_all(files, f"samples.{name}.files") for name, files in given.items()}


def resolve_scored(config: Config) -> dict[str, list[str]]:
    """The files of `score` by its names; raises ConfigError as `resolve_files` does."""
    return {name: _expand_all(scored.files, f"score.{name}.files") for name, scored in config.score.items()}


def resolve_friends(config: Config, files: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
    """For samples and names of `score`, the friends of each of their `files`, in the order of the config.

    Raises ConfigError as `resolve_files` does, and unless there is one friend per file or, with `by`, one for all files.
    """
    given = [(f"samples.{name}", name, sample.friends) for name, sample in config.samples.items()]
    given += [(f"score.{name}", name, scored.friends) for name, scored in config.score.items()]
    by_name: dict[str, dict[str, list[str]]] = {}
    for key, name, friends in given:
        columns = []
        for friend, settings in friends.items():
            paths = _expand_all(settings.files, f"{key}.friends.{friend}.files")
            columns.append(paths * len(files[name]) if settings.by and len(paths) == 1 else paths)
            if len(columns[-1]) != len(files[name]):
                raise ConfigError(
                    f"{key}.friends.{friend}.files: {len(paths)} files, and the sample has {len(files[name])}; give one for "
                    "each, or with 'by' one for all"
                )
        by_name[name] = {path: list(paths) for path, *paths in zip(files[name], *columns, strict=True)} if columns else {}
    return by_name


def skim_jobs(files: Sequence[str], job_size: float) -> dict[str, list[str]]:
    """The files of each skim job by its name: about `job_size` GB, more only if a single file is larger.

    A file's job depends on its path and on the total size up to a power of two, so that a new file does not change the jobs of
    the others. A remote file has its own job, because asking for sizes costs a request per file.
    """
    small = {path: size for path in files if not is_remote(path) and (size := Path(path).stat().st_size) < job_size * 1e9 / 2}
    n = 1 << max(0, math.ceil(sum(small.values()) / (job_size * 1e9)) - 1).bit_length()
    jobs: dict[str, list[str]] = {}
    for path in files:
        digest = hashlib.sha256(path.encode()).hexdigest()
        job = f"{int(digest, 16) % n:04d}-of-{n}" if path in small else f"{Path(path).stem}-{digest[:8]}"
        jobs.setdefault(job, []).append(path)
    return dict(sorted(jobs.items()))


def friend_trees(patterns: Sequence[str], files: Sequence[str], key: str) -> dict[str, str]:
    """Each of the files that the patterns name, by the name of its friend tree.

    The name is the path below the folder that all patterns have in common, up to the first wildcard. So files of one name in two
    folders have two names, and a new file that a pattern finds does not change those of the others.
    """
    folders = [_fixed_folder(pattern) for pattern, _ in _entries(patterns, key)]
    n = len(os.path.commonprefix(folders))  # noqa: RUF071  # common parts, not characters
    names = ["/".join(_parts(path)[n:]) for path in files]
    times = Counter(names)
    return {name if times[name] == 1 else _with_hash(name, path): path for name, path in zip(names, files, strict=True)}


def _with_hash(name: str, path: str) -> str:
    """For URLs that differ only in their scheme or query."""
    return str(PurePosixPath(name).with_stem(f"{PurePosixPath(name).stem}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"))


def _parts(path: str) -> list[str]:
    """The folders and the file name of an absolute path; of a URL also its host, but not its query."""
    place = "/".join(urlsplit(path)[1:3]) if is_remote(path) else os.path.abspath(path)  # noqa: PTH100  # keeps links
    return [part for part in place.split("/") if part]


def _fixed_folder(pattern: str) -> list[str]:
    folders = _parts(pattern)[:-1]
    if is_remote(pattern) or not _is_glob(pattern) or Path(pattern).is_file():
        return folders
    return list(itertools.takewhile(lambda part: not _is_glob(part), folders))


def _expand_all(patterns: Sequence[str], key: str) -> list[str]:
    files = [path for pattern, place in _entries(patterns, key) for path in _expand(pattern, place)]
    places = Counter(path if is_remote(path) else str(Path(path).resolve()) for path in files)
    if twice := [place for place, times in places.items() if times > 1]:
        raise ConfigError(f"{key}: '{twice[0]}' is named twice, so its events would count twice; remove one")
    return files


def _entries(patterns: Sequence[str], key: str) -> list[tuple[str, str]]:
    """Paths, globs and URLs, also those in lists, each with its place in the config for an error."""
    entries: list[tuple[str, str]] = []
    for index, pattern in enumerate(patterns):
        entries += _listed(pattern, f"{key}.{index}") if pattern.endswith(_LIST) else [(pattern, f"{key}.{index}")]
    return entries


def _expand(pattern: str, key: str) -> list[str]:
    if is_remote(pattern):
        return [_url(pattern, key)]
    if Path(pattern).is_file():  # also one whose name has characters of a glob
        return [pattern]
    if _is_glob(pattern):
        matches = _matches(pattern)
        if not matches:
            raise ConfigError(f"{key}: no file matches '{pattern}'{_hint(pattern)}")
        # only of names that do not end as a ROOT file's, because each question is a call to the file system
        if folders := [path for path in matches if not path.endswith(_ROOT) and Path(path).is_dir()]:
            raise ConfigError(f"{key}: '{pattern}' matches '{folders[0]}', which is a folder; end the pattern with '*{_ROOT}'")
        return matches
    if Path(pattern).is_dir():
        raise ConfigError(f"{key}: '{pattern}' is a folder{_root_files(pattern)}")
    raise ConfigError(f"{key}: no file '{pattern}'{_hint(pattern)}")


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _matches(pattern: str) -> list[str]:
    anchor = Path(pattern).anchor
    return sorted(map(str, Path(anchor).glob(pattern.removeprefix(anchor))))


def _hint(path: str) -> str:
    """Where a path was looked for, and what to write for what a shell would expand, or for a name that is almost right."""
    searched = f" (searched from {Path.cwd()})"
    expanded = os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111  # Path's fails for an unknown user
    if variable := re.search(r"\$(\w+|\{\w+\})", expanded):
        return f"{searched}; '{variable[0]}' is not expanded, and no such variable is set; write the path itself"
    if re.search(r"\{[^{}]*\.\.[^{}]*\}", expanded):
        return f"{searched}; braces are not expanded; write a path for each, or a pattern with *, ? or [0-9]"
    if (paths := _brace_expansion(expanded)) != [path]:
        each = ", ".join(f"'{each}'" for each in paths[:4]) + ", ..." * (len(paths) > 4)
        return f"{searched}; '~', variables and braces are not expanded; write {each}"
    near = difflib.get_close_matches(Path(path).name, [p.name for p in Path(path).parent.glob(f"*{_ROOT}")], n=1)
    return searched + (f"; did you mean '{near[0]}'?" if near else "")


def _brace_expansion(path: str) -> list[str]:
    """`x_{a,b}` as `x_a` and `x_b`."""
    braces = re.search(r"\{([^{}]*,[^{}]*)\}", path)
    if not braces:
        return [path]
    each = [path[: braces.start()] + part + path[braces.end() :] for part in braces[1].split(",")]
    return [expanded for one in each for expanded in _brace_expansion(one)]


def _root_files(folder: str) -> str:
    """How to name the ROOT files of a folder, or of the folders in it, and how many there are."""
    for pattern in (f"{folder.rstrip('/')}/*{_ROOT}", f"{folder.rstrip('/')}/*/*{_ROOT}"):
        if n := len(_matches(pattern)):
            return f"; write '{pattern}', which matches {n} file{'s' * (n > 1)}"
    return " without ROOT files"


def _listed(path: str, key: str) -> list[tuple[str, str]]:
    if not Path(path).is_file():
        raise ConfigError(f"{key}: no list of files '{path}'{_hint(path)}")
    lines = enumerate(Path(path).read_text().splitlines(), 1)
    entries = [(text, f"{key}: '{path}', line {number}") for number, line in lines if (text := line.partition("#")[0].strip())]
    if not entries:
        raise ConfigError(f"{key}: the list '{path}' is empty")
    if nested := [place for text, place in entries if text.endswith(_LIST)]:
        raise ConfigError(f"{nested[0]}: a list inside a list; name ROOT files")
    return entries


def _url(url: str, key: str) -> str:
    if not url.startswith((_XROOTD, *_HTTP)):
        raise ConfigError(f"{key}: '{url}' is of an unknown kind; give root://, https://, http:// or a local path")
    if "*" in url:
        raise ConfigError(f"{key}: '{url}': wildcards do not work in URLs; list the files in a .txt file (xrdfs ls)")
    return url
