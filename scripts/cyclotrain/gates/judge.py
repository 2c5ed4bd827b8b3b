"""Every verdict of a run, from what other rules measured. `judge` never fails; `require` fails the run, at its end."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cyclotrain.config import EvaluationConfig, QuantityConfig
from cyclotrain.contract.results import Evaluation, Gate, Gates, SessionParity, Verification

_SHOWN = 5  # failed cases
_log = logging.getLogger(__name__)


class GateError(RuntimeError):
    """A gate failed."""


def judge(
    verification: Verification,
    evaluation: Evaluation,
    *,
    limits: EvaluationConfig,
    rejection_losses: Mapping[str, float],
    regression: Mapping[str, QuantityConfig] = {},
) -> Gates:
    """All gates: parity of each exported file, figures with a limit in the config, and what each variant loses.

    `rejection_losses`: the largest allowed, by variant; without classes there are none. `regression`: the quantities by name.
    """
    gates = [*_parity(verification)]
    figures = evaluation.figures()
    for names, limit, key in limits.gates():
        for name in _names(names, evaluation):
            gates.append(_at_least(name, figures[name].value or 0.0, limit, key))
    for name, quantity in regression.items():
        for figure, largest in (("bias", quantity.maximum_bias), ("resolution", quantity.maximum_resolution)):
            if largest is not None:
                value, key = figures[f"{figure}.{name}"].value, f"regression.{name}.maximum_{figure}"
                gates.append(_at_most(f"{figure}.{name}", value, largest, key, is_signed=figure == "bias"))
    for kind, limit in rejection_losses.items() if evaluation.classes else ():
        loss = evaluation.rejection_loss[kind]
        gates.append(_at_most(f"rejection_loss.{kind}", loss, limit, f"export.variants.{kind}.rejection_loss"))
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
        name=f"parity.{artefact}{'.TF32' * tf32}",
        value=value if measured else None,
        limit=limit,
        passed=passed,
        message="\n  ".join(lines),
    )


def _names(names: str, evaluation: Evaluation) -> list[str]:
    """The figures that a name such as `auc.{background}` or `ks_p_value.{class_name}` stands for."""
    for word, classes in (("{background}", evaluation.backgrounds), ("{class_name}", evaluation.classes)):
        if word in names:
            return [names.replace(word, name) for name in classes]
    return [names]


def _at_least(name: str, value: float, limit: float, key: str) -> Gate:
    passed = value >= limit
    return Gate(name=name, value=value, limit=f">= {limit:g}", passed=passed, message="" if passed else f"the limit is {key}")


def _at_most(name: str, value: float | None, limit: float, key: str, *, is_signed: bool = False) -> Gate:
    """`is_signed`: the limit is that of the absolute value."""
    passed = value is not None and (abs(value) if is_signed else value) <= limit
    words = f"{'absolute ' * is_signed}<= {limit:g}"
    return Gate(name=name, value=value, limit=words, passed=passed, message="" if passed else f"the limit is {key}")
