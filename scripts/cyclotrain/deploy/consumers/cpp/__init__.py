"""Plain C++: classes around ONNX Runtime and LibTorch, with a project for CMake that checks them."""

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    making.render(leave_out=() if making.values["torch_files"] else ("cyclotrain_torch.h.jinja", "check_torch.cpp"))


CONSUMER = Consumer(
    title="C++",
    purpose="plain C++: `cyclotrain.h`, one class around ONNX Runtime"
    "{% if torch_files %}; `cyclotrain_torch.h`, one around LibTorch{% endif %}",
    check_it="`cmake -S cpp -B build && cmake --build build && ctest --test-dir build`"
    "{% if torch_files %}; with `-DWITH_TORCH=ON`, the models in `pytorch/` too{% endif %}",
    write=_write,
)
