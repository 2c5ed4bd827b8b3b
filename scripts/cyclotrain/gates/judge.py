"""Every verdict of a run, from what other rules measured. `judge` never fails; `require` fails the run, at its end."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cyclotrain.contract.figures import Bound, fitting, of_scorer, parity, rejection_loss
from cyclotrain.contract.results import Figure, Gate, Gates, SessionParity, Verification

_SHOWN = 5  # failed cases
_log = logging.getLogger(__name__)


class GateError(RuntimeError):
    """A gate failed."""


def judge(
    verification: Verification,
    figures: Mapping[str, Figure],
    *,
    bounds: Mapping[str, Sequence[str]],
    rejection_losses: Mapping[str, float],
) -> Gates:
    """All gates: parity of each exported file, figures with bounds in the config, and what each variant loses.

    figures: all of the run. bounds: of figures, by name or pattern, as in `gates` of the config. rejection_losses: the largest
    allowed, by variant; a model without classes has none.
    """
    gates = [*_parity(verification)]
    for pattern, texts in bounds.items():
        for name in fitting(pattern, figures) or [pattern]:  # a gate is judged in any case
            figure = figures.get(name, Figure(value=None))
            limits = [_known(Bound.parse(text), name, figures) for text in texts]
            gates += [_gate(name, figure, limit, f"gates.{pattern}") for limit in limits]
    for kind, largest in rejection_losses.items():
        if (name := rejection_loss(kind)) in figures:
            gates.append(_gate(name, figures[name], Bound("<=", largest), f"export.variants.{kind}.rejection_loss"))
    verdicts = Gates(gates=tuple(gates))
    if verdicts.passed:
        _log.info("all %d gates passed", len(gates))
    for gate in verdicts.failed:
        _log.warning("a gate failed: %s", gate)
    return verdicts


def require(gates: Mapping[str, Gates], *, bundles: Sequence[str | Path]) -> str:
    """The verdicts in words, if all gates passed; `gates`: by the folder of the run or fold, `bundles`: their folders.

    Raises GateError that names each failed gate with its value and its limit.
    """
    failed = [(folder, gate) for folder, verdicts in gates.items() for gate in verdicts.failed]
    if not failed:
        _log.info("all gates passed")
        return "".join(f"{folder}: {gate}\n" for folder, verdicts in gates.items() for gate in verdicts.gates)
    total = sum(len(verdicts.gates) for verdicts in gates.values())
    lines = [f"{len(failed)} of {total} gates failed, so no bundle is made:"]
    lines += [f"  {folder}: {gate}".replace("\n", "\n  ") for folder, gate in failed]
    if old := [str(path) for path in bundles if Path(path).exists()]:
        lines.append(f"  The bundle of an earlier run that passed is still in {', '.join(old)}.")
    raise GateError("\n".join(lines))


def _parity(verification: Verification) -> Iterator[Gate]:
    """A gate for each exported file, and one for sessions on a GPU that rounds to TF32."""
    for artefact in dict.fromkeys([*verification.artefacts, *(failure.artefact for failure in verification.failures)]):
        for tf32 in (False, True):
            sessions = verification.sessions(artefact, tf32=tf32)
            if sessions or not tf32:
                yield _parity_gate(verification, artefact, sessions, tf32)


def _parity_gate(verification: Verification, artefact: str, sessions: Sequence[SessionParity], tf32: bool) -> Gate:
    failures = [failure for failure in verification.failures if failure.artefact == artefact and failure.tf32 == tf32]
    passed = not failures and not any(session.cases_failed for session in sessions)
    measured = bool(sessions) and all(session.finite for session in sessions) and all(failure.loads for failure in failures)
    tolerance = sessions[0].tolerance if sessions else verification.tolerance
    hostile = sessions[0].hostile_tolerance if sessions else tolerance
    if hostile == tolerance:
        value, limit = max((session.max_abs_all_cases for session in sessions), default=None), f"<= {tolerance:g} in every case"
    else:  # one number cannot be compared with two limits
        value = max((session.max_abs for session in sessions), default=None)
        limit = f"<= {tolerance:g} on test examples, {hostile:g} on hostile ones"
    lines = []
    if not passed:
        lines = ["it does not agree with PyTorch:", *(failure.message for failure in failures[:_SHOWN])]
        lines += [f"and {len(failures) - _SHOWN} more in verification.json"] * (len(failures) > _SHOWN)
        lines += [f"evidence: {verification.evidence}"] * (verification.evidence is not None)
    return Gate(
        name=parity(f"{artefact}{'.TF32' * tf32}"),
        value=value if measured else None,
        limit=limit,
        passed=passed,
        message="\n  ".join(lines),
    )


def _known(bound: Bound, name: str, figures: Mapping[str, Figure]) -> Bound:
    """The bound; the limit of `not_worse_than` is the other's figure minus the larger of the two uncertainties.

    Without a figure of the other, such as a rejection where it lets no background pass, the limit is infinite.
    """
    if bound.than is None:
        return bound
    ours, other = (figures.get(one, Figure(value=None)) for one in (name, of_scorer(name, bound.than)))
    slack = max(ours.uncertainty or 0.0, other.uncertainty or 0.0)
    return replace(bound, limit=math.inf if other.value is None else other.value - slack)


def _gate(name: str, figure: Figure, bound: Bound, key: str) -> Gate:
    """The verdict on a figure; `key`: where the bound is in the config."""
    passed = figure.value is not None and bound.holds(figure.value)
    reason = "there was nothing to measure it with, so more test examples are needed; " if figure.value is None else ""
    message = "" if passed else f"{reason}the limit is {key}"
    return Gate(name=name, value=figure.value, uncertainty=figure.uncertainty, limit=str(bound), passed=passed, message=message)
