"""Rule `verify`: the exported files in ONNX Runtime and LibTorch against PyTorch; the verdict comes in the rule `gates`."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import FCCANALYSES, MODEL, NETWORK
from cyclotrain.core.logs import rule
from cyclotrain.core.memory import keep_freed_memory
from cyclotrain.parity.artefacts import Artefact, Runtimes
from cyclotrain.parity.cases import References
from cyclotrain.parity.verify import verify

with rule(snakemake.log[0]):
    keep_freed_memory()
    contract, tolerance = Contract.read(snakemake.input.contract), snakemake.params.tolerance
    artefacts = [Artefact(MODEL, snakemake.input.onnx, tolerance, tf32_tolerance=snakemake.params.tf32_tolerance)]
    if snakemake.input.network:
        network, preprocess = snakemake.input.network
        artefacts.append(Artefact(NETWORK, network, tolerance, preprocess))
    if snakemake.input.fccanalyses:
        network, preprocess = snakemake.input.fccanalyses
        artefacts.append(Artefact(FCCANALYSES, network, tolerance, preprocess))
    artefacts += [Artefact(form, snakemake.input[form], tolerance) for form in snakemake.params.forms]
    for (kind, tolerances), path in zip(snakemake.params.variants.items(), snakemake.input.variants, strict=True):
        artefacts.append(Artefact(kind, path, **tolerances))
    verification = verify(
        contract,
        References(contract, ModelConfig(**snakemake.params.model), snakemake.input.weights),
        artefacts,
        shards=snakemake.input.shards,
        runtimes=Runtimes(snakemake.input.environments, snakemake.threads, snakemake.input.libtorch),
        evidence=snakemake.params.evidence,
    )
    verification.write(snakemake.output[0])
