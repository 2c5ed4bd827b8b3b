"""ONNX Runtime: sessions, other releases in separate processes, and what each target loads. Rule `runtime_environment`."""
