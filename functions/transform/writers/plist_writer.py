"""Apple's property lists (`man 5 plist`).

plistlib writes the binary format. Its XML writer turns every carriage return into a line feed, so XML is written here.
"""

import re
from datetime import UTC, datetime
from typing import Final, TypeAlias

from shared.jsontext import Json
from shared.writers.writing import Location, Unwritable

Plist: TypeAlias = "bool | int | float | str | datetime | list[Plist] | dict[str, Plist]"

_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
    '<plist version="1.0">\n'
)
# Its complement takes 3 ms to compile.
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_TO_ESCAPE: Final = re.compile("[&<>\r]")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_INTEGERS: Final = range(-(1 << 63), 1 << 64)


class _NegativeZero(float):
    """-0.0 with a type of its own. plistlib writes equal values of one type only once, and 0.0 equals -0.0."""


def write_binary_plist(value: Json, *, dates: bool, omit_nulls: bool) -> bytes:
    """Return the value as a binary property list. Raises Unwritable."""
    # Imported here, because it imports an XML parser, which is seldom needed.
    import plistlib

    return plistlib.dumps(_plist(value, None, dates, omit_nulls), fmt=plistlib.FMT_BINARY, sort_keys=False)


def write_xml_plist(value: Json, *, dates: bool, omit_nulls: bool) -> str:
    """Return the value as a property list in XML. Raises Unwritable."""
    lines = [_HEAD]
    _write(_plist(value, None, dates, omit_nulls), "", None, lines)
    return "".join([*lines, "</plist>\n"])


def _plist(value: Json, location: Location, dates: bool, omit_nulls: bool) -> Plist:
    if isinstance(value, dict):
        return {
            key: _plist(item, (location, key), dates, omit_nulls)
            for key, item in value.items()
            if item is not None or not omit_nulls
        }
    if isinstance(value, list):
        return [_plist(item, (location, number), dates, omit_nulls) for number, item in enumerate(value)]
    if value is None:
        raise Unwritable(location, "is null, which a property list lacks; drop it, or set `nulls: omit`")
    if isinstance(value, str) and dates and _TIME.fullmatch(value):
        return _date(value, location)
    if isinstance(value, int) and value not in _INTEGERS:
        raise Unwritable(location, "is an integer of more than 64 bits, which a property list lacks")
    return _NegativeZero(value) if value == 0 and str(value) == "-0.0" else value


def _date(text: str, location: Location) -> datetime:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise Unwritable(location, "looks like a time but is not one") from None


def _write(value: Plist, pad: str, location: Location, lines: list[str]) -> None:
    if isinstance(value, dict) and value:
        lines.append(f"{pad}<dict>\n")
        for key, item in value.items():
            lines.append(f"{pad}\t<key>{_escaped(key, (location, key))}</key>\n")
            _write(item, f"{pad}\t", (location, key), lines)
        lines.append(f"{pad}</dict>\n")
    elif isinstance(value, list) and value:
        lines.append(f"{pad}<array>\n")
        for number, item in enumerate(value):
            _write(item, f"{pad}\t", (location, number), lines)
        lines.append(f"{pad}</array>\n")
    else:
        lines.append(f"{pad}{_scalar(value, location)}\n")


def _scalar(value: Plist, location: Location) -> str:
    if isinstance(value, str):
        return f"<string>{_escaped(value, location)}</string>"
    if isinstance(value, bool):
        return "<true/>" if value else "<false/>"
    if isinstance(value, int):
        return f"<integer>{value}</integer>"
    if isinstance(value, float):
        return f"<real>{value!r}</real>"
    if isinstance(value, datetime):
        if value.microsecond:
            raise Unwritable(
                location, "is a time with a part of a second, which XML property lists lack; binary ones have it"
            )
        return f"<date>{value.isoformat()}Z</date>"
    return "<dict/>" if isinstance(value, dict) else "<array/>"


def _escaped(text: str, location: Location) -> str:
    if _NOT_XML.search(text):
        raise Unwritable(
            location, "holds a control character, which an XML property list cannot hold; a binary one can"
        )
    return _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)
