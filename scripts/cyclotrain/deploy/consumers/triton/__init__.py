"""NVIDIA's Triton, also by SONIC of CMSSW: a model repository and the parameters of the client."""

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    name = making.values["name"]
    making.render({"config.pbtxt.jinja": f"{name}/config.pbtxt"})
    making.copy("onnx", f"{name}/1/model.onnx")
    for output in making.contract.outputs:
        if len(output.columns) > 1:
            making.write(f"{name}/{making.values['labels'][output.name]}", "".join(f"{c}\n" for c in output.columns))


CONSUMER = Consumer(
    title="Triton",
    purpose="Triton, SONIC: a model repository and the client's parameters",
    check_it="`tritonserver --model-repository triton`",
    write=_write,
)
