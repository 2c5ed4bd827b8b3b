"""CMSSW with ONNX Runtime: an EDProducer with its BuildFile, configuration and data folder."""

from pathlib import Path

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    values = making.values
    package, label = values["package"], values["label"]
    data = f"{package}/{values['model_path']}"
    making.render(
        {
            "Producer.cc.jinja": f"{package}/plugins/{values['class_name']}.cc",
            "BuildFile.xml": f"{package}/plugins/BuildFile.xml",
            "cfg.py.jinja": f"{package}/test/{label}_cfg.py",
            "data.md.jinja": str(Path(data).with_name("README.md")),
        }
    )
    making.copy("onnx", data)
    for form in ("network", "preprocess"):
        if form in making.files:
            making.copy(form, str(Path(data).with_name(making.files[form].name)))


CONSUMER = Consumer(
    title="CMSSW",
    purpose="CMSSW: an EDProducer with its BuildFile, configuration and data folder",
    check_it="[README](cmssw/README.md)",
    write=_write,
)
