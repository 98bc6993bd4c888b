"""Reading the records of alerts, which are JSON objects."""

from shared.jsontext import JsonObject, from_json


def read_record(text: str | None) -> JsonObject:
    """Read a record. Anything else counts as an empty one."""
    try:
        found = from_json(text.encode()) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def time_in(record: JsonObject, name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else None
