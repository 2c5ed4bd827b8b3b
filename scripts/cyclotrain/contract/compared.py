"""Earlier models that a run lays over its own: where their files are, and whether they can run on this run's examples."""

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

import onnx

from cyclotrain.contract.contract import Contract
from cyclotrain.contract.layout import Layout, Set
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.parent import REGISTERED
from cyclotrain.core.errors import InputError


def model_file(name: str, where: str, *, run: Path) -> Path | None:
    """The ONNX file of an entry of `compare`: of a run's or a fold's folder, of a bundle, or the file; None for a registered one.

    run: the folder of this run. Raises InputError if there is none, or if it is of this run itself.
    """
    key = f"compare.{name}"
    if where.startswith(REGISTERED):
        return None
    path = Path(where)
    if path.resolve().is_relative_to(run.resolve()):
        raise InputError(f"{key}: '{path}' is of this run itself, which is measured anyway; remove it")
    if not path.exists():
        names = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(str(path), names, n=1)
        raise InputError(f"{key}: '{path}' does not exist" + (f"; did you mean '{near[0]}'?" if near else ""))
    if path.is_file():
        return path
    for model in (path / "model/model.onnx", path / "model.onnx"):
        if model.exists():
            return model
    folds = sorted(path.glob("fold-*/model/model.onnx"))
    advice = f"it is a cross-training; give a fold, such as '{folds[0].parents[1]}'" if folds else "its model is not exported"
    raise InputError(f"{key}: '{path}' has no model/model.onnx: {advice}")


def contract_of_model(key: str, path: str | Path) -> Contract:
    """The contract in an ONNX file; raises InputError, which begins with `key`, if the file cannot be read or has none."""
    try:
        metadata = model_metadata(onnx.load(path, load_external_data=False))
    except Exception as error:  # protobuf has exceptions of its own for a file that is something else
        raise InputError(f"{key}: '{path}' cannot be read as an ONNX file: {error}") from error
    if "contract" not in metadata:
        raise InputError(
            f"{key}: '{path}' was not made by Cyclotrain: it does not say which class each of its outputs is; remove it"
        )
    return Contract.from_dict(metadata["contract"])


def require_comparable(
    key: str, other: Contract, *, classes: Sequence[str], branches: Collection[str], object_name: str | None
) -> None:
    """Raise InputError, which names all differences, for a model of other classes, or with inputs that this run does not read."""
    problems = []
    if list(other.classes) != list(classes):
        problems.append(f"its classes are {_listed(other.classes)}, and those of this run {_listed(classes)}, in this order")
    if missing := [branch for branch in other.layout.inputs if branch not in branches]:
        problems.append(
            f"it needs the branches {', '.join(missing)}, which this run does not read: only inputs of its own model are stored"
        )
    if other.layout.object != object_name:
        own, theirs = (f"'{one}'" if one else "an event" for one in (object_name, other.layout.object))
        problems.append(f"its examples are {theirs}, and those of this run {own}")
    _raise(key, problems)


def require_same_constituents(key: str, other: Layout, own: Layout) -> None:
    """Raise InputError for a model whose sets of constituents cannot be made of those that this run stores."""
    problems = []
    if wrong := [branch for branch in other.scalars if branch not in own.scalars]:
        problems.append(f"{', '.join(wrong)}: one value per example there, a list here")
    for set_name, theirs in other.sets.items():
        if theirs.branches:
            problems += [f"inputs.{set_name}: {problem}" for problem in _problems_of_set(theirs, own)]
    _raise(key, problems)


def _problems_of_set(theirs: Set, own: Layout) -> list[str]:
    owners = {key for key, ours in own.sets.items() if set(theirs.branches) & set(ours.branches)}
    if len(owners) != 1 or not set(theirs.branches) <= set(own.sets[next(iter(owners))].branches):
        return ["its branches are of one set there, and of several here"]
    ours = own.sets[next(iter(owners))]
    problems = []
    if (theirs.max_length or 0) > (ours.max_length or 0):
        problems.append(f"it takes {theirs.max_length} constituents, and this run stores {ours.max_length} ('max_length')")
    if theirs.sort_by != ours.sort_by:
        problems.append(f"its constituents are sorted by {theirs.sort_by or 'nothing'}, and here by {ours.sort_by or 'nothing'}")
    if theirs.link != ours.link:
        problems.append("its constituents are assigned to objects in another way ('link')")
    return problems


def seen_in_training(other: Contract, own: Contract) -> str | None:
    """What a reader must know if test examples of this run may have been in the training of the other model; None if not."""
    names = {"seed": "the seed", "split": "the shares of the splits", "fold": "the fold", "event_id": "the event's identity"}
    differing = [words for field, words in names.items() if getattr(other, field) != getattr(own, field)]
    if not differing:
        return None
    return f"some of these test examples may have been in its training: {' and '.join(differing)} of its split differ"


def _listed(classes: Sequence[str]) -> str:
    return f"[{', '.join(classes)}]"


def _raise(key: str, problems: Sequence[str]) -> None:
    if problems:
        raise InputError(f"{key}: the model cannot run on the examples of this run:" + "".join(f"\n  {p}" for p in problems))
