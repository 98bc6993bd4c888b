"""Apple's property lists (`man 5 plist`), written by plistlib."""

import re
from datetime import UTC, datetime
from typing import Final, TypeAlias

from shared.jsontext import Json
from shared.writers.writing import FormatFault, Location

Plist: TypeAlias = "bool | int | float | str | datetime | list[Plist] | dict[str, Plist]"

# Its complement takes 3 ms to compile.
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Stands for a carriage return while plistlib writes, which would make a line feed of it. XML has no such character.
_CARRIAGE_RETURN: Final = "\ufffe"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_INTEGERS: Final = range(-(1 << 63), 1 << 64)


class _NegativeZero(float):
    """-0.0 with a type of its own. plistlib writes equal values of one type only once, and 0.0 equals -0.0."""


def write_binary_plist(value: Json, *, dates: bool, omit_nulls: bool) -> bytes:
    """Return the value as a binary property list. Raises FormatFault."""
    # Imported here, because it imports an XML parser, which is seldom needed.
    import plistlib

    return plistlib.dumps(_plist(value, None, dates, omit_nulls), fmt=plistlib.FMT_BINARY, sort_keys=False)


def write_xml_plist(value: Json, *, dates: bool, omit_nulls: bool) -> str:
    """Return the value as a property list in XML. Raises FormatFault."""
    import plistlib

    written = plistlib.dumps(_for_xml(_plist(value, None, dates, omit_nulls), None), sort_keys=False)
    return written.decode().replace(_CARRIAGE_RETURN, "&#13;")


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
        raise FormatFault(location, "is null, which a property list lacks; drop it, or set `nulls: omit`")
    if isinstance(value, str) and dates and _TIME.fullmatch(value):
        return _date(value, location)
    if isinstance(value, int) and value not in _INTEGERS:
        raise FormatFault(location, "is an integer of more than 64 bits, which a property list lacks")
    return _NegativeZero(value) if value == 0 and str(value) == "-0.0" else value


def _date(text: str, location: Location) -> datetime:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise FormatFault(location, "looks like a time but is not one") from None


def _for_xml(value: Plist, location: Location) -> Plist:
    if isinstance(value, dict):
        return {_xml_text(key, (location, key)): _for_xml(item, (location, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_for_xml(item, (location, number)) for number, item in enumerate(value)]
    if isinstance(value, datetime) and value.microsecond:
        raise FormatFault(
            location, "is a time with a part of a second, which XML property lists lack; binary ones have it"
        )
    return _xml_text(value, location) if isinstance(value, str) else value


def _xml_text(text: str, location: Location) -> str:
    if _NOT_XML.search(text):
        raise FormatFault(
            location, "holds a control character, which an XML property list cannot hold; a binary one can"
        )
    return text.replace("\r", _CARRIAGE_RETURN)
