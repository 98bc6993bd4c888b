"""A mail as bytes for SMTP, and its attached files."""

import email
import email.policy
from base64 import b64encode
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.notify.destinations.email.letters import message_bytes
from functions.notify.destinations.email.mail import Address, Attachment, Mail
from shared.errors import Permanent
from shared.jsontext import Json
from tests.unit.notify.rendered import EVENT, KEY, SENDER, settings, written

MAIL = Mail(
    key=KEY,
    sender=SENDER,
    to=(Address("a@x.y", "Ada, of X"), Address("b@x.y")),
    subject="Grüße",
    text="Hä?\n.dot\n",
    html="<p>Hä?</p>",
    cc=(Address("c@x.y"),),
    bcc=(Address("d@x.y"),),
    reply_to=Address("r@x.y", 'The "R"'),
    attachments=(Attachment("body.bin", "application/octet-stream", b"\xff\x00"),),
)


def test_the_message_says_what_the_mail_says() -> None:
    content = message_bytes(MAIL, 1_772_366_400.0)
    message = email.message_from_bytes(content, EmailMessage, policy=email.policy.default)

    assert dict(message.items()) | {"Content-Type": ""} == {
        "Content-Type": "",
        "MIME-Version": "1.0",
        "From": "Hooks <hooks@example.com>",
        "To": '"Ada, of X" <a@x.y>, b@x.y',
        "Cc": "c@x.y",
        "Reply-To": '"The \\"R\\"" <r@x.y>',
        "Subject": "Grüße",
        "Date": "Sun, 01 Mar 2026 12:00:00 -0000",
        "Message-ID": f"<{KEY[:32]}@example.com>",
        "Auto-Submitted": "auto-generated",
        "X-Hookchain-Delivery": KEY,
    }
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (plain.get_content(), html.get_content()) == ("Hä?\r\n.dot\r\n", "<p>Hä?</p>")
    [attachment] = message.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("body.bin", b"\xff\x00")


def test_nobody_reads_who_had_a_blind_copy() -> None:
    assert b"d@x.y" not in message_bytes(MAIL, 0)


def test_a_second_generation_has_a_message_id_of_its_own() -> None:
    assert dict(replace(MAIL, key=f"{KEY}-r1").headers)["Message-ID"] == f"<{KEY[:32]}-r1@example.com>"


@pytest.mark.parametrize(
    "hostile", ["=?utf-8?q?x=0D=0ABcc:_e@x.y?=", "=?us-ascii?q?=0ABcc=3A_e@x.y?=", "a =?utf-8?b?DQpCY2M6IHhAeQ==?= b"]
)
def test_an_encoded_word_in_a_subject_or_a_name_stays_the_text_it_is(hostile: str) -> None:
    content = message_bytes(replace(MAIL, subject=hostile, sender=Address("a@x.y", hostile)), 0)

    assert b"\nBcc" not in content
    assert hostile.encode() not in content
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["Subject"] == hostile
    assert "Bcc" not in message


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300))
def test_any_subject_arrives_as_it_was_written(subject: str) -> None:
    content = message_bytes(replace(MAIL, subject=subject.strip(), attachments=()), 0)

    found = str(email.message_from_bytes(content, policy=email.policy.default)["Subject"])
    assert " ".join(found.split()) == " ".join(subject.split())
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))


def test_an_address_beyond_ascii_travels_as_it_is() -> None:
    content = message_bytes(replace(MAIL, to=(Address("zoë@x.y", "Zoë"),)), 0)

    assert "<zoë@x.y>".encode() in content


def attached(data: Json, **values: Json) -> Attachment:
    [attachment] = written(EVENT.with_data(data), text="x", attach=[values]).attachments
    return attachment


@pytest.mark.parametrize(
    ("data", "settings_", "found"),
    [
        ("a: 1\n", {"filename": "event.yaml"}, Attachment("event.yaml", "application/yaml", b"a: 1\n")),
        ({"a": [1]}, {"filename": "a.JSON"}, Attachment("a.JSON", "application/json", b'{\n  "a": [\n    1\n  ]\n}')),
        (
            {"files": [{"type": "image/png", "size": 2, "base64": b64encode(b"\x00\xff").decode()}]},
            {"filename": "logo.png", "content": "data.files.0", "type": "image/png"},
            Attachment("logo.png", "image/png", b"\x00\xff"),
        ),
        (
            {"base64": "no?"},
            {"filename": "a.bin"},
            Attachment("a.bin", "application/octet-stream", b'{\n  "base64": "no?"\n}'),
        ),
        (
            {"base64": "café"},
            {"filename": "a.bin"},
            Attachment("a.bin", "application/octet-stream", '{\n  "base64": "café"\n}'.encode()),
        ),
        (False, {"filename": "a.txt"}, Attachment("a.txt", "text/plain", b"false")),
    ],
)
def test_text_bytes_and_other_values_are_attached(data: Json, settings_: dict[str, Json], found: Attachment) -> None:
    assert attached(data, **settings_) == found


@pytest.mark.parametrize(
    ("hostile", "filename"),
    [
        ("../../etc/passwd", "etc_passwd.txt"),
        ("a\r\nBcc: x", "a__Bcc_ x.txt"),
        ("\u202egpj.exe", "gpj.exe.txt"),
        ("..", "attachment.txt"),
        ("x" * 500, "x" * 96 + ".txt"),
    ],
)
def test_an_event_chooses_neither_the_extension_nor_the_folder_of_a_file(hostile: str, filename: str) -> None:
    assert attached({"name": hostile}, filename="{{ data.name }}.txt").filename == filename


@pytest.mark.parametrize(
    "entry",
    [
        {"filename": "{{ data.name }}"},
        {"filename": "a.{{ data.kind }}"},
        {"filename": "a.txt", "content": "type"},
        {"filename": "a.txt", "type": "text"},
        {"filename": "{{ nam }}.txt"},
        {},
    ],
)
def test_an_attachment_without_a_fixed_extension_or_a_path_is_rejected(entry: dict[str, Json]) -> None:
    with pytest.raises(ValidationError):
        settings(attach=[entry])


def test_a_value_that_the_event_lacks_is_no_attachment() -> None:
    with pytest.raises(Permanent) as caught:
        attached({"document": "x"}, filename="a.txt", content="data.documnt")

    assert caught.value.code == "undefined_field"
    assert (
        "attach[0].content: 'data.documnt' is not in this event; did you mean 'data.document'?" in caught.value.detail
    )
