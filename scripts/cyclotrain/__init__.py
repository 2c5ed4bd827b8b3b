"""From ROOT ntuples to a verified, deployable ONNX model."""

__version__ = "0.1.0"
