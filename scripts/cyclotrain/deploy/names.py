"""Names in a bundle: each is valid where its consumer needs it, and no two are alike.

A name that is valid stays as it is. Branches may have any name; runs and classes have letters, digits, `_` and `-`.
"""

import itertools
import json
import keyword
import re
from collections.abc import Callable, Container, Sequence

# Members of CMSSW's cms.PSet and of its base classes (FWCore/ParameterSet/python); a parameter of such a name would hide them.
_PSET = (
    "allowAnyLabel_", "clone", "configTypeName", "configValue", "copy", "dumpPython", "getParameter", "hasParameter",
    "insertContentsInto", "insertInto", "isCompatibleCMSType", "isFrozen", "isModified", "isRef_", "isTracked", "parameterNames_",
    "parameters_", "pythonTypeName", "pythonValue", "resetModified", "setIsFrozen", "setIsTracked", "setValue", "value",
)  # fmt: skip


def distinct(names: Sequence[str], derive: Callable[[str], str]) -> dict[str, str]:
    """For each name the one derived from it, with a number where several names give the same.

    Of these, a name that is derived from itself has no number, else one that is an identifier, else the first.
    """
    derived = {name: derive(name) for name in names}
    taken = set(derived.values())
    owners: dict[str, str] = {}
    for name in sorted(derived, key=lambda name: (derived[name] != name, not name.isidentifier())):
        owners.setdefault(derived[name], name)
    for name, new in derived.items():
        if owners[new] != name:
            derived[name] = free(new, taken)
            taken.add(derived[name])
    return derived


def free(name: str, taken: Container[str]) -> str:
    """The name, with a number if it is taken."""
    candidates = itertools.chain([name], (f"{name}{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def camel(name: str, capital: bool = False) -> str:
    """`my-tagger_2` to `myTagger2`, as C++ classes and CMSSW's products take ASCII letters and digits alone."""
    first, *rest = [word for word in re.split(r"[^0-9A-Za-z]+", name) if word] or ["unnamed"]
    head = first[0].upper() if capital else first[0].lower()
    return "".join([head + first[1:], *(word[0].upper() + word[1:] for word in rest)])


def parameter(name: str) -> str:
    """The name as that of a parameter of a cms.PSet: `b-tag` to `b_tag`, `lambda` to `branch_lambda`.

    CMSSW keeps names with a leading `_` for itself, and those with `using_` for blocks of parameters.
    """
    words = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_") if not (name.isascii() and name.isidentifier()) else name
    if not words.isidentifier() or keyword.iskeyword(words) or words in _PSET or words.startswith(("_", "using_")):
        return f"branch_{words.strip('_')}".rstrip("_")
    return words


def quoted(text: str) -> str:
    """The text as a string literal of C++, Python and protobuf's text format."""
    return json.dumps(text, ensure_ascii=False)
