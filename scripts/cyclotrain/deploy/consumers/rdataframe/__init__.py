"""ROOT's RDataFrame: the answers of the model as a column."""

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    libtorch = making.values["torch_files"]
    for_libtorch = ("rdataframe_torch.h.jinja", "torch_library/CMakeLists.txt", "torch_library/load_torch.cpp")
    making.render(leave_out=() if libtorch else for_libtorch)
    for header in ("cyclotrain_base.h", "cyclotrain.h", *["cyclotrain_torch.h"] * bool(libtorch)):
        making.render_one(f"cpp/{header}.jinja", header)


CONSUMER = Consumer(
    title="RDataFrame",
    purpose="RDataFrame: `rdataframe.h`{% if torch_files %}, or `rdataframe_torch.h` for LibTorch{% endif %}, the "
    "{{ 'outputs' if regression else 'probabilities' }} as a column",
    check_it="see its first lines",
    write=_write,
)
