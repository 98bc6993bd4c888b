"""The log lines of all processes, as one stream that a person can read."""

import json
from dataclasses import dataclass
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.logs import SEVERITIES

NAME_WIDTH: Final = 9
_COLOURS: Final = {"DEBUG": "2", "NOTICE": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_NAME_COLOURS: Final = {
    **{"receive": "34", "transform": "35", "notify": "32", "subscribe": "33"},
    **{"apis": "36", "inspector": "36"},
}
_RANKS: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_START: Final = '{"severity":"'  # as shared.logs begins each line
_HIDDEN: Final = frozenset({"severity", "message", "time", "function", "trace", "span", "method"})
_FIRST: Final = ("source", "type", "route", "destination", "endpoint", "status", "code", "detail", "reason")


@dataclass(frozen=True, slots=True)
class LogView:
    """A view of log lines. `level` is the least severe that is shown."""

    level: str = "INFO"
    colours: bool = False

    def shown(self, severity: str) -> bool:
        return _rank(severity) >= _rank(self.level)

    def own(self, severity: str, text: str, clock: str) -> str:
        """Return a line of the supervisor."""
        return self._line(clock, "dev", severity, text)

    def line(self, name: str, line: str, clock: str, parsed: JsonObject | None = None) -> str | None:
        """Return a line of a process as it is shown, or None if it is not. `parsed` spares parsing it again."""
        document = parsed or parse_log_line(line)
        if document is None:  # a traceback, a word of the server's own
            return self._line(clock, name, "", _printable(line)) if line.strip() else None
        severity = str(document.get("severity", "INFO"))
        if not self.shown(severity):
            return None
        is_whole = self.shown("DEBUG")
        return self._line(clock, name, severity, f"{document['message']}{fields_text(document, is_whole)}")

    def _line(self, clock: str, name: str, severity: str, text: str) -> str:
        word = f"{severity.lower()}: " if _rank(severity) >= _rank("WARNING") else ""
        return (
            f"{self._coloured(clock, '2')} {self._coloured(name.ljust(NAME_WIDTH), _NAME_COLOURS.get(name, '1'))} "
            f"{self._coloured(word + text, _COLOURS.get(severity, ''))}"
        )

    def _coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and code else text


def leading_severity(line: str) -> str:
    """Return the severity with which a log line of ours begins, without parsing the line; empty for any other line."""
    return line[len(_START) :].partition('"')[0] if line.startswith(_START) else ""


def is_routine(severity: str) -> bool:
    """Return whether nothing is wrong."""
    return _RANKS.get(severity, _RANKS["CRITICAL"]) < _RANKS["WARNING"]


def parse_log_line(line: str) -> JsonObject | None:
    if not line.startswith("{"):
        return None
    try:
        document: Json = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "message" in document else None


def fields_text(document: JsonObject, is_whole: bool) -> str:
    """Return the fields as text. Unless `is_whole`, a field that repeats another is left out."""
    names: list[str] = [name for name in _FIRST if name in document]
    names += [name for name in document if name not in _HIDDEN and name not in _FIRST]
    if not is_whole:
        names = [name for name in names if name != "delivery_id" and not _repeats_message(document, name)]
    return "".join(f"  {name}={_plain(document[name])}" for name in names)


def _repeats_message(document: JsonObject, name: str) -> bool:
    return name == "outcome" and str(document[name]).replace("_", " ") == document["message"]


def _plain(value: Json) -> str:
    shown = _printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f'"{shown}"' if " " in shown or not shown else shown


def _printable(text: str) -> str:
    """Replace what would move the cursor: a sender may have written it."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _rank(severity: str) -> int:
    return _RANKS.get(severity, _RANKS["INFO"])
