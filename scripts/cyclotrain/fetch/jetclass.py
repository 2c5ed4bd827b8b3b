"""JetClass: archives of ROOT files."""

import re
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic


def unpacked(name: str) -> tuple[str, ...]:
    """The list of what was unpacked of an archive. ROOT files that are deleted after that, to save space, stay deleted."""
    return (f"{Path(name).stem}.unpacked",)


def unpack(published: Path, folder: Path) -> None:
    """Unpack the ROOT files of `published` into the folder train_100M, val_5M or test_20M in `folder`, as its name says.

    Files that are there with the right size are kept. Raises InputError for a damaged archive.
    """
    split = re.fullmatch(r"JetClass_Pythia_(train_100M|val_5M|test_20M)(_part\d+)?\.tar", published.name)
    if not split:
        raise InputError(f"'{published}' is no archive of JetClass, such as JetClass_Pythia_val_5M.tar")
    names = []
    try:
        with tarfile.open(published) as archive:
            for member in archive:
                if not (member.isfile() and member.name.endswith(".root")):
                    continue
                path = folder / split[1] / PurePosixPath(member.name).name
                names.append(f"{split[1]}/{path.name}\n")
                if path.exists() and path.stat().st_size == member.size:
                    continue
                source = archive.extractfile(member)
                assert source
                with atomic(path) as temporary, temporary.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except tarfile.TarError as error:
        raise InputError(f"'{published}' cannot be unpacked ({error}); delete it, and fetch it again") from error
    if not names:
        raise InputError(f"'{published}' has no ROOT files; delete it, and fetch it again")
    with atomic(folder / unpacked(published.name)[0]) as temporary:
        temporary.write_text("".join(names))
