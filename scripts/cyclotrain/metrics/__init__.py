"""Numbers computed from arrays: ROC curves, background rejection. No files, no plots."""
