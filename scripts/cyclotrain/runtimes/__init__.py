"""ONNX Runtime and LibTorch: sessions, other releases in processes of their own, targets. Rule `runtime_environment`."""
