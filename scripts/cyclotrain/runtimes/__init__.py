"""ONNX Runtime: sessions, releases in processes of their own, and what each target loads. Rule `runtime_environment`."""
