"""Read the JSON objects in which the tasks of notify store what they have done so far."""

from shared import jsontext


def read_record(text: str | None) -> jsontext.JsonObject:
    """Return the record. None, and a text that is no JSON object, count as an empty one."""
    try:
        return jsontext.mapping_at(jsontext.from_json(text.encode())) if text else {}
    except ValueError:
        return {}


def time_in(record: jsontext.JsonObject, name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else None
