"""ROOT files to Arrow shards: rule `skim`, and the checks before any job."""
