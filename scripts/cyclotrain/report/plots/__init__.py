"""The figures of a run, drawn from its results: nothing here reads a shard or runs a network. Rule `plot`."""
