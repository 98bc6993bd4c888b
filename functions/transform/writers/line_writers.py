"""The formats that take a few lines each: NDJSON, forms, text."""

from urllib.parse import urlencode

from functions.transform.expressions import kind_of
from functions.transform.writers.pieces import Pieces
from functions.transform.writers.scalars import scalar_text
from functions.transform.writers.writing import Unwritable
from shared.jsontext import Json, to_json


def write_ndjson(value: Json) -> str:
    """Raises Unwritable."""
    if not isinstance(value, list):
        raise Unwritable(None, f"is {kind_of(value)}, and NDJSON is a list, a line an item")
    return "".join(f"{to_json(item)}\n" for item in value)


def write_form(value: Json) -> str:
    """A list is the same field again. Raises Unwritable, and Permanent (`output`)."""
    if not isinstance(value, dict):
        raise Unwritable(None, f"is {kind_of(value)}, and a form is an object")
    pieces = Pieces()
    separator = ""
    for name, field in value.items():
        for item in field if isinstance(field, list) else [field]:
            pieces.add(separator + urlencode({name: scalar_text(item, (None, name))}))
            separator = "&"
    return pieces.text()


def write_text(value: Json) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else to_json(value)
