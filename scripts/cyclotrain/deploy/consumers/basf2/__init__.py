"""basf2 of Belle II: a class on `MVA::ONNX::Session`, which takes branches by name."""

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    making.render({"Model.h.jinja": f"Cyclotrain{making.values['package'].rpartition('/')[2]}.h"})


CONSUMER = Consumer(
    title="basf2",
    purpose="basf2: `Cyclotrain{{ package.rpartition('/')[2] }}.h`, one class on `MVA::ONNX::Session`",
    check_it="[README](basf2/README.md)",
    write=_write,
)
