"""Protobuf messages from JSON and to it, by ProtoJSON's mapping (https://protobuf.dev/programming-guides/json/).

A message is one of a descriptor file's (`protoc --descriptor_set_out=FILE --include_imports`), or Struct without one.
"""

import re
from typing import TYPE_CHECKING, Final

from functions.transform.expressions import kind_of
from functions.transform.protobuf.order import in_order
from functions.transform.writers.writing import Trail, Unwritable
from shared.jsontext import Json

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

STRUCT: Final = "google.protobuf.Struct"
MAX_STRUCT_DEPTH: Final = 30
"""Levels of JSON: each is three of protobuf's, of which readers take a hundred."""


class DescriptorFault(ValueError):
    """The descriptor file or the message's name is at fault: refused when the configuration is loaded."""


class MessageKind:
    """One message type. `keeps_names`: in JSON, fields go by their names in the .proto file, not in camelCase."""

    def __init__(self, descriptors: bytes | None, name: str | None, *, keeps_names: bool) -> None:
        """Raises DescriptorFault."""
        self.name = name or STRUCT
        self._keeps_names = keeps_names
        self._pool, self._descriptor, self._type = _message_type(descriptors, self.name)

    def write(self, value: Json) -> bytes:
        """The same bytes for the same value. Raises Unwritable."""
        from google.protobuf.json_format import ParseDict, ParseError

        if not isinstance(value, dict):
            raise Unwritable(None, f"is {kind_of(value)}, and {self.name} is an object")
        if self.name == STRUCT:
            _verify_struct(value, None, 1)
        message = self._type()
        try:
            ParseDict(value, message, descriptor_pool=self._pool)
        except (ParseError, ValueError, TypeError, RecursionError) as error:  # its words may quote the value
            raise Unwritable(None, f"does not fit the message {self.name}{_place(error)}") from None
        return message.SerializeToString(deterministic=True)

    def read(self, content: bytes) -> Json:
        """The same JSON for the same bytes. Raises Unwritable for what is no such message, or has no JSON."""
        from google.protobuf.json_format import Error, MessageToDict
        from google.protobuf.message import DecodeError

        message = self._type()
        try:
            message.ParseFromString(content)
            value: Json = MessageToDict(
                message, preserving_proto_field_name=self._keeps_names, descriptor_pool=self._pool
            )
        except DecodeError:
            raise Unwritable(None, f"is no message {self.name}") from None
        except (Error, ValueError, TypeError, RecursionError):
            raise Unwritable(None, f"is a message {self.name} with a value that JSON cannot say") from None
        return in_order(value, self._descriptor, keeps_names=self._keeps_names)


def _message_type(descriptors: bytes | None, name: str) -> "tuple[DescriptorPool, Descriptor, type[Message]]":
    from google.protobuf import descriptor_pool, message_factory
    from google.protobuf import struct_pb2 as _struct_is_in_the_default_pool  # noqa: F401

    pool = descriptor_pool.Default() if descriptors is None else _pool(descriptors)
    try:
        found = pool.FindMessageTypeByName(name)
    except KeyError:
        if descriptors is None:
            raise DescriptorFault(f"without `descriptors` there is only the message {STRUCT}") from None
        raise DescriptorFault(f"the descriptor file has no message {name!r}") from None
    kind: type[Message] = message_factory.GetMessageClass(found)
    return pool, found, kind


def _pool(descriptors: bytes) -> "DescriptorPool":
    from google.protobuf import descriptor_pool
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.message import DecodeError

    pool = descriptor_pool.DescriptorPool()
    try:
        for file in FileDescriptorSet.FromString(descriptors).file:
            pool.Add(file)
    except (DecodeError, TypeError, ValueError):
        how = "make it by protoc --include_imports --descriptor_set_out=FILE"
        raise DescriptorFault(f"the descriptor file is no whole set of descriptors; {how}") from None
    return pool


def _verify_struct(value: Json, trail: Trail, depth: int) -> None:
    """Its numbers are 64-bit floats."""
    if depth > MAX_STRUCT_DEPTH:
        raise Unwritable(trail, f"is deeper than {MAX_STRUCT_DEPTH} levels, which protobuf's readers refuse")
    if isinstance(value, dict):
        for key, item in value.items():
            _verify_struct(item, (trail, key), depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _verify_struct(item, (trail, number), depth + 1)
    elif isinstance(value, int) and not _is_exact(value):
        raise Unwritable(trail, f"is an integer that {STRUCT} would round to a 64-bit float; name a `message:` for it")


def _is_exact(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _place(error: Exception) -> str:
    """The fields that the library's words name. The words themselves may quote the value."""
    fields = re.findall(r"Failed to parse (\w{1,64}) field", str(error))
    if fields:
        return f": the field {'.'.join(fields[:10])}"
    return ": it has a field that the message lacks" if "has no field named" in str(error) else ""
