"""inputs.json: the distributions of the features. Rule `describe_inputs`."""

from cyclotrain.contract import figures
from cyclotrain.contract.results.base import Figure, Frozen, Study


class FeatureDistribution(Frozen):
    """A feature of one class in one split.

    shares: of the values, weighted, in each bin; with their variances. non_finite and clipped: the share of the values, not
    weighted, that are replaced by the training mean, or cut at the limit after standardisation.
    """

    split: str
    class_name: str
    shares: tuple[float, ...]
    variances: tuple[float, ...]
    non_finite: float
    clipped: float


class Feature(Frozen):
    """A feature before standardisation; what lies beyond the edges is in the first and the last bin."""

    set_name: str
    text: str
    edges: tuple[float, ...]
    distributions: tuple[FeatureDistribution, ...]


class Inputs(Study):
    """inputs.json: the features of each class in the training and the test split; constituents are the real ones."""

    features: tuple[Feature, ...]

    @property
    def sets(self) -> tuple[str, ...]:
        """The names of the sets, in order."""
        return tuple(dict.fromkeys(feature.set_name for feature in self.features))

    def figures(self) -> dict[str, Figure]:
        """Of each set, the largest share of non-finite and of clipped values of a feature of a class in a split."""
        by_name = {}
        for name in self.sets:
            rows = [row for feature in self.features if feature.set_name == name for row in feature.distributions]
            by_name[figures.non_finite(name)] = Figure(value=max(row.non_finite for row in rows))
            by_name[figures.clipped(name)] = Figure(value=max(row.clipped for row in rows))
        return by_name
