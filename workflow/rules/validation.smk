rule runtime_environment:
    output:
        "<run>/runtimes/{version}.json",
    log:
        "<run>/logs/runtimes/{version}.log",
    wildcard_constraints:
        version=r"\d[^/]*",
    # needs the network, which a batch worker may not have
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        # not an output: runs share it, and Snakemake would not let two of them make it at once
        folder="results/runtimes/{version}",
    script:
        "../../scripts/runtime_environment.py"


rule libtorch_environment:
    output:
        "<run>/runtimes/libtorch-{version}.json",
    log:
        "<run>/logs/runtimes/libtorch-{version}.log",
    # needs the network, which a batch worker may not have
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        # as of `runtime_environment`
        folder="results/runtimes/libtorch-{version}",
    script:
        "../../scripts/libtorch_environment.py"


rule verify:
    input:
        **torch_forms(),
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
        onnx=rules.export.output[0],
        network=rules.export.output.network,
        fccanalyses=rules.export.output.fccanalyses,
        variants=variants(),
        shards=skims("arrow"),
        environments=runtime_environments(),
        libtorch=libtorch_environments(),
    output:
        report(
            "<fold>/verification.json",
            caption="../report/verification.rst",
            category="Verification",
            labels={"file": "parity, case by case", **FOLD_LABEL},
        ),
    log:
        "<fold>/logs/verify.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        **resources_of("verify"),
    params:
        model=settings.model.model_dump(),
        tolerance=settings.verification.tolerance,
        tf32_tolerance=settings.verification.tf32_tolerance,
        forms=list(torch_forms()),
        variants=variant_tolerances(),
        # written only if a case fails
        evidence=fold_path("verification_evidence.npz"),
    script:
        "../../scripts/verify.py"


rule baseline:
    input:
        contract=rules.assemble.output.contract,
        shards=skims("arrow"),
    output:
        "<fold>/predictions/test/boosted_trees.arrow",
    log:
        "<fold>/logs/baseline.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        **resources_of("baseline"),
    script:
        "../../scripts/baseline.py"


rule predict:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.export.output[0],
        shards=skims("arrow"),
    output:
        train="<fold>/predictions/train/model.arrow",
        train_examples="<fold>/predictions/train/examples.arrow",
        test="<fold>/predictions/test/model.arrow",
        test_examples="<fold>/predictions/test/examples.arrow",
    log:
        "<fold>/logs/predict.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        **resources_of("predict"),
    script:
        "../../scripts/predict.py"


rule predict_other:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.variant.output[0],
        shards=skims("arrow"),
    output:
        test="<fold>/predictions/test/{kind}.arrow",
    log:
        "<fold>/logs/predict/{kind}.log",
    wildcard_constraints:
        kind="|".join(VARIANT_KINDS),
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        **resources_of("predict_other"),
    script:
        "../../scripts/predict.py"


rule compared_model:
    input:
        compared_file,
    output:
        "<run>/compared/{name}.onnx",
    log:
        "<run>/logs/compared/{name}.log",
    # MLflow's server, and another run's folder, may not be seen from elsewhere
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        where=compared_place,
        uri=settings.tracking.uri,
    script:
        "../../scripts/compared_model.py"


rule predict_compared:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.compared_model.output[0],
        shards=skims("arrow"),
    output:
        test="<fold>/predictions/test/{name}.arrow",
        model="<fold>/compared/{name}.json",
    log:
        "<fold>/logs/predict/{name}.log",
    wildcard_constraints:
        name="|".join(settings.compare) or "(?!)",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        **resources_of("predict_compared"),
    params:
        where=compared_place,
    script:
        "../../scripts/predict_compared.py"


rule evaluate:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.export.output[0],
        train=rules.predict.output.train,
        train_examples=rules.predict.output.train_examples,
        test=rules.predict.output.test,
        test_examples=rules.predict.output.test_examples,
        others=other_answers(),
        compared=compared(),
    output:
        evaluation=report(
            "<fold>/evaluation.json",
            caption="../report/evaluation.rst",
            category="Physics",
            labels={"figure": "table (JSON)", **FOLD_LABEL},
        ),
        curves="<fold>/curves.json",
    log:
        "<fold>/logs/evaluate.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("evaluate"),
    params:
        evaluation=settings.evaluation.model_dump(),
        scorers=other_scorers(),
    script:
        "../../scripts/evaluate.py"


rule working_points:
    input:
        contract=rules.assemble.output.contract,
        evaluation=rules.evaluate.output.evaluation,
    output:
        json="<fold>/working_points/thresholds.json",
        correctionlib="<fold>/working_points/correctionlib.json",
    log:
        "<fold>/logs/working_points.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    script:
        "../../scripts/working_points.py"


rule time_model:
    input:
        **torch_forms(),
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
        onnx=rules.export.output[0],
        variants=variants(),
        shards=skims("arrow"),
        environments=runtime_environments(),
        libtorch=own_libtorch(),
    output:
        "<fold>/timing.json",
    log:
        "<fold>/logs/time_model.log",
    conda:
        "../../envs/cyclotrain.yaml"
    # It runs on one thread. It asks for many, because another job beside it would change the figures.
    threads: 64
    resources:
        **resources_of("time_model"),
    params:
        model=settings.model.model_dump(),
        variants=list(settings.export.variants),
        forms=list(torch_forms()),
    script:
        "../../scripts/time_model.py"


rule gates:
    input:
        **STUDIES,
        verification=rules.verify.output[0],
        evaluation=rules.evaluate.output.evaluation,
        timing=rules.time_model.output[0],
    output:
        report(
            "<fold>/gates.json",
            caption="../report/gates.rst",
            category="Gates",
            labels={"file": "verdicts", **FOLD_LABEL},
        ),
    log:
        "<fold>/logs/gates.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        bounds=bounds_of(settings),
        rejection_losses={
            kind: variant.rejection_loss
            for kind, variant in settings.export.variants.items()
        },
    script:
        "../../scripts/gates.py"
