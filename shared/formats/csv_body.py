"""CSV (RFC 4180), also with tabs or semicolons, as JSON: a list of objects, whose keys are in the first line."""

import csv
import io
from collections.abc import Iterator
from typing import Final

from shared.errors import Rejected
from shared.formats import text_body
from shared.formats.parse import MediaType
from shared.jsontext import Json, JsonObject
from shared.limits import Limits, put

_TAB_TYPE: Final = "text/tab-separated-values"


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Parse CSV into a list of objects. Every value is a string; a cell that a short row lacks is null.

    Raises Rejected: `duplicate_key` for two columns of one name, `too_many_values`, `expanded_too_large`, and
    `malformed_body` for quotes that do not match and for a row with more in it than the header names.
    """
    stream, delimiter = _stream(body, media, limits)
    # The reader's own limit for a field is 128 KiB. It is a setting of the whole process, so it is set each time.
    csv.field_size_limit(limits.max_decoded_bytes)
    rows = csv.reader(stream, delimiter=delimiter, strict=True)
    try:
        return _objects(rows, limits)
    except csv.Error:
        raise Rejected(
            "malformed_body", f"not CSV: line {rows.line_num}: a quotation mark is not closed, or more follows it"
        ) from None


def _stream(body: bytes, media: MediaType, limits: Limits) -> tuple[io.StringIO, str]:
    """Return the text as a stream, and its delimiter.

    Raises Rejected if there are too many delimiters, since the reader makes a list of a whole row before it returns it.
    """
    text = text_body.decode_text(body, media.charset)
    delimiter = _delimiter(text, media)
    if text.count(delimiter) > limits.max_nodes:
        raise _too_many(limits)
    return io.StringIO(text, newline=""), delimiter


def _delimiter(text: str, media: MediaType) -> str:
    """Return the comma, or a semicolon or tab if the header has no comma and this instead, as spreadsheets write it."""
    if media.name == _TAB_TYPE:
        return "\t"
    header = text[: text.find("\n")] if "\n" in text else text
    return next((delimiter for delimiter in ",;\t" if delimiter in header), ",")


def _objects(rows: Iterator[list[str]], limits: Limits) -> Json:
    """Return an object for each row after the first, which has the keys. Raises Rejected and csv.Error."""
    objects: list[Json] = []
    columns: JsonObject = {}  # each key with null, the value of a cell that a short row lacks
    filled_rows = filter(None, rows)  # an empty line is no row
    for name in next(filled_rows, []):
        put(columns, name, None, limits)
    name_characters = sum(map(len, columns))
    for row in filled_rows:
        objects.append(_object(columns, row))
        nodes_of_object = 1 + len(columns)
        if len(objects) * nodes_of_object >= limits.max_nodes:
            raise _too_many(limits)
        if len(objects) * name_characters > limits.max_expanded_characters:
            raise Rejected("expanded_too_large", "the CSV's column names, said again in each row, are too much text")
    return objects


def _object(columns: JsonObject, row: list[str]) -> JsonObject:
    further_cells = row[len(columns) :]
    if any(further_cells):  # empty ones follow from delimiters at the end of a line
        raise Rejected("malformed_body", "not CSV: a row has more cells than the header")
    return columns | dict(zip(columns, row, strict=False))


def _too_many(limits: Limits) -> Rejected:
    return Rejected("too_many_values", f"the CSV holds more than {limits.max_nodes} values")
