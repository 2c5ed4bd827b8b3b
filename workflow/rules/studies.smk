"""What a run measures besides, if its config has the inputs for it: Config.studies says what."""


rule describe_inputs:
    input:
        contract=rules.assemble.output.contract,
        shards=skims("arrow"),
    output:
        "<fold>/inputs.json",
    log:
        "<fold>/logs/describe_inputs.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("describe_inputs"),
    script:
        "../../scripts/describe_inputs.py"


rule compare_data:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.export.output[0],
        shards=skims("arrow"),
        test=rules.predict.output.test,
        test_examples=rules.predict.output.test_examples,
        data=skims("arrow", settings.data_samples),
    output:
        "<fold>/data.json",
    log:
        "<fold>/logs/compare_data.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("compare_data"),
    script:
        "../../scripts/compare_data.py"


rule importance:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
        shards=skims("arrow"),
    output:
        "<fold>/importance.json",
    log:
        "<fold>/logs/importance.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        **resources_of("importance"),
    params:
        model=settings.model.model_dump(),
    script:
        "../../scripts/importance.py"


rule systematics:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.export.output[0],
        shards=skims("arrow"),
        test=rules.predict.output.test,
        test_examples=rules.predict.output.test_examples,
        others=skims("arrow", settings.variation_samples),
    output:
        "<fold>/systematics.json",
    log:
        "<fold>/logs/systematics.log",
    conda:
        "../../envs/cyclotrain.yaml"
    threads: 2
    resources:
        **resources_of("systematics"),
    params:
        systematics={
            name: one.model_dump() for name, one in settings.systematics.items()
        },
        # of each of the other shards
        samples=[
            name for name in settings.variation_samples for _ in skim_jobs_of[name]
        ],
        signal_efficiencies=settings.evaluation.signal_efficiencies,
    script:
        "../../scripts/systematics.py"
