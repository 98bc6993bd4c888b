"""encode and decode."""

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transform.step import SettingsFault
from functions.transform.steps.encode import DECODERS, ENCODERS, Decode, Encode
from functions.transform.verifying import verified_step
from shared.errors import Permanent
from shared.formats.text_body import binary
from shared.jsontext import Json
from tests.fakes.steps import data_after
from tests.unit.shared.json_values import json_values


def encoded(name: str, data: Json) -> Json:
    return data_after(Encode, {"to": name}, data)


def decoded(name: str, data: Json) -> Json:
    return data_after(Decode, {"from": name}, data)


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("base64", "Grüße?>", "R3LDvMOfZT8+"),
        ("base64url", "Grüße?>", "R3LDvMOfZT8-"),
        ("base64url", "a", "YQ"),
        ("hex", "hi", "6869"),
        ("binary", "hi", "01101000 01101001"),
        ("percent", "a b/ü?", "a%20b%2F%C3%BC%3F"),
        ("html", "<a href=\"x\">'&'</a>", "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;&#x27;&lt;/a&gt;"),
        ("json", 'say "hi"', '"say \\"hi\\""'),
    ],
)
def test_text_is_written_and_read_back(name: str, text: str, written: str) -> None:
    assert encoded(name, text) == written
    assert decoded(name, written) == text


@pytest.mark.parametrize("name", ENCODERS)
@given(text=st.text())
def test_any_text_comes_back_equal(name: str, text: str) -> None:
    assert data_after(Decode, {"from": name, "as": "text"}, encoded(name, text)) == text.removeprefix("\ufeff")


@pytest.mark.parametrize("name", sorted(ENCODERS.keys() - {"html"}))
@given(content=st.binary())
def test_any_bytes_come_back_equal(name: str, content: bytes) -> None:
    written = encoded(name, binary(content, "image/png"))

    assert data_after(Decode, {"from": name, "as": "bytes"}, written) == binary(content, "")


@pytest.mark.parametrize("name", [*DECODERS, "json", "utf-8", "utf-16", "shift_jis"])
@given(content=st.binary() | st.text().map(str.encode))
def test_anything_is_decoded_or_rejected(name: str, content: bytes) -> None:
    for document in (binary(content, ""), content.decode("utf-8", "replace")):
        try:
            decoded(name, document)
        except Permanent as error:
            assert error.code == "decoding_failed"


@given(json_values)
def test_json_in_a_string_comes_back_equal(value: Json) -> None:
    assert decoded("json", encoded("json", value)) == value


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("base64", "aGk=!!!!", "data is not base64"),
        ("base64", "aGk", "data is not base64"),
        ("base64", "aGl=", "data is not base64 that an encoder writes"),
        ("base64", "aG\nk=", "data is not base64"),
        ("base64url", "aGk+", "data is not base64url"),
        ("base64url", "aGk==", "data is not base64url"),
        ("base64url", "a", "data is not base64url"),
        ("hex", "abc", "data is not hex"),
        ("hex", "de ad", "data is not hex"),
        ("hex", "0x41", "data is not hex"),
        ("binary", "0110100", "data is not binary digits"),
        ("binary", "01101000  01101001", "data is not binary digits"),
        ("binary", "01101002", "data is not binary digits"),
        ("percent", "a%2", "data is not percent-encoded"),
        ("percent", "a b", "data is not percent-encoded"),
        ("html", "a & b", "data has an & that does not begin an HTML character reference"),
        ("html", "&nosuch;", "data has an & that does not begin an HTML character reference"),
        ("html", "&#0;", "data has an & that does not begin an HTML character reference"),
        ("gzip", "not gzip", "data is not gzip, or damaged"),
        ("json", "{", "data cannot be read: not JSON: Expecting property name enclosed in double quotes: line 1"),
        ("utf-8", binary("é".encode("latin-1"), ""), "data is not utf-8 text"),
        ("hex", {"a": 1}, "data is an object; only text and bytes can be decoded"),
        ("hex", 41, "data is a number; only text and bytes can be decoded"),
    ],
)
def test_what_no_encoder_writes_is_rejected(name: str, data: Json, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        decoded(name, data)
    assert caught.value.code == "decoding_failed"
    assert caught.value.detail.startswith(message)


def test_gzip_that_stands_for_too_much_is_rejected() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000, 1)

    with pytest.raises(Permanent, match="is gzip of more than 4194304 bytes"):
        decoded("gzip", binary(bomb, "application/gzip"))


def test_a_hostile_text_is_decoded_in_little_memory() -> None:
    tracemalloc.start()
    try:
        assert decoded("percent", "%41" * 1_000_000) == "A" * 1_000_000
        assert decoded("binary", "01000001 " * 200_000 + "01000001") == "A" * 200_001
        assert decoded("html", "&amp;" * 200_000) == "&" * 200_000
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_gzip_is_the_same_bytes_each_time() -> None:
    assert encoded("gzip", "x" * 1_000) == encoded("gzip", "x" * 1_000)
    assert isinstance(encoded("gzip", "x"), dict)


def test_charsets_make_bytes_of_text_and_text_of_bytes() -> None:
    written = encoded("windows-1252", "5 €")

    assert written == binary(b"5 \x80", "text/plain; charset=windows-1252")
    assert decoded("windows-1252", written) == "5 €"
    with pytest.raises(Permanent, match="data has a character that latin1 lacks"):
        encoded("latin1", "5 €")


def test_what_is_no_text_is_encoded_as_its_json() -> None:
    assert encoded("hex", {"a": 1}) == b'{"a":1}'.hex()


def test_what_is_decoded_is_text_where_it_is_utf8_and_bytes_elsewhere() -> None:
    assert decoded("hex", "6869") == "hi"
    assert decoded("hex", "ff00") == binary(b"\xff\0", "")
    assert data_after(Decode, {"from": "hex", "as": "bytes"}, "6869") == binary(b"hi", "")
    with pytest.raises(Permanent, match="data is not utf-8 text"):
        data_after(Decode, {"from": "hex", "as": "text"}, "ff00")


def test_each_of_several_places_is_encoded() -> None:
    assert data_after(Encode, {"to": "hex", "path": "data.a[*].b"}, {"a": [{"b": "x"}, {"b": "y"}]}) == {
        "a": [{"b": "78"}, {"b": "79"}]
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"b": 1}, "data.a is not there"),
        ("text", "data is text, not an object"),
        ({"a": "x"}, "data.a is text, not a list"),
        ({"a": [{}]}, "data.a[0].b is not there"),
    ],
)
def test_a_path_that_leads_to_nothing_is_named(data: Json, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        data_after(Encode, {"to": "hex", "path": "data.a[*].b"}, data)
    assert (caught.value.code, caught.value.detail) == ("path_conflict", message)


@pytest.mark.parametrize("model", [Encode, Decode])
def test_an_unknown_coding_is_rejected_when_the_settings_are_loaded(model: type[Encode] | type[Decode]) -> None:
    with pytest.raises(SettingsFault, match="'rot13' must be one of base64, base64url, hex"):
        verified_step(model, {"to": "rot13"} if model is Encode else {"from": "rot13"})
