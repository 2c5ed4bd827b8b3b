"""Rule `verify`: ONNX Runtime against PyTorch. The rule `gates` fails if they differ, so that the evidence stays."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.parity.verify import MODEL, Artefact, verify

with rule(snakemake.log[0]):
    tolerance = snakemake.params.tolerance
    artefacts = [Artefact(MODEL, snakemake.input.onnx, tolerance, tf32_tolerance=snakemake.params.tf32_tolerance)]
    if snakemake.input.network:
        network, preprocess = snakemake.input.network
        artefacts.append(Artefact("network with preprocess.json", network, tolerance, preprocess))
    for (kind, gates), path in zip(snakemake.params.variants.items(), snakemake.input.variants, strict=True):
        artefacts.append(Artefact(kind, path, gates["tolerance"], hostile_tolerance=gates["hostile_tolerance"]))
    verify(
        Contract.read(snakemake.input.contract),
        ModelConfig(**snakemake.params.model),
        snakemake.input.weights,
        artefacts,
        snakemake.input.shards,
        snakemake.input.environments,
        snakemake.threads,
        snakemake.output[0],
        snakemake.params.evidence,
    )
