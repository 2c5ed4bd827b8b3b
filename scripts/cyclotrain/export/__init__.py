"""The trained model as ONNX files. Rules `export` and `variant`."""
