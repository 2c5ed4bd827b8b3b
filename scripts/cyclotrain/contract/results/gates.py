"""gates.json: every verdict of a run. Rule `gates`."""

from cyclotrain.contract.results.base import Frozen, Result
from cyclotrain.contract.results.performance import area_mark


class Gate(Frozen):
    """A verdict: `value` is to be on the right side of `limit`, such as `>= 0.97`; `message` says what failed, and where.

    `value` is None where there is none: a file that does not load, an answer that is not a probability, nothing that is left to
    measure. `uncertainty`: one standard deviation of the value; the verdict does not take it into account.
    """

    name: str
    value: float | None
    uncertainty: float | None = None
    limit: str
    passed: bool
    message: str = ""

    @property
    def value_in_words(self) -> str:
        """The value, with `area_mark` if it is an area."""
        if self.value is None:
            return "no value"
        uncertainty = "" if self.uncertainty is None else f" ± {self.uncertainty:.2g}"
        return f"{self.value:.4g}{uncertainty}{area_mark(self.value) if self.name.startswith('auc.') else ''}"

    def __str__(self) -> str:
        words = f"{self.name} = {self.value_in_words}, required {self.limit}"
        return f"{words}; {self.message}" if self.message else words


class Gates(Result):
    """gates.json: every verdict of a run."""

    gates: tuple[Gate, ...]

    @property
    def failed(self) -> tuple[Gate, ...]:
        """Those that failed."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def passed(self) -> bool:
        """Whether all passed."""
        return not self.failed
