import plistlib
from base64 import b64decode
from datetime import datetime
from functools import partial
from typing import Final

import pytest
from hypothesis import given, strategies as st

from shared.errors import Rejected
from shared.jsontext import Json
from shared.limits import DEFAULT
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import assert_taken_or_refused

PLIST = "application/x-plist"
SMALL = DEFAULT._replace(max_depth=4, max_nodes=20, max_keys=5, max_key_characters=10, max_expanded_characters=100)
HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" '
    '"http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
)


parsed = partial(format_outcomes.parsed, content_type=PLIST)
rejection = partial(format_outcomes.rejection, content_type=PLIST)


def xml(inner: str) -> str:
    return f'{HEAD}<plist version="1.0">{inner}</plist>'


def test_what_apple_can_say_becomes_json() -> None:
    sent = {
        "Status": "Acknowledged",
        "true": True,
        "false": False,
        "int": -5,
        "large": 2**63,
        "real": 1.5,
        "text": "é😀 & <",
        "when": datetime(2026, 3, 1, 12, 0, 5),
        "data": b"\x00\x01\xff",
        "list": ["", {}, [], list(range(300))],
        "deep": {"a": {"b": [1]}},
    }
    expected = {**sent, "when": "2026-03-01T12:00:05.000Z", "data": "AAH/"}
    assert parsed(plistlib.dumps(sent)) == expected


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        ("<integer> 0x1F </integer>", 31),
        ("<real>-1e3</real>", -1000.0),
        ("<data>\n\taG\n\tk=\n</data>", "aGk="),
        ("<dict> <key>a b</key> <array> <true/> </array> </dict>", {"a b": [True]}),
        ("<date>0001-01-01T00:00:00Z</date>", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_each_kind_of_element_is_read(inner: str, value: Json) -> None:
    found = parsed(xml(inner))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "head",
    [
        "<!DOCTYPE plist [<!ENTITY a 'b'>]>",
        "<!DOCTYPE plist SYSTEM \"file:///etc/passwd\" [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>",
        "<!DOCTYPE other>",
        "<!DOCTYPE plist SYSTEM '<!ENTITY'>",
    ],
)
def test_any_document_type_but_apples_is_rejected(head: str) -> None:
    assert rejection(head + "<plist><string>&a;</string></plist>") == "dtd_not_allowed"


@pytest.mark.parametrize(
    "inner",
    [
        *("", "text", "<string/><string/>", "<other/>", "<key>a</key>", "<dict><string/></dict>"),
        "<array><plist/></array>",
        *("<dict><key>a</key><key>b</key><true/></dict>", "<string><b/></string>", "<integer/>"),
        "<integer>1_0</integer>",
        *("<real>x</real>", "<data>!</data>", "<date>2026-02-30T00:00:00Z</date>", "<date>2026-01-01</date>"),
    ],
)
def test_xml_that_is_no_list_does_not_parse(inner: str) -> None:
    assert rejection(xml(inner)) == "malformed_body"


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<real>nan</real>", "number_out_of_range"),
        ("<dict><key>a</key><true/><key>a</key><true/></dict>", "duplicate_key"),
        ("<array>" * 64 + "</array>" * 64, "nested_too_deeply"),
        ("<array>" + "<true/>" * 250_000 + "</array>", "too_many_values"),
        (f"<dict><key>{'k' * 65_537}</key><true/></dict>", "too_many_values"),
    ],
)
def test_xml_past_a_limit_is_rejected(inner: str, code: str) -> None:
    assert rejection(xml(inner)) == code


def test_a_binary_list_is_refused_if_its_type_is_stated_and_else_kept_as_bytes() -> None:
    body = plistlib.dumps({"a": True}, fmt=plistlib.FMT_BINARY)
    with pytest.raises(Rejected, match="a binary property list, and only those in XML are read") as refused:
        parsed(body)
    assert refused.value.code == "malformed_body"
    for stated in ("application/x-apple-binary-plist", ""):
        kept = parsed(body, content_type=stated)
        assert isinstance(kept, dict)
        assert b64decode(str(kept["base64"])) == body


PLISTS = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé😀<&\n"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("aé😀<&"), inner),
)


@given(PLISTS)
def test_what_an_independent_writer_writes_comes_out_as_it_was(value: Json) -> None:
    assert parsed(plistlib.dumps({"value": value})) == {"value": value}


@given(st.binary(max_size=100))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    assert_taken_or_refused(body, PLIST, SMALL)
    assert_taken_or_refused(b"bplist00" + body, PLIST, SMALL)
    assert_taken_or_refused(b"<plist>" + body + b"</plist>", PLIST, SMALL)
