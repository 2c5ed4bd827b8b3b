"""What the model costs."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from cyclotrain.contract.results import PytorchTiming, RuntimeTiming, Timing
from cyclotrain.report.forms import NAMES
from cyclotrain.report.plots.style import COLOURS, figure
from cyclotrain.report.tables import Column, Table


def latency(timing: Timing, paths: Sequence[str | Path]) -> Iterator[Table]:
    """The latency of single examples as a distribution by runtime and form, and the rate by the size of the batch."""
    runtimes: list[tuple[str, RuntimeTiming]] = [(runtime.runtime, runtime) for runtime in timing.runtimes]
    runtimes += [(NAMES[name].partition(",")[0].partition(" in ")[0], form) for name, form in timing.forms.items()]
    lines: list[tuple[str, RuntimeTiming | PytorchTiming]] = [*runtimes, ("PyTorch, eager", timing.pytorch)]
    # the forms dashed, from the first colour on: there are more lines than colours
    styles = [(colour, "-") for colour, _ in zip(itertools.cycle(COLOURS), timing.runtimes, strict=False)]
    styles += [(colour, "--") for colour, _ in zip(itertools.cycle(COLOURS), timing.forms, strict=False)]
    styles.append(("grey", "-"))
    with figure(paths, width=13.0, height=5.5, columns=2) as (single, rate):
        share = np.linspace(0, 1, len(timing.pytorch.batch_1_quantiles_ms))
        for (name, line), (colour, dashes) in zip(lines, styles, strict=True):
            percentiles = line.batch_1_latency_ms
            label = f"{name}: {percentiles.p50:.2g} ms, 99 %: {percentiles.p99:.2g} ms"
            single.step(line.batch_1_quantiles_ms, share, where="post", color=colour, linestyle=dashes, label=label)
        single.set(xlabel="Latency of one example [ms]", ylabel="Fraction of examples below", xscale="log", ylim=(0, 1.02))
        single.set_yticks(np.linspace(0, 1, 6))
        single.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        single.xaxis.set_major_formatter("{x:g}")
        single.xaxis.set_minor_formatter(NullFormatter())
        single.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=11)
        for (_, runtime), (colour, dashes) in zip(runtimes, styles, strict=False):
            sizes, rates = zip(*runtime.examples_per_second.items(), strict=True)
            rate.plot(sizes, rates, marker="o", color=colour, linestyle=dashes)
        rate.set(xlabel="Examples in a batch", ylabel="Examples per second", xscale="log", ylim=(0, 1.1 * rate.get_ylim()[1]))
        sizes = tuple(timing.runtimes[0].examples_per_second)
        rate.set_xticks(sizes, [str(n) for n in sizes])
        rate.minorticks_off()
        rate.yaxis.set_major_formatter("{x:,.0f}")
        for axes in (single, rate):
            axes.grid(alpha=0.3)
    yield Table(
        name="latency of one example",
        columns=(
            Column(name="share of examples below", values=tuple(share.tolist()), is_independent=True),
            *(Column(name=name, values=line.batch_1_quantiles_ms, unit="ms") for name, line in lines),
        ),
    )
    yield Table(
        name="throughput",
        columns=(
            Column(name="examples in a batch", values=sizes, is_independent=True),
            *(Column(name=name, values=tuple(runtime.examples_per_second.values()), unit="1/s") for name, runtime in runtimes),
        ),
    )
