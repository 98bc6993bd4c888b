"""Mails that SES is given on the local AWS."""

import base64
from email.message import EmailMessage

import pytest

from deploy.dev.aws.ses import mail_document
from deploy.dev.mail import SentRequest, mail_of, mail_request
from shared.jsontext import Json, JsonObject, to_json


def request_to_ses(message: bytes, **destination: Json) -> JsonObject:
    data = base64.b64encode(message).decode()
    return {"Destination": destination, "Content": {"Raw": {"Data": data}}}


def make_message() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <shop@example.com>", "Jörg <j@example.com>", "Grüße"
    message["X-Event"], message["Reply-To"] = "e1", "answers@example.com"
    message.set_content("Hallo\n")
    message.add_alternative("<p>Hallo</p>\n", subtype="html")
    message.add_attachment(b"\x00\xff", maintype="application", subtype="pdf", filename="a.pdf")
    return message.as_bytes()


def test_a_mail_is_shown_as_one_of_sendgrid_is() -> None:
    document = mail_document(
        request_to_ses(make_message(), ToAddresses=["j@example.com"], BccAddresses=["b@example.com"])
    )
    text = to_json(document)
    stored = mail_request(text, SentRequest.model_validate_json(text), "m", 0.0)
    mail = mail_of(1, "m", 0.0, stored.text, 0)
    assert (mail.sender.email, mail.sender.name) == ("shop@example.com", "Shop")
    assert [(each.email, each.name) for each in mail.to] == [("j@example.com", "Jörg")]
    assert [each.email for each in mail.personalization.bcc] == ["b@example.com"]
    assert [each.email for each in mail.reply_to] == ["answers@example.com"]
    assert (mail.subject, mail.text, mail.html) == ("Grüße", "Hallo\n", "<p>Hallo</p>\n")
    assert mail.headers == {"X-Event": "e1"}
    assert [(each.filename, each.type, each.size_bytes) for each in mail.attachments] == [
        ("a.pdf", "application/pdf", 2)
    ]
    assert stored.attachments == (b"\x00\xff",)


def test_a_mail_without_subject_and_text_is_shown_too() -> None:
    document = mail_document(request_to_ses(b"From: a@example.com\r\n\r\n", ToAddresses=["b@example.com"]))
    assert SentRequest.model_validate_json(to_json(document)).subject


@pytest.mark.parametrize("request_", [None, {}, {"Content": {"Simple": {}}, "Destination": {}}])
def test_anything_else_is_rejected(request_: Json) -> None:
    with pytest.raises((ValueError, LookupError)):
        mail_document(request_)
