rule export:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
    output:
        "<fold>/model/model.onnx",
        network=network_alone(),
        fccanalyses=network_for_fccanalyses(),
    log:
        "<fold>/logs/export.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("export"),
    params:
        model=settings.model.model_dump(),
        targets=settings.export.targets,
    script:
        "../../scripts/export.py"


rule torchscript:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
    output:
        "<fold>/pytorch/model.pt",
    log:
        "<fold>/logs/torchscript.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("torchscript"),
    params:
        model=settings.model.model_dump(),
    script:
        "../../scripts/torchscript.py"


rule aot_inductor:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
    output:
        "<fold>/pytorch/{name}.pt2",
    log:
        "<fold>/logs/aot_inductor/{name}.log",
    wildcard_constraints:
        name="|".join(AOT_INDUCTOR),
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("aot_inductor"),
    params:
        model=settings.model.model_dump(),
    script:
        "../../scripts/aot_inductor.py"


rule variant:
    input:
        contract=rules.assemble.output.contract,
        weights=rules.train.output.weights,
        onnx=rules.export.output[0],
        shards=skims("arrow"),
    output:
        "<fold>/model/{kind}.onnx",
    log:
        "<fold>/logs/variant/{kind}.log",
    wildcard_constraints:
        kind="|".join(VARIANT_KINDS),
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("variant"),
    params:
        model=settings.model.model_dump(),
    script:
        "../../scripts/variant.py"
