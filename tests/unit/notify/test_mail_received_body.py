"""The body as received, in the mail or attached to it."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given

from functions.notify.destinations.email.default_body import (
    MAX_INLINE_BYTES,
    received_body,
)
from functions.notify.message_text import visible
from shared.jsontext import Json
from tests.unit.notify.mail_bodies import DATA, EVENT, body_of


def test_the_body_as_received_stands_in_the_mail_byte_for_byte() -> None:
    raw = '{"customerName":  "Chuck"}'
    body = body_of(replace(EVENT, rawbody=raw, rawtype="application/json; charset=utf-8"))

    assert raw in body.text
    assert "Body as received (application/json, 26 bytes)" in body.text
    assert body.attachments == ()


@pytest.mark.parametrize(
    ("raw_type", "filename", "media_type"),
    [
        ("application/json", "body.json", "application/json"),
        ("application/vnd.api+json; charset=utf-8", "body.json", "application/json"),
        ("text/xml", "body.xml", "application/xml"),
        ("application/x-yaml", "body.yaml", "application/yaml"),
        ("application/x-www-form-urlencoded", "body.txt", "text/plain"),
        ("text/html", "body.html.txt", "text/plain"),
        ("application/x-evil\r\nBcc: x", "body.txt", "text/plain"),
        ("../../etc/passwd", "body.txt", "text/plain"),
        (None, "body.txt", "text/plain"),
    ],
)
def test_a_long_body_is_attached_under_a_name_of_ours(raw_type: str | None, filename: str, media_type: str) -> None:
    raw = "x" * (MAX_INLINE_BYTES + 1)
    body = body_of(replace(EVENT, rawbody=raw, rawtype=raw_type))

    [attachment] = body.attachments
    assert (attachment.filename, attachment.media_type, attachment.content) == (filename, media_type, raw.encode())
    assert f"attached as {filename}" in body.text
    assert raw not in body.text


def test_a_body_of_exactly_ten_kilobytes_stands_in_the_mail() -> None:
    assert received_body(replace(EVENT, rawbody="x" * MAX_INLINE_BYTES)).attachment is None


def test_a_body_that_is_not_text_is_attached() -> None:
    content = b"\xff\x00binary"
    [attachment] = body_of(replace(EVENT, rawbase64=base64.b64encode(content).decode())).attachments

    assert (attachment.filename, attachment.content) == ("body.bin", content)


def test_without_the_body_as_received_the_data_is_shown() -> None:
    body = received_body(EVENT)

    assert (body.title, json.loads(body.text or "")) == ("Data", EVENT.data)
    assert received_body(EVENT.with_data("plain words")).text == "plain words"


@given(DATA)
def test_the_data_is_shown_as_the_standard_library_indents_it(data: Json) -> None:
    shown = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, indent=2)

    assert received_body(EVENT.with_data(data)).text == shown
    assert visible(shown) in body_of(EVENT.with_data(data)).text


def test_data_that_indenting_would_blow_up_is_attached_as_it_is() -> None:
    nested: Json = []
    for _ in range(100):
        nested = [nested]
    data: Json = [nested] * 1_000
    attachment = received_body(EVENT.with_data(data)).attachment
    assert attachment is not None
    assert json.loads(attachment.content) == data
    assert len(attachment.content) < 2 * len(json.dumps(data))
