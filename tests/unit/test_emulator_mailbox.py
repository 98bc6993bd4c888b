import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.sendgrid.mail import Address, Attachment, Mail
from deploy.local.sendgrid.mailbox import Mailbox


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    box = Mailbox(tmp_path / "state")
    yield box
    box.close()


def a_mail(message_id: str = "m1", subject: str = "New signup: Ωmega") -> Mail:
    return Mail(
        message_id=message_id,
        received_at=1_790_000_000.25,
        sender=Address("web@example.com", "The website"),
        to=(Address("list@example.com"), Address("b@example.com", "B")),
        subject=subject,
        text="hello",
        html="<b>hello</b>",
        cc=(Address("cc@example.com"),),
        bcc=(Address("bcc@example.com"),),
        reply_to=(Address("answers@example.com"),),
        attachments=(Attachment("body.xml", "application/xml", "attachment", "", 6),),
        headers={"X-Event": "e1"},
        custom_args={"delivery": "d1"},
        categories=("signup",),
    )


def test_a_mail_comes_back_as_it_was_kept(mailbox: Mailbox) -> None:
    mailbox.keep([a_mail()], {"m1": "{}"})
    kept = mailbox.get_mail(1)
    assert kept is not None
    assert kept.id == 1
    assert mailbox.list_mail(10) == [kept]
    assert kept.sender == Address("web@example.com", "The website")
    assert kept == replace(a_mail(), id=1)


def test_the_list_is_newest_first_and_pages_backwards(mailbox: Mailbox) -> None:
    for n in range(5):
        mailbox.keep([a_mail(f"m{n}", f"mail {n}")], {f"m{n}": "{}"})
    assert [mail.subject for mail in mailbox.list_mail(2)] == ["mail 4", "mail 3"]
    assert [mail.subject for mail in mailbox.list_mail(2, before_id=4)] == ["mail 2", "mail 1"]
    assert mailbox.count() == 5


def test_an_attachment_is_decoded_from_the_request(mailbox: Mailbox) -> None:
    raw = json.dumps({"attachments": [{"content": base64.b64encode(b"<a/>\xff").decode()}]})
    mailbox.keep([a_mail()], {"m1": raw})
    assert mailbox.get_request(1) == raw
    assert mailbox.attachment_content(1, 0) == b"<a/>\xff"
    assert mailbox.attachment_content(1, 1) is None
    assert mailbox.attachment_content(2, 0) is None


def test_a_request_that_cannot_be_kept_leaves_no_mail(mailbox: Mailbox) -> None:
    mailbox.keep([a_mail()], {"m1": "{}"})
    with pytest.raises(Exception, match="UNIQUE"):
        mailbox.keep([a_mail()], {"m1": "{}"})
    assert mailbox.count() == 1


def test_a_second_reader_sees_what_the_first_kept(tmp_path: Path) -> None:
    writer, reader = Mailbox(tmp_path), Mailbox(tmp_path)
    writer.keep([a_mail()], {"m1": "{}"})
    assert reader.count() == 1
    writer.close()
    reader.close()
