"""ROOT's RDataFrame: the answers of the model as a column."""

from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    making.render()
    making.render_one("cpp/cyclotrain.h.jinja", "cyclotrain.h")


CONSUMER = Consumer(
    title="RDataFrame",
    purpose="RDataFrame: `rdataframe.h`, the {{ 'outputs' if regression else 'probabilities' }} as a column",
    check_it="see its first lines",
    write=_write,
)
