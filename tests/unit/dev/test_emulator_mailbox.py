import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dev.caught import Mailbox
from deploy.dev.mail import Address, Attachment, MailRequest, SentRequest, mail_request
from shared.jsontext import JsonObject, to_json


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    box = Mailbox(tmp_path / "state")
    yield box
    box.close()


DOCUMENT: JsonObject = {
    "personalizations": [
        {
            "to": [{"email": "list@example.com"}, {"email": "b@example.com", "name": "B"}],
            "cc": [{"email": "cc@example.com"}],
            "bcc": [{"email": "bcc@example.com"}],
            "headers": {"X-Event": "e1"},
            "custom_args": {"delivery": "d1"},
        }
    ],
    "from": {"email": "web@example.com", "name": "The website"},
    "reply_to": {"email": "answers@example.com"},
    "subject": "New signup: Ωmega",
    "content": [{"type": "text/plain", "value": "hello"}, {"type": "text/html", "value": "<b>hello</b>"}],
    "categories": ["signup"],
}


def a_request(message_id: str = "m1", **changes: object) -> MailRequest:
    document: JsonObject = json.loads(json.dumps(DOCUMENT | changes))
    text = to_json(document)
    return mail_request(text, SentRequest.model_validate_json(text), message_id, 1_790_000_000.25)


def test_a_mail_is_read_as_its_request_says(mailbox: Mailbox) -> None:
    mailbox.keep([a_request()])
    mail = mailbox.get_mail(1)
    assert mail is not None
    assert mailbox.list_mail(10) == [mail]
    assert (mail.id, mail.message_id, mail.received_at) == (1, "m1", 1_790_000_000.25)
    assert mail.sender == Address("web@example.com", "The website")
    assert mail.to == (Address("list@example.com"), Address("b@example.com", "B"))
    assert (mail.personalization.cc, mail.personalization.bcc) == (
        (Address("cc@example.com"),),
        (Address("bcc@example.com"),),
    )
    assert mail.reply_to == (Address("answers@example.com"),)
    assert (mail.subject, mail.text, mail.html) == ("New signup: Ωmega", "hello", "<b>hello</b>")
    assert (mail.headers, mail.custom_args) == ({"X-Event": "e1"}, {"delivery": "d1"})
    assert mail.request.categories == ("signup",)


def test_the_list_is_newest_first_and_pages_backwards(mailbox: Mailbox) -> None:
    mailbox.keep([a_request(f"m{n}", subject=f"mail {n}") for n in range(5)])
    assert [mail.subject for mail in mailbox.list_mail(2)] == ["mail 4", "mail 3"]
    assert [mail.subject for mail in mailbox.list_mail(2, before_id=4)] == ["mail 2", "mail 1"]
    assert mailbox.count() == 5


def test_each_personalization_is_a_mail_with_its_own_subject_and_substitutions(mailbox: Mailbox) -> None:
    people = [
        {"to": [{"email": "a@example.com"}], "subject": "Dear -name-", "substitutions": {"-name-": "Ann"}},
        {"to": [{"email": "b@example.com"}]},
    ]
    content = [{"type": "text/plain", "value": "hello -name-"}]
    mailbox.keep([a_request(personalizations=people, content=content)])
    second, first = mailbox.list_mail(10)
    assert (first.to, first.subject, first.text) == ((Address("a@example.com"),), "Dear Ann", "hello Ann")
    assert (second.to, second.subject, second.text) == (
        (Address("b@example.com"),),
        "New signup: Ωmega",
        "hello -name-",
    )
    assert first.message_id == second.message_id


def test_attachments_are_kept_beside_the_request(mailbox: Mailbox) -> None:
    content = base64.b64encode(b"<a/>\xff").decode()
    attachment = {"content": content, "filename": "body.xml", "type": "application/xml"}
    mailbox.keep([a_request(attachments=[attachment, attachment | {"disposition": "inline", "content_id": "c"}])])
    mail = mailbox.get_mail(1)
    assert mail is not None
    assert mail.attachments == (
        Attachment("body.xml", "application/xml", "attachment", "", 5),
        Attachment("body.xml", "application/xml", "inline", "c", 5),
    )
    assert mailbox.attachment_content(1, 1) == b"<a/>\xff"
    assert mailbox.attachment_content(1, 2) is None
    assert mailbox.attachment_content(2, 0) is None
    assert content not in (mailbox.get_request(1) or content)


def test_a_request_without_attachments_is_kept_as_it_was_posted(mailbox: Mailbox) -> None:
    text = json.dumps(DOCUMENT, indent=3)
    mailbox.keep([mail_request(text, SentRequest.model_validate_json(text), "m1", 0.0)])
    assert mailbox.get_request(1) == text


def test_of_requests_that_cannot_all_be_kept_none_is(mailbox: Mailbox) -> None:
    broken = MailRequest("m2", 0.0, "\ud800", 1)
    with pytest.raises(UnicodeEncodeError):
        mailbox.keep([a_request(), broken])
    assert mailbox.count() == 0
