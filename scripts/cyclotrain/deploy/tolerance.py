"""How exactly a consumer must give the reference's answers."""

from cyclotrain.contract import Contract

_OF_PROBABILITIES = 1e-6
# in the units of metrics.distance; larger, because no softmax makes the differences of what the network gives smaller
_WITH_QUANTITIES = 1e-5


def tolerance(contract: Contract) -> float:
    """The largest distance from the reference, in any output."""
    return _WITH_QUANTITIES if contract.regression else _OF_PROBABILITIES
