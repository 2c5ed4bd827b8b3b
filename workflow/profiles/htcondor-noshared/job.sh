#!/bin/sh
# Starts Snakemake on a worker: CYCLOTRAIN_PYTHON names the Python that has envs/requirements.txt; else the container's own.
exec "${CYCLOTRAIN_PYTHON:-python3}" -m snakemake "$@"
