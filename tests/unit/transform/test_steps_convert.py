"""convert: how each format is written, and what it cannot say."""

import json
import plistlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from functions.transform.step import SettingsFault
from functions.transform.steps.convert import Convert
from functions.transform.verifying import verified_step
from shared.errors import Permanent
from shared.formats.text_body import binary
from shared.jsontext import Json, to_json
from tests.fakes.steps import EVENT, event_after, memory_below
from tests.unit.shared.json_values import floats, json_values, texts, values_of
from tests.unit.transform.converting import an_object, descriptors, rejection, there, there_and_back


def nested(value: Json, levels: int) -> Json:
    return value if levels == 0 else [nested(value, levels - 1)]


def test_yaml_is_written_for_people() -> None:
    value: Json = {"a b": [{"x": 1, "why": [[2.5, None]]}, {}, []], "text": "one\ntwo\n", "": "x: y", "big": 1e20}

    assert there({"to": "yaml"}, value) == (
        "a b:\n  - x: 1\n    why:\n      - - 2.5\n        - null\n  - {}\n  - []\n"
        'text: |\n  one\n  two\n"": "x: y"\nbig: 1.0e+20\n'
    )


def test_apples_own_reader_reads_both_kinds_of_property_list() -> None:
    value: Json = {"a\r\nb": ["x\r", -1, 2**64 - 1, 1.5, True, {}, []], "<&>": "é😀"}

    for name in ("plist", "binary-plist"):
        written = there({"to": name}, value)
        content = written.encode() if isinstance(written, str) else b64decode(str(an_object(written)["base64"]))
        assert plistlib.loads(content) == value


def test_dates_are_made_where_they_are_wanted_and_come_back_as_text() -> None:
    value: Json = {"at": "2026-03-01T13:00:00+01:00"}

    assert "<string>2026-03-01T13:00:00+01:00</string>" in str(there({"to": "plist"}, value))
    assert "<date>2026-03-01T12:00:00Z</date>" in str(there({"to": "plist", "dates": True}, value))
    exact: Json = {"at": "2026-03-01T12:00:00.250Z"}
    assert there_and_back({"to": "binary-plist", "dates": True}, {"to": "json"}, exact) == exact
    assert "a part of a second" in rejection({"to": "plist", "dates": True}, exact)
    not_a_day: Json = {"at": "2026-02-30T12:00:00Z"}
    assert "looks like a time but is not one" in rejection({"to": "plist", "dates": True}, not_a_day)


def test_xml_is_written_by_the_convention_by_which_it_is_read() -> None:
    value: Json = {"order": {"@id": "7", "line": [{"@n": "1", "#text": "bolt & nut"}, "screw"], "gone": None}}

    written = there({"to": "xml"}, value)

    assert written == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<order id="7"><line n="1">bolt &amp; nut</line><line>screw</line><gone/></order>\n'
    )
    assert there({"from": "xml", "to": "json"}, written) == value


def test_an_empty_list_becomes_no_element_and_no_field() -> None:
    assert str(there({"to": "xml", "root": "a"}, {"b": [], "c": 1})).endswith("<a><c>1</c></a>\n")
    assert there({"to": "form"}, {"b": [], "c": 1}) == "c=1"


names = st.sampled_from(
    ["a", "b:a", "c:a", "xml:a", "xmlns:a", "@d", "@xmlns", "@xmlns:b", "@xmlns:c", "@xmlns:xml", "@b:d", "@c:d"]
)
elements = st.recursive(
    st.sampled_from(["", "urn:b", "http://www.w3.org/XML/1998/namespace"]),
    lambda inner: st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(elements)
def test_readers_that_know_namespaces_take_all_xml_that_is_written(value: Json) -> None:
    try:
        written = there({"to": "xml", "root": "r"}, {"a": value})
    except Permanent as error:
        assert error.code == "conversion_failed"
        return
    ElementTree.fromstring(str(written))


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "\t=1", "\uff1d1+1"])
def test_a_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe_unless_it_is_kept(text: str) -> None:
    rows: Json = [{text: text, "n": -3, "phone": "+44 7700"}]
    assert there({"to": "csv"}, rows) == f"'{text},n,phone\r\n'{text},-3,+44 7700\r\n".replace("'\t=1", '"\'\t=1"')
    kept: dict[str, Json] = {"to": "csv", "formulas": "keep"}
    assert there({**kept, "exact": True}, [{"a": text}]) == there(kept, [{"a": text}])
    assert "would not convert back" in rejection({"to": "csv", "exact": True}, [{"a": text}])


def test_text_stays_and_anything_else_becomes_json() -> None:
    assert there({"to": "text"}, "as it is") == "as it is"
    assert there({"to": "text"}, {"a": [1]}) == '{"a":[1]}'


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        ({"to": "plist"}, {"a": [1, None]}, "data.a[1] is null, which a property list lacks"),
        ({"to": "binary-plist"}, {"n": 2**64}, "data.n is an integer of more than 64 bits"),
        ({"to": "xml"}, {"a": 1, "b": 2}, "data is an object with 2 keys, and XML has one element around all: name it"),
        ({"to": "xml"}, {"a><script>": 1}, "data.* is not a name for an XML element"),
        ({"to": "xml"}, {"a": {"b": {"@xmlns:c": "urn:c"}, "c:d": 1}}, 'data.a["c:d"] has the prefix `c`'),
        ({"to": "xml"}, {"a": {"b": [[1]]}}, "data.a.b[0] is a list in a list"),
        ({"to": "xml"}, {"a": {"b": "\x01"}}, "data.a.b holds a control character"),
        ({"to": "xml", "exact": True}, {"a": {"b": [1]}}, "data.a.b would not convert back from xml to an equal value"),
        ({"to": "xml", "exact": True}, {"a": {"b": []}}, "data.a would not convert back from xml to an equal value"),
        ({"to": "xml", "exact": True}, {"a": {}}, "data.a would not convert back from xml to an equal value"),
        ({"to": "form", "exact": True}, {"a": []}, "data would not convert back from form to an equal value"),
        ({"to": "csv"}, {"a": 1}, "data is an object, and CSV is a list of objects"),
        ({"to": "csv"}, [{"a": 1}, {"a": [1]}], "data[1].a is a list where only text fits"),
        ({"to": "form"}, {"a": {"b": 1}}, "data.a is an object where only text fits"),
        ({"to": "protobuf"}, [1], "data is a list, and google.protobuf.Struct is an object"),
        ({"to": "protobuf"}, {"id": [2**53 + 1]}, "data.id[0] is an integer that google.protobuf.Struct would round"),
        ({"to": "yaml"}, {"x": "\ud800"}, "data.x holds half of a surrogate pair"),
        ({"from": "json", "to": "yaml"}, '{"a":\n 1,}', "data cannot be read as json: not JSON: "),
        (
            {"to": "json"},
            {"type": "image/png", "size": 1, "base64": "AA=="},
            "data is bytes whose type names no format",
        ),
        ({"to": "json"}, "a: 1", "data is text: state its format, such as `from: yaml` or `from: text`"),
    ],
)
def test_what_a_format_cannot_say_is_rejected_by_its_place(settings: Json, data: Json, message: str) -> None:
    assert rejection(settings, data).startswith(message)


def test_no_rejection_holds_what_a_sender_wrote() -> None:
    for name in ("xml", "plist", "csv", "form"):
        assert "hunter2" not in rejection(
            {"to": name, "exact": True, "path": "data.a"}, {"a": {"b": [["hunter2\0", None]]}}
        )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("xml", {"r": {"x" * 60_000: [1] * 200_000}}),
        ("csv", [{str(number): 1 for number in range(5_000)}, *[{}] * 100_000]),
        ("yaml", nested([1] * 100_000, 60)),
    ],
)
def test_what_a_format_says_again_and_again_fills_no_memory(name: str, data: Json) -> None:
    with memory_below(32), pytest.raises(Permanent, match="output_too_large"):
        there({"to": name}, data)


def as_text(value: Json) -> dict[str, Json]:
    """What a step must be told of a text that is no document."""
    return {"from": "text"} if isinstance(value, str) else {}


xml_texts = st.text(" \t\r\n<&>]x", min_size=1, max_size=6)
LOSSLESS: dict[str, st.SearchStrategy[Json]] = {
    "xml": st.builds(lambda a, b, c: {"r": {"@a": a, "b": [b, c], "#text": c}}, xml_texts, xml_texts, xml_texts),
    "yaml": json_values,
    "ndjson": st.lists(json_values),
    "plist": values_of(st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts),
    "binary-plist": values_of(st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts),
    "protobuf": st.dictionaries(
        texts, values_of(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | floats | texts)
    ),
}


@pytest.mark.parametrize("name", LOSSLESS)
@settings(max_examples=20)
@given(data=st.data())
def test_what_a_format_can_say_comes_back_equal(name: str, data: st.DataObject) -> None:
    value = data.draw(LOSSLESS[name])
    try:
        back = there_and_back({"to": name, **as_text(value)}, {"from": name, "to": "json"}, value)
    except Permanent as error:
        assert name == "plist"
        assert "control character" in error.detail
        return
    assert back == value
    assert repr(back) == repr(value) or name == "protobuf"


@given(json_values)
def test_every_reader_of_yaml_takes_ours_for_the_same(value: Json) -> None:
    written = there({"to": "yaml", **as_text(value)}, value)

    assert isinstance(written, str)
    assert yaml.safe_load(written) == value


@given(st.sampled_from(["xml", "csv", "form"]), json_values)
def test_what_must_be_exact_comes_back_equal_or_is_rejected(name: str, value: Json) -> None:
    try:
        middle = event_after(Convert, {"to": name, "exact": True, **as_text(value)}, replace(EVENT, data=value))
    except Permanent as error:
        assert error.code == "conversion_failed"
        return
    assert event_after(Convert, {"to": "json"}, middle).data == value


@given(st.sampled_from(["json", "xml", "yaml", "plist", "csv", "ndjson", "form", "text", "protobuf"]), st.binary())
def test_any_bytes_are_read_or_rejected(name: str, content: bytes) -> None:
    for document in (binary(content, ""), content.decode("utf-8", "replace")):
        try:
            there({"from": name, "to": "json"}, document)
        except Permanent as error:
            assert error.code == "conversion_failed"


def examples_of_github(node_package: Callable[[str], Path]) -> list[Json]:
    """All of them, each version of its server's."""
    files = sorted(node_package("@octokit/webhooks-examples").glob("*/index.json"))
    kinds = [kind for file in files for kind in json.loads(file.read_bytes())]
    distinct = {to_json(example): example for kind in kinds for example in kind["examples"]}
    return list(distinct.values())


@pytest.mark.slow
def test_everything_github_sends_survives_every_lossless_conversion(node_package: Callable[[str], Path]) -> None:
    examples = examples_of_github(node_package)

    assert len(examples) > 200
    for name in ("yaml", "protobuf"):
        for example in examples:
            assert there_and_back({"to": name}, {"from": name, "to": "json"}, example) == example
    assert there_and_back({"to": "ndjson"}, {"to": "json"}, examples) == examples


@pytest.mark.slow
def test_a_property_list_holds_all_that_github_sends_but_null(node_package: Callable[[str], Path]) -> None:
    for name in ("plist", "binary-plist"):
        for example in examples_of_github(node_package):
            without = _without_nulls(example)
            if without != example:
                assert "is null, which a property list lacks" in rejection({"to": name}, example)
            assert there_and_back({"to": name, "nulls": "omit"}, {"to": "json"}, example) == without


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def test_a_message_of_a_descriptor_file_holds_what_struct_would_round() -> None:
    order: Json = {"id": str(2**53 + 1), "itemName": ["bolt", "nut"]}
    settings: dict[str, Json] = {"message": "shop.Order", "descriptors": descriptors().decode("utf-8")}

    written = there({"to": "protobuf", **settings}, order)

    assert an_object(written)["type"] == "application/x-protobuf"
    assert there({"from": "protobuf", "to": "json", **settings}, written) == order
    named = there({"from": "protobuf", "to": "json", "proto_names": True, **settings}, written)
    assert an_object(named)["item_name"] == ["bolt", "nut"]
    unfit = rejection({"to": "protobuf", **settings}, {"ids": 1})
    assert unfit == "data does not fit the message shop.Order: it has a field that the message lacks"
    with pytest.raises(SettingsFault, match=r"the descriptor file has no message 'shop\.Oder'"):
        verified_step(Convert, {"to": "protobuf", **settings, "message": "shop.Oder"})


def test_the_same_message_makes_the_same_json_though_protobufs_maps_have_no_order() -> None:
    names = [f"part {n:02}" for n in range(40)]
    shuffled: Json = {name: {"z": 1.0, "a": [{"y": True, "x": None}]} for name in reversed(names)}
    back = there_and_back({"to": "protobuf"}, {"from": "protobuf", "to": "json"}, shuffled)
    assert repr(back) == repr({name: {"a": [{"x": None, "y": True}], "z": 1.0} for name in names})

    encoded = b64encode(descriptors(parts=True)).decode()
    settings: dict[str, Json] = {"message": "shop.Order", "descriptors": {"base64": encoded}}
    order: Json = {"id": "1", "itemName": ["bolt"], "parts": {name: {"id": "2"} for name in reversed(names)}}
    back = there_and_back({"to": "protobuf", **settings}, {"from": "protobuf", "to": "json", **settings}, order)
    assert repr(back) == repr({"id": "1", "itemName": ["bolt"], "parts": {name: {"id": "2"} for name in names}})


def test_a_value_deeper_than_protobufs_readers_go_is_rejected() -> None:
    deep: Json = {"x": 1}
    for _ in range(28):
        deep = {"x": deep}
    assert there_and_back({"to": "protobuf"}, {"from": "protobuf", "to": "json"}, deep) == deep
    assert "deeper than 30 levels" in rejection({"to": "protobuf"}, {"x": {"x": deep}})


def test_only_a_step_that_may_read_yaml_needs_its_library() -> None:
    assert Convert(to="yaml", from_="json").needs() == ()
    assert Convert(to="csv", from_="json", exact=True).needs() == ()
    assert Convert(to="yaml", from_="json", exact=True).needs() == ("yaml",)
    assert Convert(to="json").needs() == ("yaml",)
