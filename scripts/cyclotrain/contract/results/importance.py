"""importance.json: what each feature is worth to the model. Rule `importance`."""

from cyclotrain.contract.results.base import Figure, Frozen, Study


class FeatureImportance(Frozen):
    """What a feature is worth.

    permutation: by background, how much the AUC falls if the values of the feature are shuffled; by quantity, how much the mean
    absolute error rises, in units of the fitted scale. attribution: by the signal and by quantity, the mean of |integrated
    gradients| of the log-odds or the standardised estimate, over examples; of constituents, the sum of each example. group: the
    number of the group of strongly correlated features that it belongs to, or None.
    """

    set_name: str
    text: str
    permutation: dict[str, Figure]
    attribution: dict[str, Figure]
    group: int | None = None


class Importance(Study):
    """importance.json: of all features, in the order of the config.

    examples: of the test split, in `parts` that were shuffled apart; attributed: those of the integrated gradients.
    nominal: AUC or mean absolute error without shuffling.
    """

    examples: int
    parts: int
    attributed: int
    nominal: dict[str, Figure]
    features: tuple[FeatureImportance, ...]

    def figures(self) -> dict[str, Figure]:
        """None that a gate would be set on."""
        return {}
