rule runtime_environment:
    output:
        "results/runtimes/{version}/installed.json",
    log:
        "results/runtimes/{version}/install.log",
    # needs the network, which a batch worker may not have
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    script:
        "../../scripts/runtime_environment.py"


rule verify:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
        onnx=rules.export.output[0],
        network=rules.export.output.network,
        variants=variants(),
        shards=skims("arrow"),
        environments=runtime_environments(),
    output:
        report(
            "<fold>/verification.json",
            caption="../report/verification.rst",
            category="Verification",
            labels={"file": "parity, case by case", **FOLD_LABEL},
        ),
    log:
        "<fold>/logs/verify.log",
    benchmark:
        "<fold>/benchmarks/verify.jsonl"
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        disk_mb=2000,
        runtime=120,
    params:
        model=settings.model.model_dump(),
        tolerance=settings.verification.tolerance,
        tf32_tolerance=settings.verification.tf32_tolerance,
        variants=variant_gates(),
        # written only if a case fails
        evidence=lambda wildcards: f"{FOLD}/verification_evidence.npz".format(
            **wildcards
        ),
    script:
        "../../scripts/verify.py"


rule baseline:
    input:
        contract=rules.assemble.output.contract,
        shards=skims("arrow"),
    output:
        "<fold>/baseline.npy",
    log:
        "<fold>/logs/baseline.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        disk_mb=500,
        runtime=60,
    script:
        "../../scripts/baseline.py"


rule evaluate:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.export.output[0],
        variants=variants(),
        shards=skims("arrow"),
        baseline=rules.baseline.output[0],
        history=rules.train.output.history,
    output:
        result=report(
            "<fold>/evaluation.json",
            caption="../report/evaluation.rst",
            category="Physics",
            labels={"figure": "table (JSON)", **FOLD_LABEL},
        ),
        roc=report(
            "<fold>/plots/roc.png",
            caption="../report/roc.rst",
            category="Physics",
            labels={"figure": "ROC", **FOLD_LABEL},
        ),
        scores=report(
            "<fold>/plots/scores.png",
            caption="../report/scores.rst",
            category="Physics",
            labels={"figure": "scores", **FOLD_LABEL},
        ),
        confusion=report(
            "<fold>/plots/confusion.png",
            caption="../report/confusion.rst",
            category="Physics",
            labels={"figure": "confusion matrix", **FOLD_LABEL},
        ),
        training=report(
            "<fold>/plots/history.png",
            caption="../report/history.rst",
            category="Training",
            labels={"figure": "loss by epoch", **FOLD_LABEL},
        ),
    log:
        "<fold>/logs/evaluate.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        disk_mb=500,
        runtime=60,
    params:
        settings=settings.evaluation.model_dump(),
        variants=variant_gates(),
    script:
        "../../scripts/evaluate.py"


rule time_model:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
        onnx=rules.export.output[0],
        variants=variants(),
        shards=skims("arrow"),
        environments=runtime_environments(),
    output:
        result="<fold>/benchmark.json",
        plot=report(
            "<fold>/plots/latency.png",
            caption="../report/latency.rst",
            category="Speed",
            labels={"figure": "latency and throughput", **FOLD_LABEL},
        ),
    log:
        "<fold>/logs/time_model.log",
    conda:
        "../../envs/cyclotrain.yaml"
    # It runs on one; it asks for many, as another job beside it would be in the figures.
    threads: 64
    resources:
        mem_mb=4000,
        disk_mb=500,
        runtime=30,
    params:
        model=settings.model.model_dump(),
        variants=list(settings.export.variants),
    script:
        "../../scripts/time_model.py"


rule gates:
    input:
        verification=rules.verify.output[0],
        evaluation=rules.evaluate.output.result,
    output:
        "<fold>/gates.json",
    log:
        "<fold>/logs/gates.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    script:
        "../../scripts/gates.py"
