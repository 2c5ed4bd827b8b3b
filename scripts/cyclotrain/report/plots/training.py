"""How the training went."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from cyclotrain.contract.results import History
from cyclotrain.report.plots.style import figure


def loss(history: History, paths: Sequence[str | Path]) -> None:
    """Training and validation loss by epoch, the kept epoch marked."""
    numbers = [epoch.epoch for epoch in history.epochs]
    with figure(paths) as axes:
        axes.plot(numbers, [epoch.train_loss for epoch in history.epochs], "o-", markersize=4, label="training")
        axes.plot(numbers, [epoch.validation_loss for epoch in history.epochs], "o-", markersize=4, label="validation")
        axes.axvline(history.kept.epoch, color="grey", linestyle=":", label=f"kept: epoch {history.kept.epoch}")
        axes.set(xlabel="Epoch", ylabel="Weighted cross-entropy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        axes.grid(alpha=0.3)
