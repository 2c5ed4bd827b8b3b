class InputError(ValueError):
    """An ntuple that cannot be used as the configuration asks; the message names file, tree, branch or config key."""
