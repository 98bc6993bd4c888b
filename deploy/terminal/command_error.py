"""An error that ends a command with its message."""


class CannotTell(Exception):
    """A command cannot do what was asked; its text says why, and what to do."""
