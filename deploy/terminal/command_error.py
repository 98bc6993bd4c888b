"""The error that ends a command with a message."""


class CommandError(Exception):
    """A command cannot do what it was called for. Its text says why, and what to do."""


class UsageError(CommandError):
    """The options do not fit together, or name what does not exist. The command ends with exit code 2."""
