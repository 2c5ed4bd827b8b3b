"""Compare the model with the reference vectors, in the ONNX Runtime of this environment. Run: python check.py"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime

here = pathlib.Path(__file__).resolve().parent
session = onnxruntime.InferenceSession(str(here.parent / "model.onnx"), providers=["CPUExecutionProvider"])
reference, largest = json.loads((here / "reference.json").read_text()), 0.0
for example in reference["examples"]:
    inputs = {name: np.array([values or [0.0]], np.float32) for name, values in example["inputs"].items()}
    largest = max(largest, float(np.abs(session.run(None, inputs)[0][0] - example["probabilities"]).max()))
print(f"ONNX Runtime {onnxruntime.__version__}: {len(reference['examples'])} examples, largest difference {largest:.2g}")
sys.exit(not largest <= reference["tolerance"])
