"""The order of a map's entries: protobuf has none, its library one of its own in each process.

The fields of a message stay in the order of their numbers.
"""

from typing import TYPE_CHECKING, Final

from shared.jsontext import Json

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

_HOLDS_ANYTHING: Final = frozenset(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue", "Any"))


def in_order(value: Json, kind: "Descriptor", *, keeps_names: bool) -> Json:
    """`value` is the JSON of a message of this kind; what a map holds comes in the order of its keys."""
    if kind.full_name in _HOLDS_ANYTHING:
        return _by_key(value)
    if not isinstance(value, dict):  # a Timestamp is text in JSON, and so are others
        return value
    fields = {field.name if keeps_names else field.json_name: field for field in kind.fields}
    return {
        name: _of_field(item, fields[name], keeps_names=keeps_names) if name in fields else item
        for name, item in value.items()
    }


def _of_field(value: Json, field: "FieldDescriptor", *, keeps_names: bool) -> Json:
    kind = field.message_type
    if kind is None:
        return value
    if isinstance(value, dict) and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        return {key: _of_field(value[key], entry, keeps_names=keeps_names) for key in sorted(value)}
    if isinstance(value, list) and kind.full_name not in _HOLDS_ANYTHING:
        return [in_order(item, kind, keeps_names=keeps_names) for item in value]
    return in_order(value, kind, keeps_names=keeps_names)


def _by_key(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _by_key(value[key]) for key in sorted(value)}
    return [_by_key(item) for item in value] if isinstance(value, list) else value
