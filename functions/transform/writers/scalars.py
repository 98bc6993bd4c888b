"""Values as text, for formats that know nothing else."""

from functions.transform.expressions import kind_of
from functions.transform.writers.writing import Trail, Unwritable
from shared.jsontext import Json


def scalar_text(value: Json, trail: Trail) -> str:
    """Null is the empty text. Raises Unwritable."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        raise Unwritable(trail, f"is {kind_of(value)} where only text fits")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else repr(value)  # of a number, as JSON has it
