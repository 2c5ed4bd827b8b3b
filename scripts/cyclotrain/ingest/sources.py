"""Find the ntuples: turn paths, globs, lists and URLs of the configuration into the files of each sample and each skim job."""

import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cyclotrain.config import Config, ConfigError
from cyclotrain.core.files import json_sha256, read_json, write_json

_LIST = ".txt"
_HTTP, _XROOTD = ("http://", "https://"), "root://"


def is_remote(path: str) -> bool:
    """Whether the path is a URL, read over the network."""
    return "://" in path


@dataclass(frozen=True)
class Sources:
    """The files of samples and of `score` by name, the friends of each file, and the files of each skim job by sample."""

    samples: dict[str, list[str]]
    scored: dict[str, list[str]]
    friends: dict[str, dict[str, list[str]]]
    jobs: dict[str, dict[str, list[str]]]

    @classmethod
    def from_config(cls, config: Config) -> "Sources":
        """Find all files; raises ConfigError as `resolve_files` does."""
        samples, scored = resolve_files(config), resolve_scored(config)
        friends = resolve_friends(config, {**samples, **scored})
        return cls(samples, scored, friends, {name: skim_jobs(files, config.job_size) for name, files in samples.items()})

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


def _expand_all(patterns: Sequence[str], key: str) -> list[str]:
    files = [path for index, pattern in enumerate(patterns) for path in _expand(pattern, f"{key}.{index}")]
    places = Counter(path if is_remote(path) else str(Path(path).resolve()) for path in files)
    if twice := [place for place, times in places.items() if times > 1]:
        raise ConfigError(f"{key}: '{twice[0]}' is named twice, so its events would count twice; remove one")
    return files


def _expand(pattern: str, key: str) -> list[str]:
    if pattern.endswith(_LIST):
        return _listed(pattern, key)
    if is_remote(pattern):
        return [_url(pattern, key)]
    if any(character in pattern for character in "*?["):
        anchor = Path(pattern).anchor
        matches = sorted(map(str, Path(anchor).glob(pattern.removeprefix(anchor))))
        if not matches:
            raise ConfigError(f"{key}: no file matches '{pattern}' (searched from {Path.cwd()})")
        return matches
    if not Path(pattern).is_file():
        near = difflib.get_close_matches(Path(pattern).name, [p.name for p in Path(pattern).parent.glob("*.root")], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"{key}: no file '{pattern}' (searched from {Path.cwd()}){hint}")
    return [pattern]


def _listed(path: str, key: str) -> list[str]:
    if not Path(path).is_file():
        raise ConfigError(f"{key}: no list of files '{path}' (searched from {Path.cwd()})")
    lines = enumerate(Path(path).read_text().splitlines(), 1)
    files = [(number, text) for number, line in lines if (text := line.partition("#")[0].strip())]
    if not files:
        raise ConfigError(f"{key}: the list '{path}' is empty")
    if nested := [f"line {number}" for number, text in files if text.endswith(_LIST)]:
        raise ConfigError(f"{key}: '{path}', {nested[0]}: a list inside a list; name ROOT files")
    return [file for number, text in files for file in _expand(text, f"{key}: '{path}', line {number}")]


def _url(url: str, key: str) -> str:
    if not url.startswith((_XROOTD, *_HTTP)):
        raise ConfigError(f"{key}: '{url}' is of an unknown kind; give root://, https://, http:// or a local path")
    if "*" in url:
        raise ConfigError(f"{key}: '{url}': wildcards do not work in URLs; list the files in a .txt file (xrdfs ls)")
    return url
