"""The files of the trained model in its forms."""

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
