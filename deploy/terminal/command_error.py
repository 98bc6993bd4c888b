"""The error that ends a command with a message."""


class CommandError(Exception):
    """A command cannot do what it was called for. Its text says why, and what to do."""
