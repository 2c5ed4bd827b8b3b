"""What is compared with recorded data."""

from typing import TYPE_CHECKING

from cyclotrain.contract import quantity_columns
from cyclotrain.contract.results import OBSERVER, SCORE

if TYPE_CHECKING:
    from cyclotrain.config import Config


def compared_with_data(config: "Config") -> dict[str, list[str]]:
    """The features of each set, the observers that data have, and the scores; nothing without data.

    Of two classes, only the probability of the signal is a score: the other is 1 minus it.
    """
    if not config.data_samples:
        return {}
    present = {text for sample in config.data_samples for text in config.stored_of(sample)}
    observers = [name for name, observer in config.observers.items() if (observer.expression or name) in present]
    scores = [name for name in config.classes if len(config.classes) != 2 or name == config.signal]
    scores += [
        column for name, quantity in config.regression.items() for column in quantity_columns(name, tuple(quantity.quantiles))
    ]
    features = {name: list(inputs.features) for name, inputs in config.inputs.items()}
    return {**features, OBSERVER: observers, SCORE: scores}
