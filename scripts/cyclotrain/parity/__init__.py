"""The exported files against PyTorch. Rule `verify`."""
