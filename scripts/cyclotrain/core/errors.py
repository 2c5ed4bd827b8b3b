class InputError(ValueError):
    """An input cannot be used; the message says what, where, and what to do."""


class FileError(InputError):
    """A file cannot be read, or has another content than the sample needs: what a run may be allowed to skip."""
