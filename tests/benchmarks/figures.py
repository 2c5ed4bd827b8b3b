"""The lines of the table, and how to measure them."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import Any

from cyclotrain.runtimes.worker import memory as memory_here

# {name, value, unit, reference, reference_value, ratio}; a ratio above 1 means better than the reference
Figure = dict[str, str | float]


def figure(name: str, value: float, unit: str, *, reference: str, reference_value: float) -> Figure:
    """One line of the table; `value` and `reference_value` are rates in the same unit, `reference` describes the reference."""
    return {
        "name": name, "value": value, "unit": unit, "reference": reference, "reference_value": reference_value,
        "ratio": value / reference_value,
    }  # fmt: skip


def memory(name: str, peaks: Sequence[float], reference: str) -> Figure:
    """A line on peak memory in MB for the small and the large input; the ratio is 1 if memory does not grow."""
    small, large = peaks
    return {**figure(name, large, "MB", reference=reference, reference_value=small), "ratio": small / large}


def seconds_of(call: Callable[[], Any]) -> float:
    """The seconds that the call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternating(
    ours: Callable[[], Any], reference: Callable[[], Any], repeats: int, before: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """The shortest time of each. They run in turns, so other load on the machine affects both alike. `before` is not timed."""
    times = []
    for _ in range(repeats):
        before()
        times.append((seconds_of(ours), seconds_of(reference)))
    best, best_reference = (min(column) for column in zip(*times, strict=True))
    return best, best_reference


def peak_memory(call: Callable[..., Any], *arguments: Any) -> float:
    """Peak memory in MB of a call in a new process, including its imports."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (call, arguments))


def _peak_memory(call: Callable[..., Any], arguments: Sequence[Any]) -> float:
    call(*arguments)
    peak = memory_here("VmHWM")
    assert peak is not None, "peak memory is read from /proc, which this machine lacks"
    return peak
