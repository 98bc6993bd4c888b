import plistlib
import struct
from datetime import datetime
from functools import partial
from typing import Final

import pytest
from hypothesis import given, strategies as st

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
REPEATED: Final = 1  # of the objects in a hand-made list, the one that the first refers to


parsed = partial(format_outcomes.parsed, content_type=PLIST)
rejection = partial(format_outcomes.rejection, content_type=PLIST)


def xml(inner: str) -> str:
    return f'{HEAD}<plist version="1.0">{inner}</plist>'


def binary(*objects: bytes, top: int = 0, offset_bytes: int = 4, reference_bytes: int = 1) -> bytes:
    """A binary property list of objects as they stand in the file."""
    body, offsets = b"bplist00", b""
    for written in objects:
        offsets += len(body).to_bytes(4, "big")
        body += written
    return body + offsets + struct.pack(">6xBBQQQ", offset_bytes, reference_bytes, len(objects), top, len(body))


def array_of(count: int, reference: int) -> bytes:
    return b"\xaf\x12" + count.to_bytes(4, "big") + bytes([reference]) * count


def date(seconds: float) -> bytes:
    return b"\x33" + struct.pack(">d", seconds)


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_what_apple_can_say_becomes_json(form: plistlib.PlistFormat) -> None:
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
    assert parsed(plistlib.dumps(sent, fmt=form)) == expected


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


@pytest.mark.parametrize(
    ("objects", "value"),
    [
        ((b"\x13" + b"\xff" * 8,), -1),
        ((b"\x14" + b"\x00" * 8 + b"\xff" * 8,), 2**64 - 1),
        ((b"\x22" + struct.pack(">f", 1.5),), 1.5),
        ((b"\x81\x01\x00",), {"CF$UID": 256}),
        ((b"\x62\xd8\x3d\xde\x00",), "😀"),
        ((b"\xc1\x01", b"\x51a"), ["a"]),
        ((date(-978_307_200.5),), "1969-12-31T23:59:59.500Z"),
        ((b"\xa2\x01\x01", b"\xd1\x02\x02", b"\x51a"), [{"a": "a"}, {"a": "a"}]),
    ],
)
def test_each_kind_of_binary_object_is_read(objects: tuple[bytes, ...], value: Json) -> None:
    assert parsed(binary(*objects)) == value


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"bplist00", "malformed_body"),
        (b"bplist00" + bytes(32), "malformed_body"),
        (binary(b"\x09", top=1), "malformed_body"),
        (binary(b"\x09", reference_bytes=0), "malformed_body"),
        (binary(b"\xf0"), "malformed_body"),
        (binary(b"\x5f\x13" + b"\xff" * 8), "malformed_body"),
        (binary(b"\x61\xd8\x3d"), "malformed_body"),
        (binary(b"\x5f\x14" + b"\x7f" * 16), "malformed_body"),
        (binary(b"\xa1\x07"), "malformed_body"),
        (binary(b"\xd1\x01\x01", b"\x09"), "invalid_key"),
        (binary(b"\xd2\x01\x01\x01\x01", b"\x51a"), "duplicate_key"),
        (binary(b"\x23" + struct.pack(">d", float("nan"))), "number_out_of_range"),
        (binary(date(1e300)), "number_out_of_range"),
        (binary(date(1e12)), "number_out_of_range"),
        (binary(b"\xa1\x00"), "nested_too_deeply"),
        (binary(*(bytes([0xA1, level + 1]) for level in range(65)), b"\x09"), "nested_too_deeply"),
        (binary(array_of(250_000, REPEATED), b"\x09"), "expanded_too_large"),
        (binary(*(b"\xa9" + bytes([level + 1]) * 9 for level in range(20)), b"\x09"), "expanded_too_large"),
        (binary(array_of(1_000, REPEATED), b"\x5f\x12\x00\x0f\x42\x40" + b"x" * 1_000_000), "expanded_too_large"),
    ],
)
def test_a_binary_list_that_is_broken_or_past_a_limit_is_rejected(body: bytes, code: str) -> None:
    assert rejection(body) == code


PLISTS = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé😀<&\n"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("aé😀<&"), inner),
)


@given(PLISTS)
def test_what_an_independent_writer_writes_comes_out_as_it_was(value: Json) -> None:
    assert parsed(plistlib.dumps({"value": value}, fmt=plistlib.FMT_BINARY)) == {"value": value}
    assert parsed(plistlib.dumps({"value": value}, fmt=plistlib.FMT_XML)) == {"value": value}


@given(st.binary(max_size=100), st.lists(st.integers(0, 255), min_size=26, max_size=26))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes, trailer: list[int]) -> None:
    assert_taken_or_refused(body, PLIST, SMALL)
    assert_taken_or_refused(b"bplist00" + body + bytes(6) + bytes(trailer), PLIST, SMALL)
    assert_taken_or_refused(b"<plist>" + body + b"</plist>", PLIST, SMALL)


@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=8))
def test_any_binary_objects_are_parsed_within_limits_or_rejected(objects: list[bytes]) -> None:
    assert_taken_or_refused(binary(*objects), PLIST, SMALL)
