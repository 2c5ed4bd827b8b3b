"""The training that initial weights come from: where its files are, and whether its features are those of this one."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cyclotrain.contract.contract import Contract
from cyclotrain.contract.layout import Layout
from cyclotrain.core.errors import InputError

REGISTERED = "models:/"  # the beginning of a registered model of MLflow, as `models:/name@alias` or `models:/name/2`
_KEY = "training.initial_weights"
# of a set: what training fits or data decide, and what changes no feature
_OTHERS = {"branches", "max_length", "link", "mean", "std"}


def weights_file(initial_weights: str, run: Path) -> Path | None:
    """The weights.pt of a run's folder, or the file itself; None for a registered model. `run`: the folder of this run.

    Raises InputError if there is none, if it is of a cross-training, or of this run itself.
    """
    if initial_weights.startswith(REGISTERED):
        return None
    path = Path(initial_weights)
    if path.resolve().is_relative_to(run.resolve()):
        raise InputError(f"{_KEY}: '{path}' is of this run itself; give this run another name")
    if not path.exists():
        names = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(str(path), names, n=1)
        raise InputError(f"{_KEY}: '{path}' does not exist" + (f"; did you mean '{near[0]}'?" if near else ""))
    if path.is_file():
        return path
    if not (weights := path / "train/weights.pt").exists():
        folds = sorted(path.glob("fold-*/train/weights.pt"))
        advice = (
            f"it is a cross-training; give a fold, such as '{folds[0].parents[1]}'" if folds else "its training is not finished"
        )
        raise InputError(f"{_KEY}: '{path}' has no train/weights.pt: {advice}")
    return weights


def differences(own: Mapping[str, Mapping[str, Any]], parent: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """How features differ, and how they are prepared, in words by name of the set; each set is given by its fields."""
    found: dict[str, list[str]] = {name: ["not in the parent"] for name in own if name not in parent}
    found |= {name: ["in the parent only"] for name in parent if name not in own}
    for name in (name for name in own if name in parent):
        here, there = (json.loads(json.dumps(dict(side[name]))) for side in (own, parent))
        words = []
        for key in here.keys() & there.keys() - _OTHERS - {"features"}:
            if here[key] != there[key]:
                words.append(f"'{key}' is {here[key]!r} here and {there[key]!r} in the parent")
        if here["features"] != there["features"]:
            new, gone = (
                [f"'{text}'" for text in one["features"] if text not in other["features"]]
                for one, other in ((here, there), (there, here))
            )
            words += [f"the parent lacks {', '.join(new)}"] * bool(new)
            words += [f"{', '.join(gone)} of the parent is missing"] * bool(gone)
            words += ["the features have another order"] * (not new and not gone)
        if words:
            found[name] = sorted(words)
    return found


def require_same_features(own: Mapping[str, Mapping[str, Any]], parent: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError, which names each difference, if the sets differ."""
    if found := differences(own, parent):
        lines = "".join(f"\n  inputs.{name}: {'; '.join(words)}" for name, words in found.items())
        raise InputError(
            f"{_KEY}: the parent has other features, for which its weights mean nothing:{lines}\nMake 'inputs' as in the parent, "
            "or set 'training.other_inputs: true' and leave out of 'training.load' the layers that take these features"
        )


def standardised_as_parent(layout: Layout, parent: Contract, *, other_inputs: bool) -> Layout:
    """The layout with mean and std of the parent, because its weights expect features that are shifted and scaled so.

    Raises InputError for a set with other features, unless `other_inputs` allows it; such a set stays as it is.
    """
    own, others = asdict(layout)["sets"], asdict(parent.layout)["sets"]
    if not other_inputs:
        require_same_features(own, others)
    same = own.keys() - differences(own, others).keys()
    sets = {
        name: replace(features, mean=parent.layout.sets[name].mean, std=parent.layout.sets[name].std)
        if name in same
        else features
        for name, features in layout.sets.items()
    }
    return replace(layout, sets=sets)
