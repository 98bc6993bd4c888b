"""JSON values compared as JSON Schema has it: 1 and 1.0 are equal, 1 and true are not."""

from shared.jsontext import Json, canonical


def holds_equal(items: list[Json]) -> bool:
    """By hash: compared each with each, as jsonschema does, a sender's list can take hours."""
    return len({canonical(_as_compared(item)) for item in items}) < len(items)


def _as_compared(value: Json) -> Json:
    if isinstance(value, list):
        return [_as_compared(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_compared(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
