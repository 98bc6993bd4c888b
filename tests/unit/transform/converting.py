"""A value through `convert`, and back; and a descriptor file for Protobuf."""

from dataclasses import replace

import pytest

from functions.transform.steps.convert import Convert
from shared.errors import Permanent
from shared.jsontext import Json
from tests.fakes.steps import EVENT, data_after, event_after


def there(settings: Json, data: Json) -> Json:
    return data_after(Convert, settings, data)


def there_and_back(to: Json, back: Json, data: Json) -> Json:
    middle = event_after(Convert, to, replace(EVENT, data=data))
    return event_after(Convert, back, middle).data


def rejection(settings: Json, data: Json) -> str:
    with pytest.raises(Permanent) as caught:
        there(settings, data)
    assert caught.value.code == "conversion_failed"
    return caught.value.detail


def descriptors(*, parts: bool = False) -> bytes:
    """`message Order { int64 id = 1; repeated string item_name = 2; }`, and with `map<string, Order> parts = 3;`"""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

    found = FileDescriptorSet()
    file = found.file.add(name="shop.proto", package="shop", syntax="proto3")
    message = file.message_type.add(name="Order")
    message.field.add(name="id", number=1, type=FieldDescriptorProto.TYPE_INT64, label=1)
    message.field.add(name="item_name", number=2, type=FieldDescriptorProto.TYPE_STRING, label=3)
    if parts:
        message.field.add(
            name="parts", number=3, type=FieldDescriptorProto.TYPE_MESSAGE, label=3, type_name=".shop.Order.PartsEntry"
        )
        entry = message.nested_type.add(name="PartsEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=FieldDescriptorProto.TYPE_STRING, label=1)
        entry.field.add(
            name="value", number=2, type=FieldDescriptorProto.TYPE_MESSAGE, label=1, type_name=".shop.Order"
        )
    return found.SerializeToString()


def an_object(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value
