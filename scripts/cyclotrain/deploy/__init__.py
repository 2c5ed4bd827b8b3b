"""Bundle, reference vectors and friend trees for consumers of the model. Rules `reference_vectors`, `bundle` and `score_file`."""
