"""convert, to Protobuf and from it."""

from base64 import b64encode

import pytest

from functions.transform.step import SettingsFault
from functions.transform.steps.convert import Convert
from functions.transform.verifying import verified_step
from shared.jsontext import Json
from tests.unit.transform.converting import an_object, descriptors, rejection, there, there_and_back


def test_a_message_of_a_descriptor_file_holds_what_struct_would_round() -> None:
    order: Json = {"id": str(2**53 + 1), "itemName": ["bolt", "nut"]}
    settings: dict[str, Json] = {"message": "shop.Order", "descriptors": descriptors().decode("utf-8")}

    written = there({"to": "protobuf", **settings}, order)

    assert an_object(written)["type"] == "application/x-protobuf"
    assert there({"from": "protobuf", "to": "json", **settings}, written) == order
    named = there({"from": "protobuf", "to": "json", "proto_names": True, **settings}, written)
    assert an_object(named)["item_name"] == ["bolt", "nut"]
    wrong: list[tuple[Json, str]] = [
        ({"id": "seven"}, "the field id"),
        ({"ids": 1}, "it has a field that the message lacks"),
    ]
    for data, message in wrong:
        assert rejection({"to": "protobuf", **settings}, data) == f"data does not fit the message shop.Order: {message}"
    with pytest.raises(SettingsFault, match=r"the descriptor file has no message 'shop\.Oder'"):
        verified_step(Convert, {"to": "protobuf", **settings, "message": "shop.Oder"})


def test_the_same_value_makes_the_same_message_however_its_keys_are_ordered() -> None:
    assert there({"to": "protobuf"}, {"a": 1, "b": 2, "c": 3}) == there({"to": "protobuf"}, {"c": 3, "b": 2, "a": 1})


def test_the_same_message_makes_the_same_json_though_protobufs_maps_have_no_order() -> None:
    names = [f"part {n:02}" for n in range(40)]
    shuffled: Json = {name: {"z": 1.0, "a": [{"y": True, "x": None}]} for name in reversed(names)}
    back = there_and_back({"to": "protobuf"}, {"from": "protobuf", "to": "json"}, shuffled)
    assert repr(back) == repr({name: {"a": [{"x": None, "y": True}], "z": 1.0} for name in names})

    settings: dict[str, Json] = {
        "message": "shop.Order",
        "descriptors": {"base64": b64encode(descriptors(parts=True)).decode()},
    }
    order: Json = {"id": "1", "itemName": ["bolt"], "parts": {name: {"id": "2"} for name in reversed(names)}}
    back = there_and_back({"to": "protobuf", **settings}, {"from": "protobuf", "to": "json", **settings}, order)
    assert repr(back) == repr({"id": "1", "itemName": ["bolt"], "parts": {name: {"id": "2"} for name in names}})


def test_a_value_deeper_than_protobufs_readers_go_is_rejected() -> None:
    deep: Json = {"x": 1}
    for _ in range(28):
        deep = {"x": deep}
    assert there_and_back({"to": "protobuf"}, {"from": "protobuf", "to": "json"}, deep) == deep
    assert "deeper than 30 levels" in rejection({"to": "protobuf"}, {"x": {"x": deep}})
