"""Plain C++: a class around ONNX Runtime, with a project for CMake that checks it."""

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    making.render()


CONSUMER = Consumer(
    title="C++",
    purpose="plain C++: `cyclotrain.h`, one class around ONNX Runtime",
    check_it="`cmake -S cpp -B build && cmake --build build && ctest --test-dir build`",
    write=_write,
)
