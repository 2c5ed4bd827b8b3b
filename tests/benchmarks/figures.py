"""Lines of the table, and how they are measured."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import Any

from cyclotrain.runtimes.worker import peak_memory as peak_memory_here

# {name, value, unit, reference, reference_value, ratio}; a ratio above 1 means better than the reference
Figure = dict[str, str | float]


def figure(name: str, value: float, unit: str, reference: str, reference_value: float) -> Figure:
    """One line of the table; value and reference_value are rates in the same unit."""
    return {
        "name": name, "value": value, "unit": unit, "reference": reference, "reference_value": reference_value,
        "ratio": value / reference_value,
    }  # fmt: skip


def memory(name: str, peaks: Sequence[float], reference: str) -> Figure:
    """A line on peak memory in MB, of the small and of the large input; the ratio is 1 where it does not grow."""
    small, large = peaks
    return {**figure(name, large, "MB", reference, small), "ratio": small / large}


def seconds_of(call: Callable[[], Any]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternating(
    ours: Callable[[], Any], reference: Callable[[], Any], repeats: int, before: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """The shortest times of both; taken in turns, so that what else the machine does meets both alike. `before` is not timed."""
    times = []
    for _ in range(repeats):
        before()
        times.append((seconds_of(ours), seconds_of(reference)))
    best, best_reference = (min(column) for column in zip(*times, strict=True))
    return best, best_reference


def peak_memory(call: Callable[..., Any], *arguments: Any) -> float:
    """The most memory that a call takes in a process of its own, with all that it imports, in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (call, arguments))


def _peak_memory(call: Callable[..., Any], arguments: Sequence[Any]) -> float:
    call(*arguments)
    peak = peak_memory_here()
    assert peak is not None, "there is no /proc here"
    return peak
