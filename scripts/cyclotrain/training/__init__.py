"""Rule `train`."""
