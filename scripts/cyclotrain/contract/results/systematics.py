"""systematics.json: what variations of the simulation do to the scores. Rule `systematics`."""

from typing import Literal

from cyclotrain.contract import figures
from cyclotrain.contract.results.base import Figure, Frozen, Study


class PointShift(Frozen):
    """The working point of a signal efficiency, relative to the nominal values: 0.02 is 2 % more.

    rejection: at the same signal efficiency. signal_efficiency and background_efficiency: at the nominal threshold.
    """

    at: float
    rejection: Figure
    signal_efficiency: Figure
    background_efficiency: Figure


class BackgroundShift(Frozen):
    """Of the signal against one background. auc: the varied area minus the nominal one."""

    auc: Figure
    points: tuple[PointShift, ...]


class Variation(Frozen):
    """A systematic variation. kind: what is varied. shares: by class, of the probability of the signal, in the nominal bins.

    Uncertainties are statistical, and know which events are the same in the nominal and in the varied sample.
    """

    systematic: str
    direction: Literal["up", "down"]
    kind: Literal["samples", "weight", "branches"]
    backgrounds: dict[str, BackgroundShift]
    shares: dict[str, tuple[float, ...]]


class Systematics(Study):
    """systematics.json: each class is normalised to itself, so only shapes are varied."""

    signal: str
    edges: tuple[float, ...]
    nominal: dict[str, tuple[float, ...]]  # shares by class
    uncertainty: dict[str, tuple[float, ...]]  # statistical
    variations: tuple[Variation, ...]

    def figures(self) -> dict[str, Figure]:
        """The shifts of each variation."""
        by_name = {}
        for one in self.variations:
            for background, shift in one.backgrounds.items():
                by_name[figures.systematic(one.systematic, one.direction, "auc", background)] = shift.auc
                for point in shift.points:
                    for what in SHIFTED:
                        name = figures.systematic(one.systematic, one.direction, what, background, at=point.at)
                        by_name[name] = getattr(point, what)
        return by_name


SHIFTED = ("rejection", "signal_efficiency", "background_efficiency")
