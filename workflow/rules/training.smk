rule train:
    input:
        contract=rules.assemble.output.contract,
        shards=skims("arrow"),
    output:
        weights="<run>/train/weights.pt",
        history="<run>/train/history.jsonl",
    log:
        "<run>/logs/train.log",
    benchmark:
        "<run>/benchmarks/train.jsonl"
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        disk_mb=4000,
        runtime=1440,
        gpu=gpus(),
        # the same, as HTCondor's executor reads it
        request_gpus=gpus(),
    params:
        model=settings.model.model_dump(),
        training=settings.training.model_dump(),
        # not an output: Snakemake would delete it with a killed job, and it is what the next try goes on from
        checkpoints=f"{RUN}/train/checkpoints",
    script:
        "../../scripts/train.py"


rule export:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
    output:
        "<run>/model/model.onnx",
    log:
        "<run>/logs/export.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        mem_mb=4000,
        disk_mb=500,
        runtime=30,
    params:
        model=settings.model.model_dump(),
        targets=settings.export.targets,
    script:
        "../../scripts/export.py"


rule export_network:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
    output:
        onnx="<run>/model/network.onnx",
        preprocess="<run>/model/preprocess.json",
    log:
        "<run>/logs/export_network.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        mem_mb=4000,
        disk_mb=500,
        runtime=30,
    params:
        model=settings.model.model_dump(),
        targets=settings.export.targets,
    script:
        "../../scripts/export_network.py"


rule variant:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
        onnx=rules.export.output[0],
        shards=skims("arrow"),
    output:
        "<run>/model/{kind}.onnx",
    log:
        "<run>/logs/variant/{kind}.log",
    wildcard_constraints:
        kind="|".join(VARIANT_KINDS),
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        mem_mb=4000,
        disk_mb=500,
        runtime=30,
    params:
        model=settings.model.model_dump(),
    script:
        "../../scripts/variant.py"
