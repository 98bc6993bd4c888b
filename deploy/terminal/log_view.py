"""The log lines of all processes, as one stream that a person can read.

A process writes JSON, and `LogView.process_line` returns for it the time, the process and the message with its fields:
`{"severity":"WARNING","message":"rejected","source":"web"}` becomes `08:15:03 receive   warning: rejected  source=web`.
"""

import json
from dataclasses import dataclass
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.logs import SEVERITIES

NAME_WIDTH: Final = 9
_SEVERITY_COLOURS: Final = {"DEBUG": "2", "NOTICE": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
"""The parameters of the terminal's escape sequence for a colour, as are all colours here."""
_NAME_COLOURS: Final = {
    "receive": "34",
    "transform": "35",
    "notify": "32",
    "subscribe": "33",
    "apis": "36",
    "inspector": "36",
}
_BOLD: Final = "1"
_DIM: Final = "2"
_RANKS: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_START: Final = '{"severity":"'  # as shared.logs begins each line
_HIDDEN: Final = frozenset({"severity", "message", "time", "function", "trace", "span", "method"})
"""Fields that the line shows in another way, or that only a program reads."""
_LEADING: Final = ("source", "type", "route", "destination", "endpoint", "status", "code", "detail", "reason")
"""Fields that are shown before all others, in this order."""


@dataclass(frozen=True, slots=True)
class LogView:
    """A view of log lines. `level` is the least severe that is shown."""

    level: str = "INFO"
    colours: bool = False

    def shown(self, severity: str) -> bool:
        return _rank(severity) >= _rank(self.level)

    def own_line(self, severity: str, text: str, clock: str) -> str:
        """Return a line of the supervisor."""
        return self._line(clock, "dev", severity, text)

    def process_line(self, name: str, line: str, clock: str, parsed: JsonObject | None = None) -> str | None:
        """Return a line of a process as it is shown, or None if it is not. `parsed`, its JSON, spares parsing again."""
        document = parsed or parse_log_line(line)
        if document is None:  # a traceback, or a line that the web server writes itself
            return self._line(clock, name, "", _printable(line)) if line.strip() else None
        severity = str(document.get("severity", "INFO"))
        if not self.shown(severity):
            return None
        fields = _fields_text(document, with_repetitions=self.shown("DEBUG"))
        return self._line(clock, name, severity, f"{document['message']}{fields}")

    def _line(self, clock: str, name: str, severity: str, text: str) -> str:
        prefix = f"{severity.lower()}: " if _rank(severity) >= _rank("WARNING") else ""
        shown_clock = self._coloured(clock, _DIM)
        shown_name = self._coloured(name.ljust(NAME_WIDTH), _NAME_COLOURS.get(name, _BOLD))
        return f"{shown_clock} {shown_name} {self._coloured(prefix + text, _SEVERITY_COLOURS.get(severity, ''))}"

    def _coloured(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colours and colour else text


def leading_severity(line: str) -> str:
    """Return the severity with which a log line of ours begins, without parsing the line; empty for any other line."""
    return line[len(_START) :].partition('"')[0] if line.startswith(_START) else ""


def is_routine(severity: str) -> bool:
    """Return whether nothing is wrong. A line without a severity is not routine: it may be part of a traceback."""
    return severity in _RANKS and _RANKS[severity] < _RANKS["WARNING"]


def parse_log_line(line: str) -> JsonObject | None:
    if not line.startswith("{"):
        return None
    try:
        document: Json = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "message" in document else None


def _fields_text(document: JsonObject, *, with_repetitions: bool) -> str:
    """Return `  name=value` for each field.

    Unless `with_repetitions`, fields that tell a person nothing new are left out.
    """
    names: list[str] = [name for name in _LEADING if name in document]
    names += [name for name in document if name not in _HIDDEN and name not in _LEADING]
    if not with_repetitions:
        names = [name for name in names if name != "delivery_id" and not _repeats_message(document, name)]
    return "".join(f"  {name}={_value_text(document[name])}" for name in names)


def _repeats_message(document: JsonObject, name: str) -> bool:
    return name == "outcome" and str(document[name]).replace("_", " ") == document["message"]


def _value_text(value: Json) -> str:
    text = _printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f'"{text}"' if " " in text or not text else text


def _printable(text: str) -> str:
    """Replace each character that would control the terminal: a sender may have written it."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _rank(severity: str) -> int:
    return _RANKS.get(severity, _RANKS["INFO"])
