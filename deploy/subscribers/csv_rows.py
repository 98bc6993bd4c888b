"""Rows of a CSV file as the bodies of the API's requests.

The first line names the columns. A column such as `metadata.plan`, `header.X-Team` or `field.region` is one entry of
that object; `auth.kind` is one setting of `auth`. An empty cell says nothing.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, from_json

MAX_BYTES: Final = 64 * 1024 * 1024
TENANT_COLUMNS: Final = ("id", "name", "email")
TENANT_PREFIXES: Final = {"metadata": "metadata"}
ENDPOINT_COLUMNS: Final = ("tenant", "url", "description", "types", "filter", "rate", "enabled", "secret")
ENDPOINT_PREFIXES: Final = {"header": "headers", "field": "fields", "auth": "auth"}
_YES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class CsvFault(ValueError):
    """The file cannot be used. The text says where and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row. `key` is the tenant; `body` has what the row says and nothing else."""

    line: int
    key: str
    body: JsonObject


def tenant_rows(content: bytes) -> list[Row]:
    """Raises CsvFault."""
    return _rows(content, "id", TENANT_COLUMNS, TENANT_PREFIXES)


def endpoint_rows(content: bytes) -> list[Row]:
    """Raises CsvFault."""
    return _rows(content, "tenant", ENDPOINT_COLUMNS, ENDPOINT_PREFIXES)


def _rows(content: bytes, key: str, columns: Sequence[str], prefixes: Mapping[str, str]) -> list[Row]:
    if len(content) > MAX_BYTES:
        raise CsvFault(f"must have at most {MAX_BYTES:,} bytes; it has {len(content):,}")
    try:
        text = content.decode("utf-8-sig")  # with the mark that spreadsheets put before it
    except UnicodeDecodeError as error:
        raise CsvFault(f"must be UTF-8; byte {error.start} is not") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _require_columns(names, key, columns, prefixes)
        found = []
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append(_row(reader.line_num, names, cells, key, prefixes))
    except csv.Error as error:
        raise CsvFault(f"line {reader.line_num}: is not CSV: {error}") from error
    return found


def _require_columns(names: Sequence[str], key: str, columns: Sequence[str], prefixes: Mapping[str, str]) -> None:
    if key not in names:
        raise CsvFault(f"line 1: must name a column {key!r}; got {', '.join(names) or 'nothing'}")
    for name in names:
        prefix, _, rest = name.partition(".")
        if name not in columns and not (prefix in prefixes and rest):
            known = [*columns, *(f"{each}.NAME" for each in prefixes)]
            raise CsvFault(f"line 1: there is no column {name!r}{did_you_mean(name, known)}")
        if names.count(name) > 1:
            raise CsvFault(f"line 1: the column {name!r} is there twice")


def _row(line: int, names: Sequence[str], cells: Sequence[str], key: str, prefixes: Mapping[str, str]) -> Row:
    if len(cells) != len(names):
        raise CsvFault(f"line {line}: must have {len(names)} cells, as line 1 has; got {len(cells)}")
    body: JsonObject = {}
    for name, cell in zip(names, map(str.strip, cells), strict=True):
        if not cell or name == key:
            continue
        prefix, _, rest = name.partition(".")
        if rest and prefix in prefixes:
            inner = body.setdefault(prefixes[prefix], {})
            assert isinstance(inner, dict)
            inner[rest] = _field(cell) if prefix == "field" else cell
        else:
            body[name] = _value(line, name, cell)
    found = cells[names.index(key)].strip()
    if not found:
        raise CsvFault(f"line {line}: {key} is empty")
    return Row(line, found, body)


def _value(line: int, name: str, cell: str) -> Json:
    if name == "types":
        return [*cell.replace(",", " ").replace(";", " ").split()]
    if name == "enabled":
        if cell.lower() not in _YES:
            raise CsvFault(f"line {line}: enabled must be true or false; got {cell!r}")
        return _YES[cell.lower()]
    return cell


def _field(cell: str) -> Json:
    """Return what the cell says as JSON, else its text: `7` is a number and `"7"` a text."""
    try:
        return from_json(cell.encode())
    except (ValueError, RecursionError):
        return cell
