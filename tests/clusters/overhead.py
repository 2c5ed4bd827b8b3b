"""What a cluster costs: the whole demo at test size, here and on each cluster with its profile, in turn on the same cores.

Run: make bench-clusters [REPEATS=3]

Prints the seconds of each run, and `htcondor_vs_local` and `slurm_vs_local`: the time here over the time there, at best 1.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import servers
from sites import HTCONDOR, SLURM, software

from support.workflow import Workflow, small_demo


def main() -> None:
    repeats = int(sys.argv[1]) if sys.argv[1:] else 3
    seconds: dict[str, list[float]] = {"local": [], "htcondor": [], "slurm": []}
    with tempfile.TemporaryDirectory(prefix="cyclotrain-overhead-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pool").mkdir()
        (folder / "slurm").mkdir()
        root = servers.htcondor_root(Path("/var/tmp/cyclotrain-htcondor"))
        pool, slurm = servers.HTCondorPool(root, folder / "pool", software(), [folder]), servers.Slurm(folder / "slurm")
        ways = {"local": ((), {}), "htcondor": (HTCONDOR, pool.environment), "slurm": (SLURM, slurm.environment)}
        try:
            for repeat in range(repeats):
                for way, (arguments, environment) in ways.items():
                    workflow = Workflow(folder / f"{way}{repeat}")
                    start = time.monotonic()
                    workflow.run(small_demo(), *arguments, **environment)
                    seconds[way].append(time.monotonic() - start)
                    print(f"{way:<10} {seconds[way][-1]:6.1f} s", flush=True)
        finally:
            slurm.stop()
            pool.stop()
    for way in ("htcondor", "slurm"):
        print(f"{way}_vs_local {statistics.median(seconds['local']) / statistics.median(seconds[way]):.2f}")


if __name__ == "__main__":
    main()
