"""Thresholds of the score as files for an analysis: plain JSON, and a correction set of correctionlib."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from correctionlib import schemav2

from cyclotrain.contract import OUTPUT, Contract
from cyclotrain.contract.results import Cut, Evaluation, MistagCuts
from cyclotrain.core.files import atomic, write_json

_INPUT = "working_point"
_log = logging.getLogger(__name__)


def write_thresholds(evaluation: Evaluation, contract: Contract, *, path: str | Path, correctionlib: str | Path) -> None:
    """Write the cuts at declared mistag rates to `path`, and as corrections, schema v2, to `correctionlib`.

    A correction gives the threshold for the name of a working point, and for the value of an observer if there are bins. A
    working point that is not measured, because there are too few background examples, is not in it, so that it cannot be used by
    mistake; in bins, one bin suffices for that. A value outside of the bins counts to the nearest.
    """
    description = (
        f"Thresholds of the scores of the model '{contract.run}' (SHA-256 {evaluation.model_sha256}), from its test split: "
        "an example is tagged if its score is at least the threshold"
    )
    entries = [_entry(pair, evaluation, contract) for pair in evaluation.mistag_cuts]
    write_json(path, {"run": contract.run, "model_sha256": evaluation.model_sha256, "about": description, "scores": entries})
    corrections = [one for pair in evaluation.mistag_cuts for one in _corrections(pair, evaluation, contract)]
    correction_set = schemav2.CorrectionSet(schema_version=2, description=description, corrections=corrections)
    with atomic(correctionlib) as temporary:
        temporary.write_text(correction_set.model_dump_json(exclude_unset=True, indent=1) + "\n")
    _log.info("%d corrections: %s", len(corrections), ", ".join(one.name for one in corrections) or "no threshold is measured")


def _name(pair: MistagCuts, contract: Contract) -> str:
    return f"{contract.signal}_vs_{pair.background or 'rest'}"


def _entry(pair: MistagCuts, evaluation: Evaluation, contract: Contract) -> dict[str, Any]:
    observer = next((one for one in contract.observers if one.name == pair.observer), None)
    return {
        "name": _name(pair, contract),
        "signal": contract.signal,
        "background": pair.background or "all other classes",
        "score": f"{evaluation.score_in_words(pair.background)}, p from the output '{OUTPUT}'",
        "working_points": [cut.model_dump(exclude={"low", "high"}) for cut in pair.cuts],
        "observer": {"name": observer.name, "expression": observer.expression} if observer else None,
        "in_bins": [cut.model_dump() for cut in pair.in_bins],
    }


def _corrections(pair: MistagCuts, evaluation: Evaluation, contract: Contract) -> Iterator[schemav2.Correction]:
    about = f"score: {evaluation.score_in_words(pair.background)}, p from the output '{OUTPUT}'; shares of the background kept: "
    about += ", ".join(f"{cut.name} {cut.mistag:g}" for cut in pair.cuts)
    thresholds = {cut.name: cut.threshold for cut in pair.cuts if cut.threshold is not None}
    _tell_missing(_name(pair, contract), [cut.name for cut in pair.cuts if cut.threshold is None])
    if thresholds:
        yield _correction(_name(pair, contract), about, [], dict(thresholds))
    if pair.observer:
        by_name = {cut.name: [one for one in pair.in_bins if one.name == cut.name] for cut in pair.cuts}
        measured = {name: cuts for name, cuts in by_name.items() if all(cut.threshold is not None for cut in cuts)}
        name = f"{_name(pair, contract)}_by_{pair.observer}"
        _tell_missing(name, [one for one in by_name if one not in measured])
        (expression,) = (one.expression for one in contract.observers if one.name == pair.observer)
        variable = schemav2.Variable(name=pair.observer, type="real", description=expression)
        binned = {working_point: _binning(pair.observer, cuts) for working_point, cuts in measured.items()}
        if binned:
            yield _correction(name, f"{about}, in each bin of {pair.observer}", [variable], binned)


def _correction(name: str, about: str, variables: Sequence[schemav2.Variable], values: dict[str, Any]) -> schemav2.Correction:
    working_point = schemav2.Variable(name=_INPUT, type="string", description=f"one of {', '.join(values)}")
    content = [schemav2.CategoryItem(key=key, value=value) for key, value in values.items()]
    return schemav2.Correction(
        name=name,
        description=about,
        version=1,
        inputs=[working_point, *variables],
        output=schemav2.Variable(name="threshold", type="real", description="the lowest score that passes"),
        data=schemav2.Category(nodetype="category", input=_INPUT, content=content),
    )


def _binning(observer: str, cuts: Sequence[Cut]) -> schemav2.Binning:
    edges: list[Any] = [*(cut.low for cut in cuts), cuts[-1].high]
    thresholds: list[Any] = [cut.threshold for cut in cuts]
    return schemav2.Binning(nodetype="binning", input=observer, edges=edges, content=thresholds, flow="clamp")


def _tell_missing(name: str, working_points: Sequence[str]) -> None:
    if working_points:
        _log.warning(
            "%s: %s not measured: too few background examples in the test split; the file for correctionlib has no such "
            "working point. Declare a larger mistag rate or wider bins", name, ", ".join(working_points),
        )  # fmt: skip
