"""Shards to batches on a device, and to the dataset's totals. Rule `assemble`."""
