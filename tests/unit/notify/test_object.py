"""The kind `object`: its keys, contents, requests and outcomes. No server is needed."""

import gzip
import json
from base64 import b64encode
from typing import Final

import pytest
from hypothesis import given, strategies as st

from functions.notify.destinations.object import object as kind
from functions.notify.destinations.object.content import Content, content_of
from functions.notify.destinations.object.settings import MAX_KEY_BYTES, Settings, key_fault, key_of
from functions.notify.http_kind import Response
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from shared.outgoing.allowed_urls import read_target
from shared.outgoing.auth import AwsRequestAuth, GoogleOAuthRequestAuth
from tests.unit.notify.http_kinds import HOSTILE, delivery_of, request_of

GS: Final[JsonObject] = {"bucket": "gs://the-archive"}
S3: Final[JsonObject] = {"bucket": "s3://the-archive", "region": "eu-central-1"}


def made(settings: JsonObject, data: Json, **attributes: str | None) -> Content:
    return content_of(delivery_of(data, **attributes).event, Settings.model_validate({**GS, **settings}))


def content(settings: JsonObject, data: Json, **attributes: str | None) -> bytes:
    return made(settings, data, **attributes).body


def test_the_usual_key_has_the_source_the_day_and_the_delivery() -> None:
    delivery = delivery_of(None)
    for settings, ending in (
        ({}, ".json"),
        ({"format": "ndjson", "gzip": True}, ".ndjson.gz"),
    ):
        found = key_of(Settings.model_validate({**GS, **settings}).key_text, delivery)
        assert found == f"shop/2026-03-01/{delivery.id}{ending}"


@given(st.text(max_size=80))
def test_no_text_of_an_event_leaves_the_folder_of_its_key(text: str) -> None:
    try:
        key = key_of("in/{{ data }}/{{ delivery_id }}", delivery_of(text))
    except Permanent:
        return
    request = request_of(kind, {**S3, "key": "in/{{ data }}/{{ delivery_id }}"}, text)
    assert key.startswith("in/")
    assert key_fault(key) is None
    assert len(key.encode("utf-8", "replace")) <= MAX_KEY_BYTES
    path = read_target(request.url).path
    assert path.startswith("/in/")
    assert not {".", "..", ""} & set(path.split("/")[1:])
    assert "?" not in path


def test_a_key_is_the_same_in_every_attempt_and_after_a_replay() -> None:
    first = request_of(kind, S3, {"n": 1}, key="k")
    later = request_of(kind, S3, {"n": 1}, key="k-r1")
    assert first == later


def test_json_is_the_event_as_a_cloudevent_without_its_raw_request() -> None:
    found = json.loads(content({}, {"n": 1}, rawbody="secret", rawheaders="[]", datatype="x/y"))
    assert (found["specversion"], found["type"], found["data"]) == ("1.0", "order.created", {"n": 1})
    assert not found.keys() & {"rawbody", "rawheaders", "datatype", "signedas"}


def test_ndjson_has_a_line_for_each_item_and_one_for_any_other_value() -> None:
    assert content({"format": "ndjson", "value": "data"}, [{"a": "x\ny"}, 2]) == b'{"a":"x\\ny"}\n2\n'
    assert content({"format": "ndjson", "value": "data"}, {"a": 1}) == b'{"a":1}\n'
    assert content({"format": "ndjson"}, None).count(b"\n") == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-1+A1", "\t=1", "\r=1", "\n=1", "\uff1d1+1"]
)
def test_a_spreadsheet_runs_no_text_of_an_event(text: str) -> None:
    settings: JsonObject = {"format": "csv", "columns": {"a": "data"}}
    assert content(settings, text).removeprefix(b"a\r\n").lstrip(b'"').startswith(b"'")


@pytest.mark.parametrize("value", ["+44 7700 900123", "-12.5", -3, "a=b"])
def test_numbers_and_texts_that_are_no_formulas_stay_as_they_are(value: Json) -> None:
    assert content({"format": "csv", "columns": {"a": "data"}}, value) == f"a\r\n{value}\r\n".encode()


def test_raw_is_the_body_as_it_came_with_its_type() -> None:
    settings: JsonObject = {"format": "raw"}
    assert content(settings, {"a": 1}, rawbody='{"a" : 1}', rawtype="application/json") == b'{"a" : 1}'
    assert content(settings, None, rawbase64=b64encode(b"\xff\x00").decode()) == b"\xff\x00"
    assert made(settings, {"a": 1}, rawbody="x", rawtype="text/x-any").content_type == "text/x-any"
    png: JsonObject = {"type": "image/png", "size": 2, "base64": b64encode(b"\x89P").decode()}
    assert (content(settings, png), made(settings, png).content_type) == (b"\x89P", "image/png")
    assert (content(settings, [1]), made(settings, [1]).content_type) == (b"[1]", "application/json")


@pytest.mark.parametrize("named", ["text/html\r\nx-evil: 1", "x", "é/x"])
def test_a_content_type_of_a_sender_that_is_none_is_not_used(named: str) -> None:
    assert made({"format": "raw"}, None, rawbody="x", rawtype=named).content_type == "application/octet-stream"


def test_a_compressed_object_is_a_gzip_file_and_the_same_each_time() -> None:
    settings: JsonObject = {"gzip": True, "value": "data"}
    assert content(settings, {"a": 1}) == content(settings, {"a": 1})
    assert gzip.decompress(content(settings, {"a": 1})) == b'{"a":1}'
    assert made(settings, None).content_type == "application/gzip"
    assert made({**settings, "content_type": "text/x"}, None).content_type == "text/x"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", [GS, S3])
def test_metadata_of_hostile_text_fits_a_header(place: JsonObject, text: str) -> None:
    settings: JsonObject = {**place, "metadata": {"secret": "{{ data[:300] }}"}}
    try:
        request = request_of(kind, settings, text)
    except Permanent as error:
        assert error.code == "output_too_large"
        return
    assert all(value.isascii() and value.isprintable() for _, value in request.headers)


def test_the_content_cannot_end_its_part_of_the_upload() -> None:
    hostile = "--b\r\nContent-Type: x\r\n\r\n--b--"
    request = request_of(kind, {**GS, "format": "raw"}, hostile)
    boundary = dict(request.headers)["content-type"].partition("boundary=")[2].encode()
    assert request.body.count(b"--" + boundary) == 3
    assert hostile.encode() in request.body


def test_the_place_and_the_identity_follow_from_the_bucket() -> None:
    by_role, by_account = request_of(kind, S3), request_of(kind, GS)
    assert isinstance(by_role.auth[0], AwsRequestAuth)
    assert isinstance(by_account.auth[0], GoogleOAuthRequestAuth)
    assert by_role.url.startswith("https://the-archive.s3.eu-central-1.amazonaws.com/shop/")
    dotted = request_of(kind, {**S3, "bucket": "s3://the.archive", "region": "cn-north-1"})
    assert dotted.url.startswith("https://s3.cn-north-1.amazonaws.com.cn/the.archive/shop/")
    own = {**S3, "endpoint": "https://store.example.com/", "access_key_id": "AKID", "secret": "store-key"}
    assert request_of(kind, own).url.startswith("https://store.example.com/the-archive/shop/")


@pytest.mark.parametrize(
    ("key", "is_own"),
    [
        (None, True),
        ("a/{{delivery_id}}.json", True),
        ("{{ id }}", False),
        ("{% if data %}{{ delivery_id }}{% endif %}x", False),
        ("{{ delivery_id[:4] }}", False),
    ],
)
def test_only_a_key_with_the_deliverys_id_is_its_own(key: str | None, is_own: bool) -> None:
    assert Settings.model_validate({**GS, "key": key}).has_key_per_delivery is is_own


def checked(place: JsonObject, status: int, found: str | None) -> object:
    """Return the outcome where a key was taken and the metadata's request has this answer."""
    request = request_of(kind, {**place, "key": "{{ data }}"}, "a/b")
    assert isinstance(request, kind.ObjectRequest)
    check = kind.check_after(Response(412, (), b"", 0.0), request)
    assert check is not None
    assert check.method == ("HEAD" if place is S3 else "GET")
    headers = ((f"x-amz-meta-{kind.DELIVERY}", found),) if found and place is S3 else ()
    body = json.dumps({"metadata": {kind.DELIVERY: found}} if found else {}).encode() if place is GS else b""
    return kind.outcome_of_check(Response(status, headers, body, 0.0), request)


@pytest.mark.parametrize("place", [GS, S3])
def test_a_taken_key_is_delivered_only_if_this_delivery_took_it(place: JsonObject) -> None:
    assert checked(place, 200, delivery_of("a/b").id) == Delivered(kind.EXISTS)
    assert isinstance(checked(place, 200, "f" * 64), Failed)
    assert isinstance(checked(place, 200, None), Failed)
    assert isinstance(checked(place, 403, None), Disabled)
    assert isinstance(checked(place, 404, None), RetryLater)
    assert isinstance(checked(place, 500, None), RetryLater)


def test_a_key_of_the_deliverys_own_needs_no_check() -> None:
    own_key, shared_key = request_of(kind, GS), request_of(kind, {**GS, "key": "{{ data }}"}, "a/b")
    assert isinstance(own_key, kind.ObjectRequest)
    assert isinstance(shared_key, kind.ObjectRequest)
    assert kind.check_after(Response(412, (), b"", 0.0), own_key) is None
    assert kind.check_after(Response(500, (), b"", 0.0), shared_key) is None
