"""From ROOT ntuples to a verified ONNX model. Run: snakemake --cores 8 [--configfile my.yaml]"""

import os

from snakemake.utils import min_version

min_version("9.0")


# A config of the user's replaces the demo's as a whole; merged, it would train on the demo's samples too.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


# the first page of Snakemake's report
report: "workflow/report/workflow.rst"


# What `--sdm apptainer` runs the rules in: an image made with envs/Containerfile.
container: os.environ.get("CYCLOTRAIN_IMAGE", "envs/cyclotrain.sif")


include: "workflow/rules/common.smk"
include: "workflow/rules/forms.smk"


wildcard_constraints:
    fold="[0-9]+",


pathvars:
    run=RUN,
    fold=FOLD,


include: "workflow/rules/samples.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/validation.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/deployment.smk"
include: "workflow/rules/clusters.smk"


rule all:
    default_target: True
    input:
        get_final_output(),
