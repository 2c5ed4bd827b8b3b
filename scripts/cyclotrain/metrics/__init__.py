"""Numbers from arrays: ROC curves, rejection, distances of distributions. No files and no plots."""
