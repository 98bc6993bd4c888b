"""Protobuf messages from JSON and to JSON, by ProtoJSON's mapping (https://protobuf.dev/programming-guides/json/).

A message's type is defined in a descriptor file, which the user makes from .proto files by
`protoc --descriptor_set_out=FILE --include_imports`. Without one, the type is Struct, Protobuf's own type for any JSON
object. The package protobuf is slow to import, so the functions here import it.
"""

import re
from typing import TYPE_CHECKING, Final

from shared.jsontext import Json, kind_of
from shared.writers.writing import FormatFault, Location

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

STRUCT: Final = "google.protobuf.Struct"
MAX_STRUCT_DEPTH: Final = 30
"""Levels of JSON: each is three levels of Protobuf, of which readers accept a hundred."""
_ANY_JSON: Final = frozenset(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue", "Any"))
"""Types whose JSON has the sender's own keys, not the names of fields."""


class DescriptorFault(ValueError):
    """A descriptor file or message name that cannot be used: an error of the configuration."""


class MessageKind:
    """One message type. With `keeps_names`, fields in JSON have their names in the .proto file, not camelCase."""

    def __init__(self, descriptors: bytes | None, name: str | None, *, keeps_names: bool) -> None:
        """Find the type `name` in a descriptor file's content. Raises DescriptorFault if it is not there."""
        from google.protobuf import message_factory

        self.name = name or STRUCT
        self._keeps_names = keeps_names
        self._pool = _default_pool() if descriptors is None else _pool_of(descriptors)
        try:
            self._descriptor: Descriptor = self._pool.FindMessageTypeByName(self.name)
        except KeyError:
            if descriptors is None:
                raise DescriptorFault(f"without `descriptors` there is only the message {STRUCT}") from None
            raise DescriptorFault(f"the descriptor file has no message {self.name!r}") from None
        self._class: type[Message] = message_factory.GetMessageClass(self._descriptor)

    def write(self, value: Json) -> bytes:
        """Return the message, always the same bytes for the same value. Raises FormatFault if it does not fit."""
        from google.protobuf.json_format import ParseDict, ParseError

        if not isinstance(value, dict):
            raise FormatFault(None, f"is {kind_of(value)}, and {self.name} is an object")
        if self.name == STRUCT:
            _verify_struct(value, None, depth=1)
        message = self._class()
        try:
            ParseDict(value, message, descriptor_pool=self._pool)
        except (ParseError, ValueError, TypeError, RecursionError) as error:
            # Without the error itself, whose text may quote the value.
            raise FormatFault(None, f"does not fit the message {self.name}{_place(error)}") from None
        return message.SerializeToString(deterministic=True)

    def read(self, content: bytes) -> Json:
        """Return the message as JSON, always the same for the same bytes. Raises FormatFault for anything else."""
        from google.protobuf.json_format import Error, MessageToDict
        from google.protobuf.message import DecodeError

        message = self._class()
        try:
            message.ParseFromString(content)
            value: Json = MessageToDict(
                message, preserving_proto_field_name=self._keeps_names, descriptor_pool=self._pool
            )
        except DecodeError:
            raise FormatFault(None, f"is not a message {self.name}") from None
        except (Error, ValueError, TypeError, RecursionError):
            raise FormatFault(None, f"is a message {self.name} with a value that JSON cannot hold") from None
        return _in_order(value, self._descriptor, keeps_names=self._keeps_names)


def _default_pool() -> "DescriptorPool":
    from google.protobuf import (
        descriptor_pool,
        struct_pb2 as _,  # noqa: F401 # importing it adds Struct to the pool
    )

    return descriptor_pool.Default()


def _pool_of(descriptors: bytes) -> "DescriptorPool":
    from google.protobuf import descriptor_pool
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.message import DecodeError

    pool = descriptor_pool.DescriptorPool()
    try:
        for file in FileDescriptorSet.FromString(descriptors).file:
            pool.Add(file)
    except (DecodeError, TypeError, ValueError):
        how = "make it by protoc --include_imports --descriptor_set_out=FILE"
        raise DescriptorFault(f"the descriptor file is not a complete set of descriptors; {how}") from None
    return pool


def _verify_struct(value: Json, location: Location, *, depth: int) -> None:
    """Raise FormatFault if the value is too deep, or has an integer that a Struct's 64-bit floats would round."""
    if depth > MAX_STRUCT_DEPTH:
        raise FormatFault(location, f"is deeper than {MAX_STRUCT_DEPTH} levels, which readers of Protobuf reject")
    if isinstance(value, dict):
        for key, item in value.items():
            _verify_struct(item, (location, key), depth=depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _verify_struct(item, (location, number), depth=depth + 1)
    elif isinstance(value, int) and not _is_exact(value):
        raise FormatFault(
            location,
            f"is an integer that {STRUCT} would round to a 64-bit float; set `message` to one with an integer field",
        )


def _is_exact(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _place(error: Exception) -> str:
    """Return the fields that the library's error names, such as `: the field order.id`."""
    fields = re.findall(r"Failed to parse (\w{1,64}) field", str(error))
    if fields:
        return f": the field {'.'.join(fields[:10])}"
    return ": it has a field that the message lacks" if "has no field named" in str(error) else ""


def _in_order(value: Json, kind: "Descriptor", *, keeps_names: bool) -> Json:
    """Return the JSON of a message with the entries of its maps sorted by key.

    Protobuf defines no order, and the library's order differs from process to process.
    """
    if kind.full_name in _ANY_JSON:
        return _sorted(value)
    if not isinstance(value, dict):  # a Timestamp and some others are text in JSON
        return value
    fields = {field.name if keeps_names else field.json_name: field for field in kind.fields}
    return {
        name: _field_in_order(item, fields[name], keeps_names=keeps_names) if name in fields else item
        for name, item in value.items()
    }


def _field_in_order(value: Json, field: "FieldDescriptor", *, keeps_names: bool) -> Json:
    kind = field.message_type
    if kind is None:  # a number, a text or another value without fields
        return value
    if isinstance(value, dict) and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        return {key: _field_in_order(value[key], entry, keeps_names=keeps_names) for key in sorted(value)}
    if isinstance(value, list) and kind.full_name not in _ANY_JSON:  # a repeated field; a ListValue is a list too
        return [_in_order(item, kind, keeps_names=keeps_names) for item in value]
    return _in_order(value, kind, keeps_names=keeps_names)


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
