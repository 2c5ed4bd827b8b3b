"""weaver's own loader over a file, run with weaver-core on the path: prints examples and seconds. config.yaml file.root"""

import sys
import time

from weaver.utils.dataset import SimpleIterDataset


def main(config: str, path: str) -> None:
    """Every example once, as tensors, in this process; the second time, when what numba compiles is compiled."""
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
