class InputError(ValueError):
    """An input cannot be used; the message says what, where, and what to do."""


class FileError(InputError):
    """A file cannot be read or does not fit its sample; `skip_broken` lets a run skip such files."""


class MissingBranchError(FileError):
    """A file does not have a branch that its sample needs."""
