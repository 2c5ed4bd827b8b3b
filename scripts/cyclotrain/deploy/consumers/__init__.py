"""Who takes the model: a folder each, with its templates, its checks and one function that writes its part of a bundle."""

from collections.abc import Mapping, Sequence

from cyclotrain.config.export import ConsumerName
from cyclotrain.contract import Layout
from cyclotrain.deploy.consumers import athena, basf2, cmssw, cmssw_alpaka, cmssw_pytorch, cpp, fccanalyses, rdataframe, triton
from cyclotrain.deploy.consumers.consumer import Consumer

CONSUMERS: Mapping[ConsumerName, Consumer] = {
    "cpp": cpp.CONSUMER,
    "cmssw": cmssw.CONSUMER,
    "cmssw_pytorch": cmssw_pytorch.CONSUMER,
    "cmssw_alpaka": cmssw_alpaka.CONSUMER,
    "triton": triton.CONSUMER,
    "rdataframe": rdataframe.CONSUMER,
    "fccanalyses": fccanalyses.CONSUMER,
    "basf2": basf2.CONSUMER,
    "athena": athena.CONSUMER,
}


def check_consumers(names: Sequence[ConsumerName], layout: Layout) -> None:
    """Raise InputError if one of the consumers cannot take a model with these inputs."""
    for name in names:
        CONSUMERS[name].check(layout)
