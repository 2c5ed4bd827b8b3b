"""The exported model's physics and speed. Rules `baseline`, `evaluate` and `time_model`."""
