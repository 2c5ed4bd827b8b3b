"""From shards to the totals of the dataset, and to batches on a device. Rule `assemble`."""
