"""Athena of ATLAS: a tool on `AthInfer::IAthInferenceTool`, with a model whose inputs are in the order that Athena needs."""

import onnx

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    name = f"Cyclotrain{making.values['package'].rpartition('/')[2]}"
    making.render(
        {
            "Tool.h.jinja": f"{name}/{name}/{name}Tool.h",
            "Tool.cxx.jinja": f"{name}/src/{name}Tool.cxx",
            "entries.cxx.jinja": f"{name}/src/components/{name}_entries.cxx",
            "Config.py.jinja": f"{name}/python/{name}Config.py",
            "CMakeLists.txt.jinja": f"{name}/CMakeLists.txt",
        }
    )
    _sorted_by_name(onnx.load(making.files["onnx"]), making)


def _sorted_by_name(model: onnx.ModelProto, making: Making) -> None:
    """Write the model with its inputs and its outputs in the order of a `std::map`, that of the bytes of their names.

    Athena's OnnxRuntimeInferenceTool gives the inputs of its map, in this order, to the inputs of the graph, by position; older
    releases do the same with the outputs (Control/AthOnnx/AthOnnxComps/src/OnnxRuntimeInferenceTool.cxx). In another order
    the model would give wrong numbers without an error.
    """
    for values in (model.graph.input, model.graph.output):
        ordered = sorted(values, key=lambda value: str(value.name).encode())
        del values[:]
        values.extend(ordered)
    (making.folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))


CONSUMER = Consumer(
    title="Athena",
    purpose="Athena: a package with a tool on `AthInfer::IAthInferenceTool`, and the model with its inputs in Athena's order",
    check_it="[README](athena/README.md)",
    write=_write,
)
