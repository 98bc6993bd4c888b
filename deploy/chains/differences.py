"""Two JSON values as a diff for people: lines that went with `-`, lines that came with `+`."""

import difflib
import json

from shared.jsontext import Json

CONTEXT_LINES = 2


def differences(before: Json, after: Json) -> list[str]:
    """None where they are equal."""
    if before is after:
        return []
    pairs = difflib.unified_diff(_lines(before), _lines(after), lineterm="", n=CONTEXT_LINES)
    return ["  …" if line.startswith("@@") else line for line in list(pairs)[2:]][1:]


def _lines(value: Json) -> list[str]:
    if isinstance(value, str) and "\n" in value:
        return value.split("\n")
    return json.dumps(value, indent=2, ensure_ascii=False).split("\n")
