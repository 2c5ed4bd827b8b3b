from dataclasses import dataclass


@dataclass(frozen=True)
class SetShape:
    """The shape of a set of features: [B, n_features], or [B, L, n_features] with a mask if jagged."""

    n_features: int
    is_jagged: bool
