"""The line formats: CSV (RFC 4180), NDJSON, forms and plain text."""

import re
from typing import Final
from urllib.parse import urlencode

from shared.jsontext import Json, JsonObject, kind_of, to_json
from shared.writers.writing import BoundedText, FormatFault, Location, scalar_text

# A cell with one of these is quoted: any delimiter that a reader may look for, a quotation mark, a line break, a byte
# order mark, which a reader would drop at the start of a file, and a space at an end.
_TO_QUOTE: Final = re.compile('[",;\t\r\n\ufeff]|^ | $')
_FORMULA: Final = re.compile(r"[=@\t\r\n\uff1d\uff20\uff0b\uff0d]|[+-](?![0-9 ().,-]*$)")
"""The beginning of a text that a spreadsheet would run, also in full width. A number or a telephone number is not a
formula."""


def write_csv(value: Json, delimiter: str, *, keeps_formulas: bool = False) -> str:
    """Return a header and a row for each object of a list. The columns are the keys of all objects, in their order.

    Unless `keeps_formulas`, a text that a spreadsheet would run as a formula gets an apostrophe before it. Raises
    FormatFault, and Permanent (`output_too_large`).
    """
    if not isinstance(value, list):
        raise FormatFault(None, f"is {kind_of(value)}, and CSV is a list of objects")
    rows = [_row(item, (None, number)) for number, item in enumerate(value)]
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        if "\n" in name or "\r" in name:
            raise FormatFault(None, "has a key with a line break in it, which cannot name a CSV column")
    csv = BoundedText()
    csv.verify(len(names) * len(rows))  # each cell has at least one character, its delimiter
    if names:
        header = [_cell(name, name, keeps_formulas) for name in names]
        csv.add(_line(header, delimiter))
    for number, row in enumerate(rows):
        cells: list[str] = []
        for name in names:
            value_of_cell = row.get(name)
            location = ((None, number), name)
            cells.append(_cell(value_of_cell, scalar_text(value_of_cell, location), keeps_formulas))
        csv.add(_line(cells, delimiter))
    return csv.text()


def _line(cells: list[str], delimiter: str) -> str:
    """Return a line; an empty one is quoted, because readers skip empty lines."""
    return (delimiter.join(cells) or '""') + "\r\n"


def _row(item: Json, location: Location) -> JsonObject:
    """Return the item, which must be an object. Raises FormatFault."""
    if not isinstance(item, dict):
        raise FormatFault(location, f"is {kind_of(item)}, and a CSV row is an object")
    return item


def _cell(value: Json, text: str, keeps_formula: bool) -> str:
    """Return a cell, quoted if need be. `text` is the value as text. Only a value that is text can be a formula."""
    is_escaped = isinstance(value, str) and _FORMULA.match(text) and not keeps_formula
    return _quoted(f"'{text}" if is_escaped else text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text


def write_ndjson(value: Json) -> str:
    """Return a line of JSON for each item of a list. Raises FormatFault."""
    if not isinstance(value, list):
        raise FormatFault(None, f"is {kind_of(value)}, and NDJSON is a list, a line an item")
    return "".join(f"{to_json(item)}\n" for item in value)


def write_form(value: Json) -> str:
    """Write an object as a form, in which a list is a field that is repeated.

    Raises FormatFault, and Permanent (`output_too_large`).
    """
    if not isinstance(value, dict):
        raise FormatFault(None, f"is {kind_of(value)}, and a form is an object")
    text = BoundedText()
    separator = ""
    for name, field in value.items():
        for item in field if isinstance(field, list) else [field]:
            pair = {name: scalar_text(item, (None, name))}
            # Half of a surrogate pair, which UTF-8 cannot encode, is replaced.
            text.add(separator + urlencode(pair, errors="replace"))
            separator = "&"
    return text.text()


def write_text(value: Json) -> str:
    """Write text as it is, and any other value as JSON."""
    return value if isinstance(value, str) else to_json(value)
