"""`skim` against uproot, by layout, compression and format; `skim` against weaver; scaling to two processes; memory."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import awkward as ak
import pyarrow as pa
import uproot

from benchmarks.figures import Figure, alternating, figure, memory, peak_memory, seconds_of
from benchmarks.sample import Sample, flat
from cyclotrain.config import Config
from cyclotrain.demo.branches import JETS_TREE
from cyclotrain.ingest.ntuples import PLAIN_READS
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import STEP, skim
from cyclotrain.runtimes.environments import uv

_REPEATS, _GB = 5, 1e9
WEAVER = ("weaver-core==0.5.3", "numba==0.68.1", "llvmlite==0.50.0")  # in addition to the packages of Cyclotrain
WEAVER_LOADER = Path(__file__).with_name("weaver_loader.py")


def figures(sample: Sample, folder: Path) -> list[Figure]:
    """All figures of ingest."""
    kinds: dict[str, dict[str, Any]] = {"zstd": {}, "lz4": {"compression": uproot.LZ4(4)}, "rntuple": {"rntuple": True}}
    layouts: dict[str, tuple[Config, Callable[..., str]]] = {
        "flat": (flat(sample.config), sample.write_flat),
        "jagged": (sample.config, sample.write),
    }
    table = [
        _skim_vs_uproot(f"skim_vs_uproot_{layout}_{kind}", config, write(folder / f"{layout}_{kind}.root", **options), folder)
        for layout, (config, write) in layouts.items()
        for kind, options in kinds.items()
    ]
    table += [
        _skim_limit(f"skim_limit_flat_{kind}", layouts["flat"][0], str(folder / f"flat_{kind}.root"), folder) for kind in kinds
    ]
    path = str(folder / "jagged_zstd.root")
    table.append(_skim_vs_weaver(sample.config, path, folder))
    return [*table, _scaling(sample.config, path, folder), _skim_memory(sample.config, path, folder)]


def _recipe(config: Config) -> Recipe:
    return Recipe.from_config(config, next(iter(config.samples)))


def _skim(recipe: Recipe, paths: list[str], folder: Path) -> None:
    skim(recipe, paths, friends={}, skip_broken=False, shard=folder / "skim.arrow", receipt=folder / "skim.json")


def _delete_shards(folder: Path) -> None:
    """Delete the last shard before the clock starts; otherwise the time to free its blocks would count."""
    for old in folder.glob("*.arrow"):
        old.unlink()


def _process() -> Any:
    """A new process for calls in turn, like a job's: its allocator has no memory that other code has freed."""
    return multiprocessing.get_context("spawn").Pool(1)


def _against_reading(
    call: Callable[[Recipe, list[str], Path], None], recipe: Recipe, path: str, folder: Path
) -> tuple[float, float]:
    """Events per second of a call, and of uproot, which reads the same branches and drops them."""
    with _process() as ours, _process() as bare:
        best, best_bare = alternating(
            lambda: ours.apply(call, (recipe, [path], folder)), lambda: bare.apply(_read, (recipe, [path])), _REPEATS,
            lambda: _delete_shards(folder),
        )  # fmt: skip
    n = _entries(path)
    return n / best, n / best_bare


def _skim_vs_uproot(name: str, config: Config, path: str, folder: Path) -> Figure:
    rate, bare = _against_reading(_skim, _recipe(config), path, folder)
    speed = Path(path).stat().st_size / 1e6 / _entries(path) * rate
    return figure(
        name,
        rate,
        "events/s",
        reference_value=bare,
        reference=f"uproot.iterate over the same branches, read and dropped; {speed:.0f} MB/s of file",
    )


def _skim_limit(name: str, config: Config, path: str, folder: Path) -> Figure:
    """The upper limit of `skim_vs_uproot`: read the same columns with the threads of `skim`, and only write them."""
    rate, bare = _against_reading(_copy, _recipe(config), path, folder)
    return figure(name, rate, "events/s", reference="the same; the value: read and only written by pyarrow", reference_value=bare)


def _copy(recipe: Recipe, paths: list[str], folder: Path) -> None:
    with ThreadPoolExecutor(2) as decompressing, ThreadPoolExecutor(1) as writing, ExitStack() as stack:
        file = None
        for batch in _batches(recipe, paths, decompression_executor=decompressing, **PLAIN_READS):
            record = pa.RecordBatch.from_pydict({branch: ak.to_numpy(batch[branch]) for branch in batch.fields})
            file = file or stack.enter_context(pa.ipc.new_file(str(folder / "copy.arrow"), record.schema))
            written = writing.submit(file.write_batch, record)
        written.result()


def _batches(recipe: Recipe, paths: list[str], **options: Any) -> Iterator[Any]:
    batches: Iterator[Any] = uproot.iterate(dict.fromkeys(paths, JETS_TREE), recipe.branches(), step_size=f"{STEP} B", **options)
    return batches


def _read(recipe: Recipe, paths: list[str]) -> None:
    for _ in _batches(recipe, paths):
        pass


def _entries(path: str) -> int:
    with uproot.open(path) as file:
        return int(file[JETS_TREE].num_entries)


def _skim_vs_weaver(config: Config, path: str, folder: Path) -> Figure:
    """Both in one process, from the file to what the training reads: shards here, tensors there."""
    uv("pip", "install", "--python", sys.executable, "--no-deps", "--target", str(folder / "weaver"), *WEAVER)
    command = [sys.executable, str(WEAVER_LOADER), str(WEAVER_LOADER.with_name("weaver.yaml")), path]
    environment = {**os.environ, "PYTHONPATH": str(folder / "weaver")}
    words = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    n, seconds = int(words[-2]), float(words[-1])
    best = min(seconds_of(lambda: _skim(_recipe(config), [path], folder)) for _ in range(_REPEATS))
    reference = "weaver-core's loader, the same features, in one process"
    return figure("skim_vs_weaver", n / best, "events/s", reference=reference, reference_value=n / seconds)


def _scaling(config: Config, path: str, folder: Path) -> Figure:
    """Four files by one process and by two. Each process has one core, as a batch system gives to a job with one thread."""
    tasks = []
    for i in range(4):
        (folder / str(i)).mkdir(exist_ok=True)
        tasks.append((_recipe(config), [path], folder / str(i)))
    times = {}
    for processes in (1, 2):
        spawn = multiprocessing.get_context("spawn")
        cores = spawn.SimpleQueue()
        for core in sorted(os.sched_getaffinity(0))[:processes]:
            cores.put(core)
        with spawn.Pool(processes, initializer=_pin, initargs=(cores,)) as pool:
            pool.starmap(_skim, tasks[:processes], chunksize=1)  # import everything
            times[processes] = min(seconds_of(lambda: pool.starmap(_skim, tasks, chunksize=1)) for _ in range(3))
    return figure("skim_scaling_2", 4 / times[2], "files/s", reference="one process on one core", reference_value=4 / times[1])


def _pin(cores: Any) -> None:
    os.sched_setaffinity(0, {cores.get()})


def _skim_memory(config: Config, path: str, folder: Path) -> Figure:
    """One job on 1 GB and one on 8 GB of files. The files are links to the same file; a fraction of the events is kept."""
    recipe = _recipe(config.model_copy(update={"selection": "jet_pt > 680"}))
    links = []
    for i in range(-(-int(8 * _GB) // Path(path).stat().st_size)):
        links.append(str(folder / f"link{i}.root"))
        os.link(path, links[-1])
    peaks = [peak_memory(_skim, recipe, links[: -(-len(links) * gigabytes // 8)], folder) for gigabytes in (1, 8)]
    return memory("skim_memory", peaks, "a job on 1 GB of files; the value: a job on 8 GB")
