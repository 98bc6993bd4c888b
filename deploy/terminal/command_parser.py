"""The parser of every command: a usage error suggests what was probably meant."""

import argparse
from typing import Final, NoReturn

from shared.did_you_mean import nearest

_UNKNOWN: Final = "unrecognized arguments: "
_CONFIG: Final = "--config"


class CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(f"{message}{self._hint(message)}")

    def _hint(self, message: str) -> str:
        """Return a suggestion for the first argument that the command does not have."""
        before, found, arguments = message.partition(_UNKNOWN)
        if not found or before:
            return ""
        first, known = arguments.split()[0], [name for name in self._option_string_actions if name.startswith("--")]
        if first.startswith("--"):
            near = nearest(first.partition("=")[0], known)
            return f"; did you mean {near}?" if near else ""
        is_config = first.endswith((".yaml", ".yml")) and _CONFIG in known
        return f"; did you mean {_CONFIG} {first}?" if is_config else ""
