"""`define:`: which definitions and branches expressions need."""

from collections.abc import Mapping, Sequence

from cyclotrain.expressions import Expression


def needed_definitions(texts: Sequence[str], definitions: Mapping[str, str]) -> dict[str, str]:
    """The definitions that some expressions use, directly or through others."""
    used = {name for text in texts for name in Expression(text).branches}
    for name in reversed(list(definitions)):  # a definition uses earlier ones only
        if name in used:
            used |= set(Expression(definitions[name]).branches)
    return {name: text for name, text in definitions.items() if name in used}


def branches_of(texts: Sequence[str], definitions: Mapping[str, str]) -> set[str]:
    """The branches and definitions that some expressions use, directly or through definitions."""
    needed = needed_definitions(texts, definitions)
    return {name for text in (*texts, *needed.values()) for name in Expression(text).branches}
