"""How the training went."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from cyclotrain.contract.results import History, LearningRateScan
from cyclotrain.report.plots.style import figure
from cyclotrain.report.tables import Column, Table


def loss(history: History, paths: Sequence[str | Path]) -> Iterator[Table]:
    """Training and validation loss by epoch, the kept epoch marked."""
    numbers = [epoch.epoch for epoch in history.epochs]
    with figure(paths) as axes:
        axes.plot(numbers, [epoch.train_loss for epoch in history.epochs], "o-", markersize=4, label="training")
        axes.plot(numbers, [epoch.validation_loss for epoch in history.epochs], "o-", markersize=4, label="validation")
        for name in history.kept.validation_losses:
            losses = [epoch.validation_losses[name] for epoch in history.epochs]
            axes.plot(numbers, losses, "--", linewidth=1, label=f"validation, {name}")
        axes.axvline(history.kept.epoch, color="grey", linestyle=":", label=f"kept: epoch {history.kept.epoch}")
        axes.set(xlabel="Epoch", ylabel="Weighted loss" if history.kept.validation_losses else "Weighted cross-entropy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        axes.grid(alpha=0.3)
    yield Table(
        name="loss by epoch",
        columns=(
            Column(name="epoch", values=tuple(numbers), is_independent=True),
            Column(name="training loss", values=tuple(epoch.train_loss for epoch in history.epochs)),
            Column(name="validation loss", values=tuple(epoch.validation_loss for epoch in history.epochs)),
        ),
    )


def rates(learning_rate: LearningRateScan, paths: Sequence[str | Path]) -> Iterator[Table]:
    """Loss against learning rate, the suggested rate marked."""
    lowest, first = min(learning_rate.losses), learning_rate.losses[0]
    with figure(paths) as axes:
        axes.plot(
            learning_rate.rates, learning_rate.losses, label=f"{learning_rate.optimizer}, {learning_rate.batch_size} examples"
        )
        axes.axvline(learning_rate.suggested, color="grey", linestyle=":", label=f"suggested: {learning_rate.suggested:g}")
        # where it diverges, the loss leaves the figure
        margin = 0.15 * (first - lowest)
        axes.set(
            xscale="log", xlabel="Learning rate", ylabel="Loss, averaged over steps", ylim=(lowest - margin, first + 3 * margin)
        )
        axes.legend()
        axes.grid(alpha=0.3)
    yield Table(
        name="loss by learning rate",
        columns=(
            Column(name="learning rate", values=learning_rate.rates, is_independent=True),
            Column(name="loss", values=learning_rate.losses),
        ),
    )
