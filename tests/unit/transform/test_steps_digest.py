"""digest and count."""

import hashlib
import hmac
import zlib
from base64 import b64encode
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given

from functions.transform.step import SettingsFault
from functions.transform.steps.digest import Algorithm, Digest
from functions.transform.steps.values import Count
from functions.transform.verifying import verified_step
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.formats.text_body import binary
from shared.jsontext import Json
from tests.fakes.steps import EVENT, data_after, event_after
from tests.unit.shared.json_values import json_values

BODY = b'{ "b": 1,\n "a": "\xc3\xa9" }'


def arrived(data: Json, rawbody: str | None = None, rawbase64: str | None = None) -> Event:
    payload_hash = hashlib.sha256(BODY).hexdigest()
    return replace(EVENT, data=data, payloadhash=payload_hash, rawbody=rawbody, rawbase64=rawbase64)


def digest(settings: dict[str, Json], data: Json, secrets: dict[str, str] | None = None) -> Json:
    return data_after(Digest, settings, data, secrets)


@pytest.mark.parametrize("name", get_args(Algorithm))
def test_each_algorithm_digests_text_and_bytes_as_they_are(name: str) -> None:
    if name == "crc32":
        expected = f"{zlib.crc32('é'.encode()):08x}"
    else:
        expected = hashlib.new(name.replace("-", "_"), "é".encode()).hexdigest()

    assert digest({"algorithm": name}, "é") == expected
    assert digest({"algorithm": name}, binary("é".encode(), "")) == expected


def test_the_body_as_it_came_is_digested_byte_for_byte() -> None:
    md5 = hashlib.md5(BODY).hexdigest()
    settings: Json = {"algorithm": "md5", "of": "body"}
    encoded = b64encode(BODY).decode()

    for event in (
        arrived(BODY.decode()),
        arrived(binary(BODY, "")),
        arrived({"b": 1}, rawbody=BODY.decode()),
        arrived({"b": 1}, rawbase64=encoded),
    ):
        assert event_after(Digest, settings, event).data == md5


def test_sha256_of_the_body_needs_no_kept_body() -> None:
    after = event_after(Digest, {"algorithm": "sha256", "of": "body"}, arrived({"b": 1}))

    assert after.data == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("data", [{"b": 1}, "another text", None])
def test_a_body_that_was_not_kept_is_not_made_up(data: Json) -> None:
    with pytest.raises(Permanent, match="the received body is not kept: set") as caught:
        event_after(Digest, {"algorithm": "md5", "of": "body"}, arrived(data))
    assert caught.value.code == "digest_failed"


def test_what_is_no_text_is_digested_as_json_with_sorted_keys() -> None:
    expected = hashlib.sha1(b'{"a":[1,null],"b":true}').hexdigest()

    assert digest({"algorithm": "sha1"}, {"b": True, "a": [1, None]}) == expected


def test_several_fields_are_digested_as_a_list() -> None:
    expected = hashlib.sha256(b'["x",7]').hexdigest()
    data: Json = {"a": "x", "b": 7, "c": ["x", 7]}

    paths: list[Json] = [["data.a", "data.b"], "data.c[*]"]
    for of in paths:
        after = digest({"algorithm": "sha256", "of": of, "into": "data.sum"}, data)
        assert after == {"a": "x", "b": 7, "c": ["x", 7], "sum": expected}


def test_a_secret_makes_it_an_hmac_by_the_newest_value() -> None:
    expected = b64encode(hmac.digest(b"new-key-new-key-1", b"text", "sha256")).decode()
    settings: dict[str, Json] = {"algorithm": "sha256", "secret": "partner", "as": "base64"}

    assert digest(settings, "text", {"partner": "new-key-new-key-1\nold-key-old-key-1"}) == expected
    with pytest.raises(Temporary):
        digest(settings, "text", {})


@given(json_values)
def test_any_value_has_a_digest(value: Json) -> None:
    assert digest({"algorithm": "blake2s"}, value) == digest({"algorithm": "blake2s"}, value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "sha-256"}, "must be 'md5'"),
        ({"algorithm": "crc32", "secret": "x"}, "crc32 takes no secret"),
        ({"algorithm": "md5", "secret": "Not A Name"}, "must be the name of a secret"),
        ({"algorithm": "md5", "of": ["body", "data"]}, "path 'body' must begin with 'data'"),
        ({"algorithm": "md5", "of": []}, "must not be empty"),
    ],
)
def test_a_fault_in_the_settings_is_found_when_they_are_loaded(settings: Json, message: str) -> None:
    with pytest.raises(SettingsFault) as caught:
        verified_step(Digest, settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("of", "data", "number"),
    [
        ("fields", {"a": {"b": 1}, "c": [{"d": 1}]}, 2),
        ("all_fields", {"a": {"b": 1}, "c": [{"d": 1}]}, 4),
        ("items", [1, [2, 3]], 2),
        ("characters", "é😀", 2),
        ("bytes", "é😀", 6),
        ("bytes", binary(b"\xff", ""), 1),
        ("fields", {}, 0),
    ],
)
def test_what_is_counted(of: str, data: Json, number: int) -> None:
    assert data_after(Count, {"of": of}, data) == number


@pytest.mark.parametrize(
    ("of", "data", "message"),
    [
        ("fields", [1], "data is a list, which has no fields"),
        ("all_fields", "x", "data is text, which has no fields"),
        ("items", {"a": 1}, "data is an object, which has no items"),
        ("characters", 7, "data is a number, which has no characters"),
        ("bytes", {"a": 1}, "data is an object, which has no bytes"),
        ("items", "text", "data is text, which has no items"),
    ],
)
def test_what_has_nothing_to_count_is_rejected(of: str, data: Json, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        data_after(Count, {"of": of}, data)
    assert (caught.value.code, caught.value.detail) == ("not_countable", message)


def test_a_number_can_go_to_another_place() -> None:
    after = event_after(Count, {"of": "items", "path": "data.a", "into": "subject"}, replace(EVENT, data={"a": [1, 2]}))

    assert (after.data, after.subject) == ({"a": [1, 2]}, "2")
