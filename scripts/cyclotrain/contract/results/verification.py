"""verification.json: the exported files in every runtime against PyTorch. Rule `verify`."""

from cyclotrain.contract import figures
from cyclotrain.contract.results.base import Figure, Frozen, Result


class _Session(Frozen):
    """An artefact in a session of a runtime, ONNX Runtime or LibTorch, and how that was made."""

    artefact: str
    runtime: str
    provider: str
    optimisation: str
    threads: int
    tf32: bool


class SessionParity(_Session):
    """How far one artefact in one session is from PyTorch.

    `max_abs`, `max_rel`, `max_ulps` and `max_abs_float64` (from PyTorch in float64) are of the test split, `max_abs_all_cases`
    of all cases. `tolerance`: of probabilities, on the test split; `hostile_tolerance`: where inputs are NaN, infinite, ±1e30 or
    denormal. `finite`: every answer is a probability.
    """

    tolerance: float
    hostile_tolerance: float
    finite: bool
    max_abs: float
    max_rel: float
    max_ulps: int
    max_abs_float64: float | None
    max_abs_all_cases: float
    worst_case: str
    cases: int
    cases_failed: int
    bitwise_repeatable: bool

    @property
    def is_on_gpu(self) -> bool:
        """Whether the session ran on an NVIDIA GPU."""
        return "CUDA" in self.provider


class CaseParity(_Session):
    """The session of the model that is farthest from PyTorch in one case."""

    case: str
    hostile: bool  # inputs are NaN, infinite, ±1e30 or denormal
    tolerance: float
    examples: int
    undefined: int  # hostile examples beyond the tolerance where PyTorch's own answer changes with rounding, in the worst session
    max_abs: float
    max_rel: float
    max_ulps: int
    worst_example: int
    finite: bool
    max_abs_float64: float | None


class ParityFailure(Frozen):
    """An artefact that does not load in a runtime, or a case in which its answers differ by more than the tolerance."""

    artefact: str
    message: str
    loads: bool = True
    tf32: bool = False  # in a session that rounds to TF32


class RuntimeNotRun(Frozen):
    """An ONNX Runtime release that could not be tried here."""

    runtime: str
    reason: str


class Float64Distance(Frozen):
    """Largest distance from PyTorch in float64 on the test split."""

    onnxruntime: float
    torch_float32: float


class Verification(Result):
    """verification.json: the exported files in every runtime against PyTorch."""

    tolerance: float
    model_sha256: str
    reference: str
    runtimes: tuple[str, ...]  # of the model
    not_run: tuple[RuntimeNotRun, ...]
    test_examples: int
    max_abs: float  # the model on the test split
    max_abs_all_cases: float
    max_abs_float64: Float64Distance | None
    no_float64: str | None = None  # why the network has no answers in float64
    failures: tuple[ParityFailure, ...]
    evidence: str | None  # inputs and answers of the worst failure (.npz)
    matrix: tuple[SessionParity, ...]
    cases: tuple[CaseParity, ...]

    @property
    def passed(self) -> bool:
        """Whether every artefact loads and every case is within its tolerance."""
        return not self.failures

    @property
    def undefined(self) -> int:
        """The number of hostile examples that differ where no answer is defined."""
        return sum(case.undefined for case in self.cases)

    @property
    def hostile_examples(self) -> int:
        """The number of examples with hostile inputs."""
        return sum(case.examples for case in self.cases if case.hostile)

    @property
    def artefacts(self) -> tuple[str, ...]:
        """The files that were compared; the model is the first."""
        return tuple(dict.fromkeys(row.artefact for row in self.matrix))

    def sessions(self, artefact: str, *, tf32: bool = False) -> tuple[SessionParity, ...]:
        """The sessions of one artefact, in float32 or rounded to TF32."""
        return tuple(row for row in self.matrix if row.artefact == artefact and row.tf32 == tf32)

    def figures(self) -> dict[str, Figure]:
        """Largest difference on the test split: of each artefact, and of each as deployed, by runtime."""
        by_name = {figures.parity(name): Figure(value=max(s.max_abs for s in self.sessions(name))) for name in self.artefacts}
        for row in self.matrix:
            if row.optimisation == "enable_all" and row.threads == 1:
                device = ".CUDA" * row.is_on_gpu + ".TF32" * row.tf32
                by_name[figures.parity(f"{row.artefact}.{row.runtime.replace(' ', '_')}{device}")] = Figure(value=row.max_abs)
        return by_name
