"""Writes the tensors that weaver makes from ROOT files. test_convert runs it: reference.py config.yaml file.root out.npz ..."""

import sys
from pathlib import Path

import numpy as np
from weaver.utils.data.config import DataConfig
from weaver.utils.data.preprocess import AutoStandardizer
from weaver.utils.dataset import _load_next

for path, file, out in zip(*[iter(sys.argv[1:])] * 3, strict=True):
    config = DataConfig.load(path)
    if config._missing_standardization_info:
        fitted = str(Path(path).with_suffix(".auto.yaml"))
        AutoStandardizer([file], config).produce(fitted)
        path = fitted
    config = DataConfig.load(path, load_observers=False, load_reweight_info=False)
    options = {"training": True, "mode": "train", "reweight": False, "shuffle": False}
    table, _ = _load_next(config, [file], [(0, 1)], options)
    np.savez(out, **{name: np.asarray(values) for name, values in table.items()})
