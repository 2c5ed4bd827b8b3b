"""CMSSW with ONNX Runtime: an EDProducer with its BuildFile, configuration and data folder."""

from pathlib import Path

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def write_package(making: Making, form: str) -> Path:
    """Write the package of an EDProducer with the model in one form; gives the place of the model."""
    values = making.values
    package, label = values["package"], values["label"]
    model = Path(package, values["model_path"])
    making.render(
        {
            "Producer.cc.jinja": f"{package}/plugins/{values['class_name']}.cc",
            "BuildFile.xml": f"{package}/plugins/BuildFile.xml",
            "cfg.py.jinja": f"{package}/test/{label}_cfg.py",
            "data.md.jinja": str(model.with_name("README.md")),
        }
    )
    making.copy(form, str(model))
    return model


def _write(making: Making) -> None:
    model = write_package(making, "onnx")
    for form in ("network", "preprocess"):
        if form in making.files:
            making.copy(form, str(model.with_name(making.files[form].name)))


CONSUMER = Consumer(
    title="CMSSW",
    purpose="CMSSW: an EDProducer with its BuildFile, configuration and data folder",
    check_it="[README](cmssw/README.md)",
    write=_write,
)
