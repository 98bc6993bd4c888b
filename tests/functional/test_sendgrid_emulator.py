"""The emulated SendGrid: through SendGrid's own client, through bare HTTP, and unplugged."""

import http.client
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from deploy.dev.caught import MAIL_FILE, Mailbox
from deploy.dev.mail import Address
from shared.jsontext import Json, JsonObject, objects_at
from tests.running.emulation import Emulation

GOOD: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com"},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}],
}


@pytest.fixture(scope="module")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulation]:
    with Emulation(tmp_path_factory.mktemp("mail")).running() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_faults(emulation: Emulation) -> Iterator[None]:
    yield
    emulation.ask("DELETE", "/emulator/faults")


@pytest.fixture
def mailbox(emulation: Emulation) -> Iterator[Mailbox]:
    with closing(Mailbox(emulation.state_folder)) as opened:
        yield opened


def send(emulation: Emulation, document: Json = GOOD) -> tuple[int, Json]:
    return emulation.ask("POST", "/v3/mail/send", document, Authorization="Bearer SG.local")


def trouble(emulation: Emulation, faults: JsonObject) -> None:
    assert emulation.ask("POST", "/emulator/faults", {"mail": faults})[0] == 200


def let_it_read(emulation: Emulation) -> None:
    """Return once the emulation has read what other connections had sent, or that they are closed."""
    for _ in range(5):
        assert emulation.ask("GET", "/emulator/faults")[0] == 200


def first_error(answer: Json) -> JsonObject:
    error = objects_at(answer, "errors")[0]
    assert error.keys() == {"message", "field", "help"}
    return error


def test_a_mail_whose_client_gave_up_while_the_mail_store_was_locked_is_not_kept_later(
    emulation: Emulation, mailbox: Mailbox
) -> None:
    before = mailbox.count()
    with closing(sqlite3.connect(emulation.state_folder / MAIL_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(http.client.HTTPConnection("127.0.0.1", emulation.port)) as client:
            headers = {"Authorization": "Bearer SG.local", "Content-Type": "application/json"}
            client.request("POST", "/v3/mail/send", json.dumps(GOOD), headers)
            let_it_read(emulation)
        let_it_read(emulation)
        other.execute("ROLLBACK")
    assert send(emulation)[0] == 202
    assert mailbox.count() == before + 1


def test_sendgrids_own_client_sends_and_the_mail_is_there(emulation: Emulation, mailbox: Mailbox) -> None:
    sendgrid = pytest.importorskip("sendgrid", reason="pip install sendgrid")
    helpers = pytest.importorskip("sendgrid.helpers.mail")
    mail = helpers.Mail(
        from_email=("web@example.com", "The website"),
        to_emails=["list@example.com", "other@example.com"],
        subject="Müller signed up",
        plain_text_content="hello",
        html_content="<b>hello</b>",
    )
    mail.add_attachment(helpers.Attachment("PGEvPg==", "body.xml", "application/xml", "attachment"))
    mail.reply_to = "answers@example.com"
    answer = sendgrid.SendGridAPIClient("SG.local", host=emulation.url).send(mail)
    (kept,) = mailbox.list_mail(1)
    assert (answer.status_code, answer.headers["X-Message-Id"]) == (202, kept.message_id)
    assert kept.sender == Address("web@example.com", "The website")
    assert kept.to == (Address("list@example.com"), Address("other@example.com"))
    assert (kept.subject, kept.text, kept.html) == ("Müller signed up", "hello", "<b>hello</b>")
    assert kept.reply_to == (Address("answers@example.com"),)
    assert mailbox.attachment_content(kept.id, 0) == b"<a/>"


def test_an_accepted_mail_survives_a_kill(emulation: Emulation, mailbox: Mailbox) -> None:
    before = mailbox.count()
    assert send(emulation)[0] == 202
    emulation.kill()
    assert mailbox.count() == before + 1
    emulation.start()


def test_without_a_key_a_mail_is_rejected(emulation: Emulation) -> None:
    status, answer = emulation.ask("POST", "/v3/mail/send", GOOD)
    assert (status, first_error(answer)["message"]) == (401, "authorization: must be a bearer token")


def test_a_fault_of_a_mail_is_reported_with_its_field(emulation: Emulation, mailbox: Mailbox) -> None:
    before = mailbox.count()
    status, answer = send(emulation, {**GOOD, "from": {"email": "nobody"}})
    assert (status, first_error(answer)["field"]) == (400, "from.email")
    assert mailbox.count() == before


def test_the_next_mails_get_the_configured_faults(emulation: Emulation) -> None:
    trouble(emulation, {"next": [{"kind": kind} for kind in ("429", "500", "503", "403")]})
    answers = [send(emulation) for _ in range(5)]
    assert [status for status, _ in answers] == [429, 500, 503, 403, 202]
    assert first_error(answers[3][1])["field"] == "from"


def test_a_person_unplugs_the_provider_and_plugs_it_in(emulation: Emulation, mailbox: Mailbox) -> None:
    before = mailbox.count()
    trouble(emulation, {"unplugged": True})
    assert [send(emulation)[0] for _ in range(2)] == [503, 503]
    trouble(emulation, {"unplugged": False})
    assert send(emulation)[0] == 202
    assert mailbox.count() == before + 1


def test_a_provider_that_hangs_gives_no_answer(emulation: Emulation) -> None:
    trouble(emulation, {"next": [{"kind": "hang"}], "hang_seconds": 30})
    connection = http.client.HTTPConnection("127.0.0.1", emulation.port, timeout=0.2)
    headers = {"Authorization": "Bearer SG.local", "Content-Type": "application/json"}
    connection.request("POST", "/v3/mail/send", json.dumps(GOOD), headers)
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert send(emulation)[0] == 202
