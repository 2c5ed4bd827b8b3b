"""The forms of the trained model."""

from cyclotrain.contract.results import AOT_INDUCTOR, TORCHSCRIPT


def network_alone():
    """The network and its preprocess.json, where the config asks for them."""
    if not settings.export.preprocess_json:
        return []
    return ["<fold>/model/network.onnx", "<fold>/model/preprocess.json"]


def network_for_fccanalyses():
    """The network and the JSON that WeaverInterface reads, where the config asks for them."""
    if "fccanalyses" not in settings.export.takers:
        return []
    return ["<fold>/fccanalyses/network.onnx", "<fold>/fccanalyses/preprocess.json"]


def torch_forms():
    """The files of the model for LibTorch by their form, where the config asks for them."""
    forms = settings.export.forms
    files = {TORCHSCRIPT: "<fold>/pytorch/model.pt"} if "torchscript" in forms else {}
    compiled = AOT_INDUCTOR if "aot_inductor" in forms else ()
    return files | {name: f"<fold>/pytorch/{name}.pt2" for name in compiled}


def model_forms():
    """The files of the model by their form, as a bundle takes them."""
    forms = {"onnx": "<fold>/model/model.onnx"}
    forms |= {Path(path).stem: path for path in network_alone()}
    forms |= {
        f"fccanalyses_{Path(path).stem}": path for path in network_for_fccanalyses()
    }
    return forms | torch_forms()


def variants():
    """The variants that the config asks for."""
    return [f"<fold>/model/{kind}.onnx" for kind in settings.export.variants]


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
