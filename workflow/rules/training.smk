rule train:
    input:
        **parent_file("weights"),
        contract=rules.assemble.output.contract,
        shards=skims("arrow"),
    output:
        weights="<fold>/train/weights.pt",
        history="<fold>/train/history.jsonl",
    log:
        "<fold>/logs/train.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 4
    resources:
        **resources_of("train"),
        gpu=gpus(),
        # the same, as HTCondor's executor reads it
        request_gpus=gpus(),
    params:
        model=settings.model.model_dump(),
        training=settings.training.model_dump(),
        source=train_source,
        # not an output: Snakemake would delete it with a killed job, and it is what the next try goes on from
        checkpoints=fold_path("train/checkpoints"),
    script:
        "../../scripts/train.py"


rule scan_learning_rates:
    input:
        **parent_file("weights"),
        contract=rules.assemble.output.contract,
        shards=skims("arrow"),
    output:
        "<fold>/train/learning_rate.json",
    log:
        "<fold>/logs/scan_learning_rates.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 4
    resources:
        **resources_of("scan_learning_rates"),
        gpu=gpus(),
        # the same, as HTCondor's executor reads it
        request_gpus=gpus(),
    params:
        model=settings.model.model_dump(),
        training=settings.training.model_dump(),
        source=train_source,
    script:
        "../../scripts/scan_learning_rates.py"
