#!/bin/sh
# Start Snakemake on a worker, with the Python that CYCLOTRAIN_PYTHON names, else the container's own.

# Files have the time at which HTCondor brought them. Snakemake would make an output again that came before its input or script.
find . -type f -exec touch -t 200001010000 {} +
if [ -d results ]; then
  touch results
  find results -type f -exec touch -r results {} +
fi

"${CYCLOTRAIN_PYTHON:-python3}" -m snakemake "$@"
code=$?

# HTCondor would hold a failed job because its outputs are missing, and not report it as failed. So make empty ones, which
# Snakemake deletes.
if [ $code -ne 0 ]; then
  sed -n 's/^TransferOutput = "\(.*\)"$/\1/p' "$_CONDOR_JOB_AD" | tr ',' '\n' | while read -r output; do
    [ -e "$output" ] || { mkdir -p "$(dirname "$output")" && : >"$output"; }
  done
fi
exit $code
