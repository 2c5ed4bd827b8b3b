"""dataset.json: the data that a model was made from. Rule `assemble`."""

from cyclotrain.contract.results.base import Frozen, Result


class Totals(Frozen):
    """Examples and sums of weights of one class in one split."""

    events: int
    sum_of_weights: float
    negative_events: int
    sum_of_negative_weights: float


class SampleRecipe(Frozen):
    """How the examples of a sample were chosen, labelled and weighted: expressions, as in the config."""

    label: str
    selection: tuple[str, ...]
    define: dict[str, str]
    weight: str | None
    split: dict[str, float] | str


class Sample(Frozen):
    """What was read and kept of a sample, and what its weights are multiplied by."""

    events_read: int
    events_kept: int
    by_class: dict[str, dict[str, Totals]]
    recipe: SampleRecipe
    normalisation: float
    cross_section_pb: float | None = None
    luminosity_fb: float | None = None
    sum_of_generator_weights: float | None = None


class Constituents(Frozen):
    """Constituents of a set that were read, and those beyond `max_length`, which the model does not see."""

    read: int
    cut_off: int
    examples_cut: int


class FlattenedClass(Frozen):
    """What flattening does to a class in the training split."""

    events_outside: int
    sum_of_weights_outside: float
    empty_bins: int
    largest_factor: float


class Flattened(Frozen):
    """The distribution that all classes have in training: bin edges by variable, and what that costs each class."""

    variables: dict[str, tuple[float, ...]]
    to: str
    classes: dict[str, FlattenedClass]


class FriendFile(Frozen):
    """A friend tree's file."""

    path: str
    bytes: int
    uuid: str


class InputFile(Frozen):
    """A ROOT file that was read; `xxh3` is None for a remote one."""

    path: str
    bytes: int
    uuid: str
    xxh3: str | None
    events: int
    kept: int
    friends: tuple[FriendFile, ...]
    sample: str
    sum_of_generator_weights: float | None = None


class SkippedFile(Frozen):
    """A ROOT file that could not be read, and why."""

    path: str
    reason: str
    sample: str


class Dataset(Result):
    """dataset.json: what the model was made from."""

    samples: dict[str, Sample]
    by_class: dict[str, dict[str, Totals]]
    constituents: dict[str, Constituents]
    flattening: Flattened | None
    files: tuple[InputFile, ...]
    skipped: tuple[SkippedFile, ...]
    shards: dict[str, str]  # XXH3 by path
