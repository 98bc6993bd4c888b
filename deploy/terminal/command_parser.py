"""The parser of every command: a usage error suggests what was probably meant."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from shared.did_you_mean import nearest

_UNKNOWN: Final = "unrecognized arguments: "
_CONFIG: Final = "--config"
_MAY_BE_EMPTY: Final = frozenset({"--data", "--description", "--email", "--group", "--name"})
"""Options whose empty value has a meaning: an empty body, no group, or no value any more."""
_PATHS: Final = frozenset({"FILE", "FILE.csv", "FOLDER"})


class CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(f"{message}{self._hint(message)}")

    def reject_ignored(self, arguments: Sequence[str], ignored: Mapping[str, Sequence[str]]) -> None:
        """End with a usage error if `arguments` have an option beside one, or an action, that leaves it without effect.

        `ignored` has, for each of those, the options that it leaves without effect.
        """
        given = {self._full_name(each) if each.startswith("-") else each for each in arguments}
        for option, others in ignored.items():
            for other in others:
                if {option, other} <= given:
                    self.error(f"argument {other}: has no effect with {option}; leave one of them out")

    def _full_name(self, argument: str) -> str:
        """Return the option as it is declared: `--pla=aws` is --platform."""
        name = argument.partition("=")[0]
        known = [each for each in self._option_string_actions if each == name or each.startswith(name)]
        action = self._option_string_actions.get(name if name in known else known[0]) if known else None
        return action.option_strings[0] if action else name

    def _get_value(self, action: argparse.Action, arg_string: str) -> object:
        """Reject what no option takes, before the option's own type sees it."""
        is_text = action.metavar not in _PATHS
        if not arg_string and action.nargs in {None, "?"} and not _MAY_BE_EMPTY & {*action.option_strings}:
            raise argparse.ArgumentError(action, "must not be empty")
        if is_text and not arg_string.isascii() and arg_string != arg_string.encode("utf-8", "replace").decode():
            raise argparse.ArgumentError(action, "must be UTF-8")
        return super()._get_value(action, arg_string)

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
