"""ROOT files to Arrow shards. Rule `skim`; the checks before any job."""
