from dataclasses import dataclass


@dataclass(frozen=True)
class SetShape:
    """What a network sees of a set: [B, n_features], or [B, L, n_features] with a mask if jagged."""

    n_features: int
    is_jagged: bool
