"""`python -m cyclotrain fetch <set>`: load a public data set and convert it to ROOT files."""

import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from cyclotrain.core.errors import InputError
from cyclotrain.fetch.download import PublishedFile, UnreachableError, bytes_in, check, download, part_of, size_of, zenodo_record
from cyclotrain.fetch.public_sets import PublicSet


def fetch(public_set: PublicSet, folder: Path, globs: Sequence[str] = ("*",)) -> None:
    """Make the files of a set in `folder`: of the published files that fit a glob, each is loaded, checked and converted.

    What is complete is not made again, and published files that are in `folder` are not loaded. Raises InputError or OSError with
    what to do.
    """
    names = [name for name in public_set.names if any(fnmatch(name, glob) for glob in globs)]
    if not names:
        raise InputError(f"no published file fits {', '.join(globs)}; there are {', '.join(public_set.names)}")
    print(public_set.title, f"Cite:     {public_set.citation}", f"From:     {public_set.page}",
          f"To:       {folder}", sep="\n")  # fmt: skip
    missing = [name for name in names if not public_set.is_made(name, folder)]
    published = _published(public_set, missing, folder) if missing else {}
    for name in names:
        if name not in missing:
            print(f"{name}: {', '.join(public_set.made_of(name))} is there")
            continue
        path = folder / name
        if name not in published:
            print(f"{name}: used from the folder; its checksum is unknown without a network")
        elif path.exists():
            check(path, published[name])
            print(f"{name}: used from the folder" + ("; its checksum is right" if published[name].md5 else ""))
        else:
            download(published[name], path)
            print(f"{name}: loaded" + ("; its checksum is right" if published[name].md5 else "; no checksum is published"))
        public_set.convert(path, folder)
        print(f"{name}: converted to {', '.join(public_set.made_of(name))}; it is not needed any more")


def _published(public_set: PublicSet, names: Sequence[str], folder: Path) -> dict[str, PublishedFile]:
    """The files to load or to compare with, by name: none without a network, if all of `names` are in `folder`.

    Says how much is loaded. Raises InputError if the host cannot be reached, lacks a file, or if the disk is too small.
    """
    absent = [name for name in names if not (folder / name).exists()]
    try:
        if public_set.record:
            record = zenodo_record(public_set.record)
            files = record.files
            print(f"Licence:  {record.licence}")
        else:
            files = {name: PublishedFile(name, url, size_of(url), None) for name, url in public_set.urls}
            print(f"Licence:  {public_set.licence}")
    except UnreachableError as error:
        if absent:
            raise InputError(
                f"{error}. Load {', '.join(absent)} by hand from {public_set.page} into '{folder}', and run this again"
            ) from error
        return {}
    unknown = [name for name in names if name not in files]
    if unknown:
        raise InputError(f"{public_set.record} has no '{unknown[0]}' any more, but {', '.join(files)}; please tell us")
    to_load = sum((files[name].size or 0) - bytes_in(part_of(folder / name)) for name in absent)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if to_load > free:
        raise InputError(
            f"{to_load / 1e9:,.1f} GB are to be loaded into '{folder}', and its disk has {free / 1e9:,.1f} GB free; give another "
            "--folder, or a part of the files by --files"
        )
    if absent:
        print(f"To load:  {len(absent)} files, {to_load / 1e9:,.2f} GB; what is made of them takes about as much again")
    return files
