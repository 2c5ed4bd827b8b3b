"""What consumers of the model need. Rules `reference_vectors`, `bundle` and `score_file`."""
