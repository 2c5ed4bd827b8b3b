"""Batch systems, for all rules that run as jobs: profiles, leftover jobs, and what is changed inside Snakemake."""
