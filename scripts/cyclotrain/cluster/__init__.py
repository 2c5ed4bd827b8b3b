"""Batch systems: what Snakemake's executors leave undone, and the generated part of the profiles."""
