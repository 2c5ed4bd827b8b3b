"""`gates:`: limits of the figures of a run."""

import difflib
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from cyclotrain.config.compared import compared_with_data
from cyclotrain.config.systematics import variations
from cyclotrain.contract import figures
from cyclotrain.contract.figures import Bound
from cyclotrain.contract.results import (
    AOT_INDUCTOR,
    BOOSTED_TREES,
    FCCANALYSES,
    MODEL,
    NETWORK,
    OBSERVER,
    SCORE,
    SHIFTED,
    TIMED_BATCHES,
    TORCHSCRIPT,
    Gain,
    Percentiles,
)

if TYPE_CHECKING:
    from cyclotrain.config import Config


def _as_list(bounds: Any) -> Any:
    given = bounds if isinstance(bounds, list) else [bounds]
    if other := [bound for bound in given if not isinstance(bound, str)]:
        raise ValueError(f"{other[0]!r} is no bound; write '>= {other[0]}' or '<= {other[0]}', in quotes")
    return given


def _are_bounds(bounds: list[str]) -> list[str]:
    for bound in bounds:
        Bound.parse(bound)
    return bounds


def completed(schema: dict[str, Any]) -> None:
    """Add names to the JSON schema of `gates`, for an editor to complete; `*` stands for names of the config."""
    patterns = [
        figures.auc("*"), figures.rejection("*", 0.5), figures.auc_against_rest("*"), figures.rejection_of_rest("*", 0.5),
        figures.auc_of_pair("*", "*"), figures.efficiency_at_mistag("*", 0.01), figures.efficiency_at_mistag_of_rest("*", 0.01),
        figures.accuracy(), figures.balanced_accuracy(), figures.ks_p_value("*"), figures.chi2_p_value("*"),
        figures.calibration_error("*"), figures.distance_correlation("*", "*"),
        figures.sculpting("*", "*", 0.5), figures.sculpting_at_mistag("*", "*", 0.01),
        figures.non_finite("*"), figures.clipped("*"), figures.DATA_P_VALUE,
        figures.systematic("*", "*", "auc", "*"), *(figures.systematic("*", "*", what, "*", at=0.5) for what in SHIFTED),
        figures.data_chi2_p_value("*", "*"), figures.data_ks_p_value(SCORE, "*"), figures.data_ks_p_value(OBSERVER, "*"),
        figures.bias("*"), figures.resolution("*"), figures.coverage("*", 0.5),
        *map(figures.parity, (MODEL, FCCANALYSES, TORCHSCRIPT, *AOT_INDUCTOR)),
        *map(figures.latency, Percentiles.model_fields), *map(figures.throughput, TIMED_BATCHES), figures.COLD_START,
        *(figures.gain("*", of) for of in Gain.model_fields),
    ]  # fmt: skip
    schema["properties"] = dict.fromkeys(patterns, schema["additionalProperties"])


Bounds = Annotated[list[str], BeforeValidator(_as_list), AfterValidator(_are_bounds), Field(min_length=1)]


def check(config: "Config") -> None:
    """Raise ValueError, with the nearest name, for a gate on a figure that the run does not measure."""
    known = list(names(config))
    for pattern, texts in bounds_of(config).items():
        if fitting := figures.fitting(pattern, known):
            for than in filter(None, (Bound.parse(text).than for text in texts)):
                if missing := [name for name in fitting if figures.of_scorer(name, than) not in known]:
                    others = [BOOSTED_TREES, *config.export.variants, *config.compare]
                    near = difflib.get_close_matches(than, others, n=1)
                    raise ValueError(
                        f"gates.{pattern}: '{missing[0]}' is not measured for '{than}'; "
                        + (
                            f"did you mean '{near[0]}'?"
                            if near
                            else f"give it a name in 'compare'; there are {', '.join(others)}"
                        )
                    )
            continue
        near = difflib.get_close_matches(pattern, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known[:4])}, ..."
        raise ValueError(
            f"gates.{pattern}: this run measures no such figure; {hint} `python -m cyclotrain figures` with the config lists all"
        )


def bounds_of(config: "Config") -> dict[str, list[str]]:
    """The bounds by name or pattern; after `not_worse_than`, an address of `compare` is replaced by its name there."""
    names_there = {address: name for name, address in config.compare.items()}

    def by_name(text: str) -> str:
        than = Bound.parse(text).than
        return f"not_worse_than {names_there.get(than, than)}" if than else text

    return {pattern: [by_name(text) for text in texts] for pattern, texts in config.gates.items()}


def names(config: "Config") -> Iterator[str]:
    """The names of the figures that a run measures. Those of single runtimes are left out, because a runtime may be missing."""
    variants = list(config.export.variants)
    backgrounds = [name for name in config.classes if name != config.signal]
    trees = [BOOSTED_TREES] * bool(config.baseline_features and config.classes)
    yield from _of_thresholds(config, backgrounds)
    for entry in config.compare:
        yield from _of_classes(config, backgrounds, entry)
    for scorer in (None, *trees, *variants):
        yield from _of_classes(config, backgrounds, scorer)
        for name, quantity in config.regression.items() if scorer not in trees else ():
            if quantity.has_estimate:
                yield figures.bias(name, scorer)
                yield figures.resolution(name, scorer)
            yield from (figures.coverage(name, quantile, scorer) for quantile in quantity.quantiles)
    yield from map(figures.ks_p_value, config.classes)
    yield from map(figures.chi2_p_value, config.classes)
    yield from map(figures.calibration_error, config.classes)
    for name in config.inputs:
        yield figures.non_finite(name)
        yield figures.clipped(name)
    for observer in config.observers:
        for background in backgrounds:
            yield from (figures.sculpting(observer, background, at) for at in config.evaluation.signal_efficiencies)
            mistags = config.evaluation.working_points.mistag.values()
            yield from (figures.sculpting_at_mistag(observer, background, mistag) for mistag in mistags)
            yield figures.distance_correlation(observer, background)
    yield from _of_data(config) if config.data_samples else ()
    yield from _of_systematics(config, backgrounds)
    yield from map(figures.rejection_loss, variants if config.classes else ())
    forms = config.export.forms
    others = [*[NETWORK] * config.export.preprocess_json, *[FCCANALYSES] * ("fccanalyses" in config.export.takers)]
    libtorch = [*[TORCHSCRIPT] * ("torchscript" in forms), *[*AOT_INDUCTOR] * ("aot_inductor" in forms)]
    yield from map(figures.parity, (MODEL, *others, *libtorch, *variants))
    yield from map(figures.latency, Percentiles.model_fields)
    yield from map(figures.throughput, TIMED_BATCHES)
    yield figures.COLD_START
    yield from (figures.gain(kind, of) for kind in [*variants, *libtorch] for of in Gain.model_fields)


def _of_classes(config: "Config", backgrounds: Sequence[str], scorer: str | None) -> Iterator[str]:
    """How well a scorer tells the classes apart."""
    efficiencies = config.evaluation.signal_efficiencies
    for background in backgrounds:
        yield figures.auc(background, scorer)
        yield from (figures.rejection(background, at, scorer) for at in efficiencies)
    for name in config.classes if len(config.classes) > 2 else ():
        yield figures.auc_against_rest(name, scorer)
        yield from (figures.rejection_of_rest(name, at, scorer) for at in efficiencies)
    if config.classes:
        yield figures.accuracy(scorer)
        yield figures.balanced_accuracy(scorer)


def _of_thresholds(config: "Config", backgrounds: Sequence[str]) -> Iterator[str]:
    """What the model alone is measured by."""
    yield from (figures.auc_of_pair(*pair) for pair in combinations(backgrounds, 2))
    for mistag in config.evaluation.working_points.mistag.values():
        yield from (figures.efficiency_at_mistag(background, mistag) for background in backgrounds)
        if len(backgrounds) > 1 and config.signal:
            yield figures.efficiency_at_mistag_of_rest(config.signal, mistag)


def _of_data(config: "Config") -> Iterator[str]:
    """Those of data against simulation."""
    yield figures.DATA_P_VALUE
    for set_name, texts in compared_with_data(config).items():
        yield from (figures.data_chi2_p_value(set_name, text) for text in texts)
        if set_name not in config.inputs or config.inputs[set_name].max_length is None:
            yield from (figures.data_ks_p_value(set_name, text) for text in texts)


def _of_systematics(config: "Config", backgrounds: Sequence[str]) -> Iterator[str]:
    """What variations of the simulation shift."""
    for name, direction, _ in variations(config):
        for background in backgrounds:
            yield figures.systematic(name, direction, "auc", background)
            for at in config.evaluation.signal_efficiencies:
                yield from (figures.systematic(name, direction, what, background, at=at) for what in SHIFTED)
