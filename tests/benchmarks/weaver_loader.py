"""Run weaver's own loader on a file and print examples and seconds: weaver_loader.py config.yaml file.root

Needs weaver-core on PYTHONPATH.
"""

import sys
import time

from weaver.utils.dataset import SimpleIterDataset


def main(config: str, path: str) -> None:
    """Load every example once, as tensors, in this process. The second time counts: numba has then compiled its functions."""
    dataset = SimpleIterDataset(
        {"jets": [path]}, config, for_training=False, load_range_and_fraction=((0, 1), 1, 1), fetch_by_files=True, fetch_step=1,
        async_load=False, name="test",
    )  # fmt: skip
    for _ in range(2):
        start = time.perf_counter()
        n = sum(1 for _ in dataset)
        seconds = time.perf_counter() - start
    print(n, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
