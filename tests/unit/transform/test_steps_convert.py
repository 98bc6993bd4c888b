"""convert: how each format is written, and what it cannot say."""

import plistlib
import tracemalloc
from base64 import b64decode
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transform.step import SettingsFault
from functions.transform.steps.convert import Convert
from functions.transform.verifying import verified_step
from shared.errors import Permanent
from shared.jsontext import Json
from tests.fakes.steps import EVENT, event_after
from tests.unit.transform.converting import SENT, an_object, rejection, there, there_and_back


def nested(value: Json, levels: int) -> Json:
    return value if levels == 0 else [nested(value, levels - 1)]


def test_a_document_says_its_content_type_and_json_needs_none() -> None:
    document = event_after(Convert, {"to": "yaml"}, replace(EVENT, data=SENT))
    value = event_after(Convert, {"to": "json"}, document)

    assert (document.datatype, value.datatype) == ("application/yaml", None)
    assert event_after(Convert, {"to": "yaml", "path": "data.tags"}, replace(EVENT, data=SENT)).datatype is None


def test_yaml_is_written_for_people() -> None:
    value: Json = {"a b": [{"x": 1, "why": [[2.5, None]]}, {}, []], "text": "one\ntwo\n", "": "x: y", "big": 1e20}

    assert there({"to": "yaml"}, value) == (
        "a b:\n  - x: 1\n    why:\n      - - 2.5\n        - null\n  - {}\n  - []\n"
        'text: |\n  one\n  two\n"": "x: y"\nbig: 1.0e+20\n'
    )


def test_text_that_is_yaml_becomes_a_property_list() -> None:
    written = there({"from": "yaml", "to": "plist"}, "name: Ada\nadmin: true\nn: 7\n")

    assert isinstance(written, str)
    assert plistlib.loads(written.encode()) == {"name": "Ada", "admin": True, "n": 7}
    assert "\t<key>name</key>\n\t<string>Ada</string>\n" in written


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
    assert there_and_back(
        {"to": "binary-plist", "dates": True}, {"to": "json"}, {"at": "2026-03-01T12:00:00.250Z"}
    ) == {"at": "2026-03-01T12:00:00.250Z"}
    assert "a part of a second" in rejection({"to": "plist", "dates": True}, {"at": "2026-03-01T12:00:00.250Z"})
    not_a_day: Json = {"at": "2026-02-30T12:00:00Z"}
    assert "looks like a time but is not one" in rejection({"to": "plist", "dates": True}, not_a_day)


def test_null_can_be_left_out_of_a_property_list() -> None:
    value: Json = {"a": None, "b": [1], "c": {"d": None}}

    assert there_and_back({"to": "plist", "nulls": "omit"}, {"to": "json"}, value) == {"b": [1], "c": {}}


def test_xml_is_written_by_the_convention_by_which_it_is_read() -> None:
    value: Json = {"order": {"@id": "7", "line": [{"@n": "1", "#text": "bolt & nut"}, "screw"], "gone": None}}

    written = there({"to": "xml"}, value)

    assert written == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<order id="7"><line n="1">bolt &amp; nut</line><line>screw</line><gone/></order>\n'
    )
    assert there({"from": "xml", "to": "json"}, written) == value


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


def test_xml_whose_root_declares_its_prefixes_comes_back() -> None:
    value: Json = {"s:Envelope": {"@xmlns:s": "urn:s", "s:Body": {"@xml:lang": "en", "@s:of": "x", "a": None}}}
    assert there({"from": "xml", "to": "json"}, there({"to": "xml"}, value)) == value


def test_a_root_goes_around_what_has_none() -> None:
    assert str(there({"to": "xml", "root": "r"}, {"a": 1, "b": [True, None]})).endswith(
        "<r><a>1</a><b>true</b><b/></r>\n"
    )
    assert str(there({"from": "text", "to": "xml", "root": "r"}, "x\ry")).endswith("<r>x&#13;y</r>\n")


def test_an_xml_declaration_does_not_name_the_charset_of_text() -> None:
    assert there({"from": "xml", "to": "json"}, '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>') == {"a": "é"}


def test_csv_has_a_column_for_each_key() -> None:
    assert there({"to": "csv"}, [{"a": 1, "b": 'say "hi"'}, {"c": None, "a": "x,y"}]) == (
        'a,b,c\r\n1,"say ""hi""",\r\n"x,y",,\r\n'
    )
    assert there({"to": "csv", "delimiter": ";"}, [{"a": "1,5", "b": "x"}]) == 'a;b\r\n"1,5";x\r\n'


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "-1+A1", "\t=1", "\uff1d1+1"])
def test_a_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe_unless_it_is_kept(text: str) -> None:
    rows: Json = [{text: text, "n": -3, "phone": "+44 7700"}]
    assert there({"to": "csv"}, rows) == f"'{text},n,phone\r\n'{text},-3,+44 7700\r\n".replace("'\t=1", '"\'\t=1"')
    kept: dict[str, Json] = {"to": "csv", "formulas": "keep"}
    assert there({**kept, "exact": True}, [{"a": text}]) == there(kept, [{"a": text}])
    assert "would not convert back" in rejection({"to": "csv", "exact": True}, [{"a": text}])


def test_a_form_says_a_field_again_for_each_item_of_a_list() -> None:
    assert there({"to": "form"}, {"a": "x y", "b": ["1", 2], "c": None}) == "a=x+y&b=1&b=2&c="


def test_text_stays_and_anything_else_becomes_json() -> None:
    assert there({"to": "text"}, "as it is") == "as it is"
    assert there({"to": "text"}, {"a": [1]}) == '{"a":[1]}'


def test_one_place_can_be_read_and_another_written() -> None:
    assert there({"to": "yaml", "path": "data.a[*]", "into": "data.docs"}, {"a": [{"x": 1}, [2]]}) == {
        "a": [{"x": 1}, [2]],
        "docs": ["x: 1\n", "- 2\n"],
    }


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        ({"to": "plist"}, {"a": [1, None]}, "data.a[1] is null, which a property list lacks"),
        ({"to": "binary-plist"}, {"n": 2**64}, "data.n is an integer of more than 64 bits"),
        ({"to": "plist"}, {"n": "\0"}, "data.n holds a control character"),
        ({"to": "xml"}, {"a": 1, "b": 2}, "data is an object with 2 keys, and XML has one element around all: name it"),
        ({"to": "xml"}, [1], "data is a list, and XML has one element around all"),
        ({"to": "xml"}, {"a><script>": 1}, "data.* is not a name for an XML element"),
        ({"to": "xml"}, {"1a": 1}, 'data["1a"] is not a name for an XML element'),
        ({"to": "xml"}, {"": 1}, "data.* is not a name for an XML element"),
        ({"to": "xml"}, {"a": {"@b c": 1}}, "data.a.* is not a name"),
        ({"to": "xml"}, {"a": {"b:c:d": 1}}, 'data.a["b:c:d"] is not a name'),
        ({"to": "xml"}, {"a": {"b": {"@xmlns:c": "urn:c"}, "c:d": 1}}, 'data.a["c:d"] has the prefix `c`'),
        ({"to": "xml"}, {"a": {"@b:c": "1"}}, 'data.a["@b:c"] has the prefix `b`, which no element around it declares'),
        ({"to": "xml"}, {"a": {"b": [[1]]}}, "data.a.b[0] is a list in a list"),
        ({"to": "xml"}, {"a": {"b": "\x01"}}, "data.a.b holds a control character"),
        ({"to": "xml", "exact": True}, {"a": {"b": [1]}}, "data.a.b would not convert back from xml to an equal value"),
        ({"to": "csv"}, {"a": 1}, "data is an object, and CSV is a list of objects"),
        ({"to": "csv"}, [{"a": 1}, {"a": [1]}], "data[1].a is a list where only text fits"),
        ({"to": "csv"}, [1], "data[0] is a number, and a CSV row is an object"),
        ({"to": "ndjson"}, {"a": 1}, "data is an object, and NDJSON is a list"),
        ({"to": "form"}, {"a": {"b": 1}}, "data.a is an object where only text fits"),
        ({"to": "protobuf"}, [1], "data is a list, and google.protobuf.Struct is an object"),
        ({"to": "protobuf"}, {"id": [2**53 + 1]}, "data.id[0] is an integer that google.protobuf.Struct would round"),
        ({"to": "yaml"}, {"x": float("nan")}, "data.x is a number that JSON lacks"),
        ({"to": "json"}, {"x": [float("inf")]}, "data.x[0] is a number that JSON lacks"),
        ({"to": "yaml"}, {"x": "\ud800"}, "data.x holds half of a surrogate pair"),
        ({"from": "json", "to": "yaml"}, '{"a":\n 1,}', "data cannot be read as json: not JSON: "),
        ({"from": "yaml", "to": "json"}, "a: [1", "data cannot be read as yaml: not YAML: line 2, column 1"),
        (
            {"to": "json"},
            {"type": "image/png", "size": 1, "base64": "AA=="},
            "data is bytes whose type names no format: state",
        ),
        ({"to": "json"}, "a: 1", "data is text: state its format, such as `from: yaml` or `from: text`"),
    ],
)
def test_what_a_format_cannot_say_is_rejected_by_its_place(settings: Json, data: Json, message: str) -> None:
    assert rejection(settings, data).startswith(message)


@pytest.mark.parametrize("code", [0x8, 0xB, 0xC, 0xE, 0x1F, 0xFFFE, 0xFFFF])
@pytest.mark.parametrize("name", ["xml", "plist"])
def test_a_character_that_xml_lacks_is_rejected(name: str, code: int) -> None:
    assert rejection({"to": name}, {"a": {"b": chr(code)}}).startswith("data.a.b holds a control character")


@pytest.mark.parametrize("code", [0x9, 0x20, 0x7F, 0x9F, 0xD7FF, 0xE000, 0xFFFD, 0x10000, 0x10FFFF])
@pytest.mark.parametrize("name", ["xml", "plist"])
def test_every_other_character_is_written(name: str, code: int) -> None:
    value: Json = {"a": {"b": f"<{chr(code)}>"}}
    assert there_and_back({"to": name}, {"to": "json"}, value) == value


def test_a_key_that_is_no_text_is_rejected() -> None:
    broken: dict[str, Json] = {"a": {None: 1}}  # type: ignore[dict-item] # what a step of the operator's own may make
    assert rejection({"to": "yaml"}, broken) == "data.a has a key that is not text but NoneType"


def test_no_rejection_holds_what_a_sender_wrote() -> None:
    for name in ("xml", "plist", "csv", "form"):
        assert "hunter2" not in rejection(
            {"to": name, "exact": True, "path": "data.a"}, {"a": {"b": [["hunter2\0", None]]}}
        )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("xml", {"r": {"x" * 60_000: [1] * 200_000}}),
        ("form", {"x" * 60_000: ["1"] * 200_000}),
        ("csv", [{str(number): 1 for number in range(5_000)}, *[{}] * 100_000]),
        ("yaml", nested("ab\n" * 250_000, 60)),
        ("yaml", nested([1] * 100_000, 60)),
    ],
)
def test_what_a_format_says_again_and_again_fills_no_memory(name: str, data: Json) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Permanent) as caught:
            there({"to": name}, data)
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert caught.value.code == "output_too_large"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "toml"}, "must be 'json', 'xml'"),
        ({"to": "yaml", "message": "a.B"}, "`message` and `descriptors` require `to: protobuf`"),
        (
            {"to": "protobuf", "message": "a.B"},
            "without `descriptors` there is only the message google.protobuf.Struct",
        ),
        ({"to": "protobuf", "descriptors": "no descriptors"}, "the descriptor file is not a complete set of"),
        ({"to": "yaml", "path": "subject"}, "'subject' is not a path in 'data'"),
        ({"to": "yaml", "into": "data.a[*]"}, "'data.a[*]' names several places; a result goes to one"),
    ],
)
def test_a_fault_in_the_settings_is_found_when_they_are_loaded(settings: Json, message: str) -> None:
    with pytest.raises(SettingsFault) as caught:
        verified_step(Convert, settings)
    assert message in str(caught.value)


def test_a_step_names_the_packages_that_its_settings_need() -> None:
    assert verified_step(Convert, {"from": "json", "to": "yaml"}).needs() == ()
    assert verified_step(Convert, {"from": "yaml", "to": "protobuf"}).needs() == ("yaml", "protobuf")
