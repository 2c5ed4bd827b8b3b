#!/bin/sh
# Starts Snakemake on a worker: CYCLOTRAIN_PYTHON names the Python that has envs/requirements.txt; else the container's own.

# What HTCondor brought has the time of its arrival; Snakemake would make anew here what came before its input or its script.
find . -type f -exec touch -t 200001010000 {} +
if [ -d results ]; then
  touch results
  find results -type f -exec touch -r results {} +
fi

"${CYCLOTRAIN_PYTHON:-python3}" -m snakemake "$@"
code=$?

# HTCondor would hold a job that failed, as its outputs are missing, and not say that it failed. Snakemake deletes these.
if [ $code -ne 0 ]; then
  sed -n 's/^TransferOutput = "\(.*\)"$/\1/p' "$_CONDOR_JOB_AD" | tr ',' '\n' | while read -r output; do
    [ -e "$output" ] || { mkdir -p "$(dirname "$output")" && : >"$output"; }
  done
fi
exit $code
