import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dev.caught import Mailbox
from deploy.dev.mail import Attachment, MailRequest, SentRequest, mail_request
from shared.jsontext import JsonObject, to_json


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    box = Mailbox(tmp_path / "state")
    yield box
    box.close()


DOCUMENT: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com"},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}],
}


def a_request(message_id: str = "m1", **changes: object) -> MailRequest:
    document: JsonObject = json.loads(json.dumps(DOCUMENT | changes))
    text = to_json(document)
    return mail_request(text, SentRequest.model_validate_json(text), message_id, 1_790_000_000.25)


def test_the_list_is_newest_first_and_pages_backwards(mailbox: Mailbox) -> None:
    mailbox.keep([a_request(f"m{n}", subject=f"mail {n}") for n in range(5)])
    assert [mail.subject for mail in mailbox.list_mail(2)] == ["mail 4", "mail 3"]
    assert [mail.subject for mail in mailbox.list_mail(2, before_id=4)] == ["mail 2", "mail 1"]
    assert mailbox.count() == 5


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


def test_of_requests_that_cannot_all_be_kept_none_is(mailbox: Mailbox) -> None:
    broken = MailRequest("m2", 0.0, "\ud800", 1)
    with pytest.raises(UnicodeEncodeError):
        mailbox.keep([a_request(), broken])
    assert mailbox.count() == 0
