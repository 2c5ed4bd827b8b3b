"""data.json: recorded data against simulation. Rule `compare_data`."""

from collections.abc import Iterator

from cyclotrain.contract import figures
from cyclotrain.contract.results.base import Figure, Frozen, Study

# what stands in place of the name of a set, for what is no feature
OBSERVER, SCORE = "observer", "score"


class ChiSquareTest(Frozen):
    """The statistic, its degrees of freedom, and the p-value, which is None without a degree of freedom."""

    value: float
    degrees: int
    p_value: float | None


class KolmogorovTest(Frozen):
    """The largest distance of the cumulative distributions, and the p-value; None without weights."""

    distance: float | None
    p_value: float | None


class Comparison(Frozen):
    """A quantity in data and in simulation, which is normalised to data.

    set_name: of a feature's set, or OBSERVER or SCORE. simulation: the number in each bin, by class. uncertainty: statistical, of
    the sum of the classes. What lies beyond the edges is in the first and the last bin. kolmogorov: None for constituents, which
    are not independent of each other.
    """

    set_name: str
    text: str
    label: str
    edges: tuple[float, ...]
    simulation: dict[str, tuple[float, ...]]
    uncertainty: tuple[float, ...]
    data: tuple[float, ...]
    data_uncertainty: tuple[float, ...]
    chi_square: ChiSquareTest
    kolmogorov: KolmogorovTest | None
    non_finite_simulation: float
    non_finite_data: float


class DataComparison(Study):
    """data.json: inputs, observers and scores; the simulation is the test split of all classes."""

    examples: dict[str, int]  # by sample of data
    absent: tuple[str, ...]  # observers that data do not have
    comparisons: tuple[Comparison, ...]

    def of(self, set_name: str) -> Iterator[Comparison]:
        """The comparisons of a set, of observers, or of scores."""
        return (comparison for comparison in self.comparisons if comparison.set_name == set_name)

    def figures(self) -> dict[str, Figure]:
        """The p-values of each quantity, and of the smallest one of each kind of test."""
        by_name: dict[str, Figure] = {}
        for compared in self.comparisons:
            p_value = compared.chi_square.p_value
            by_name[figures.data_chi2_p_value(compared.set_name, compared.text)] = Figure(value=p_value)
            if compared.kolmogorov:
                p_value = compared.kolmogorov.p_value
                by_name[figures.data_ks_p_value(compared.set_name, compared.text)] = Figure(value=p_value)
        measured = [one.chi_square.p_value for one in self.comparisons if one.chi_square.p_value is not None]
        smallest = min(1.0, len(measured) * min(measured)) if measured else None
        return {**by_name, figures.DATA_P_VALUE: Figure(value=smallest)}
