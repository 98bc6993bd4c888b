"""Mail over SendGrid and Amazon SES: what is sent, and what their answers mean."""

import base64
import email
import email.policy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, strategies as st

from functions.notify.destination import Attempt
from functions.notify.destinations.email import ses
from functions.notify.destinations.email.mail import Address, Attachment, Mail
from functions.notify.destinations.email.sendgrid import outcome_of, request_body
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.http_client import Answer, NotConnected
from tests.fakes.blobs import FakeBlobs

NOW = 1_790_000_000.0


def outcome(status: int, body: Json = None, **headers: str) -> Outcome:
    content = b"" if body is None else to_json(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return outcome_of(Answer(status, content, named), sender="hooks@example.com", destination="list", now=NOW)


def errors(message: str, field: str | None = None) -> JsonObject:
    return {"errors": [{"message": message, "field": field, "help": None}]}


def test_a_mail_to_all_is_one_personalization_and_a_mail_for_each_is_one_request_with_one_for_each() -> None:
    mail = Mail(
        key="k",
        sender=Address("hooks@example.com"),
        to=(Address("a@x.y", "Ada"), Address("b@x.y")),
        cc=(Address("c@x.y"),),
        bcc=(Address("d@x.y"),),
        reply_to=Address("r@x.y"),
        subject="Hi",
        text=None,
        html="<p>",
        attachments=(Attachment("body.json", "application/json", b"{}"),),
    )
    copies = {"cc": [{"email": "c@x.y"}], "bcc": [{"email": "d@x.y"}]}
    body = json.loads(to_json(request_body(mail)))
    assert body["personalizations"] == [{"to": [{"email": "a@x.y", "name": "Ada"}, {"email": "b@x.y"}], **copies}]
    assert (body["from"], body["reply_to"], body["subject"]) == (
        {"email": "hooks@example.com"},
        {"email": "r@x.y"},
        "Hi",
    )
    [attachment] = body["attachments"]
    assert (attachment["filename"], attachment["content"]) == ("body.json", base64.b64encode(b"{}").decode())
    assert body["headers"]["X-Hookchain-Delivery"] == "k"
    apart = request_body(replace(mail, cc=(), bcc=(), separate=True))
    assert apart["personalizations"] == [{"to": [{"email": "a@x.y", "name": "Ada"}]}, {"to": [{"email": "b@x.y"}]}]


def test_an_unverified_sender_is_held_and_says_which_address_to_verify_and_where() -> None:
    message = (
        "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved."
    )
    found = outcome(403, errors(message, "from"))

    assert isinstance(found, Disabled)
    for text in ("hooks@example.com", "Settings → Sender Authentication", "hookchain resume list"):
        assert text in found.reason
    assert found.answer == f"403 from: {message}"


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"retry_after": "120"}, 120.0),
        ({"x_ratelimit_reset": str(int(NOW) + 30)}, 30.0),
        ({"x_ratelimit_reset": str(int(NOW) - 30)}, 0.0),
        ({"retry_after": "7", "x_ratelimit_reset": "1"}, 7.0),
        ({"retry_after": "9" * 400}, None),
    ],
)
def test_it_waits_as_long_as_it_was_told(headers: dict[str, str], after: float | None) -> None:
    found = outcome(429, None, **headers)

    assert isinstance(found, RetryLater)
    assert found.after_seconds == after


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_answer_has_a_meaning_and_a_short_excerpt_on_one_line(status: int, body: bytes) -> None:
    answer = Answer(status, body)
    for found in (outcome_of(answer, sender="a@b", destination="d", now=NOW), ses_outcome(answer)):
        assert found.answer.splitlines() in ([found.answer], [])
        assert len(found.answer) <= 500


SES_MAIL = Mail(
    key="k" * 64,
    sender=Address("hooks@example.com", "Hooks"),
    to=(Address("a@x.y", "Ada"),),
    cc=(Address("c@x.y"),),
    bcc=(Address("d@x.y"),),
    subject="Grüße",
    text="words",
    html="<p>words</p>",
)
EACH = Mail(
    "k" * 64, SES_MAIL.sender, tuple(Address(f"r{n}@x.y") for n in range(5)), "Hi", "words", None, separate=True
)
ATTEMPT = Attempt(idempotency_key="k" * 64, attempt_number=1, generation=0, now=NOW, timeout_seconds=30.0)
ACCEPTED = Answer(200, b'{"MessageId":"m1"}')
UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: "


def rejection(status: int, error: str = "", message: str = "") -> Answer:
    headers = {"x-amzn-errortype": f"{error}:http://internal.amazon.com/coral/"} if error else {}
    return Answer(status, to_json({"message": message}).encode(), headers)


@dataclass
class FakeSes:
    """Answers one request after another, and then accepts; an exception is raised instead."""

    answers: list[Answer | Exception] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Answer:
        assert (method, path) == ("POST", "/v2/email/outbound-emails")
        self.bodies.append(body)
        answer = self.answers.pop(0) if self.answers else ACCEPTED
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def recipients(self) -> list[str]:
        return [json.loads(body)["Destination"]["ToAddresses"][0] for body in self.bodies]


async def sent(
    api: FakeSes, mail: Mail = SES_MAIL, attempt: Attempt = ATTEMPT, blobs: FakeBlobs | None = None
) -> Outcome:
    return await ses.SesTransport("list", api, blobs or FakeBlobs()).send(mail, attempt, attempt.timeout_seconds)


async def test_a_mail_is_sent_whole_and_names_those_in_bcc_to_ses_alone() -> None:
    api = FakeSes()
    assert await sent(api) == Delivered("200 m1")

    [body] = api.bodies
    document = json.loads(body)
    assert document["Destination"] == {"ToAddresses": ["a@x.y"], "CcAddresses": ["c@x.y"], "BccAddresses": ["d@x.y"]}
    raw = base64.b64decode(document["Content"]["Raw"]["Data"], validate=True)
    assert b"d@x.y" not in raw
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert (message["From"], message["Subject"]) == ("Hooks <hooks@example.com>", "Grüße")


async def test_the_next_attempt_sends_only_to_those_without_the_mail(capsys: pytest.CaptureFixture[str]) -> None:
    api, blobs = FakeSes([ACCEPTED, rejection(400, "MessageRejected", "no"), rejection(429)]), FakeBlobs()
    first = await sent(api, EACH, blobs=blobs)
    assert isinstance(first, RetryLater)
    assert first.reason.startswith("not yet for 3 of 5 recipients: SES answered 429")

    second = await sent(api, EACH, replace(ATTEMPT, attempt_number=2), blobs)
    assert second == Delivered("accepted for 4 of 5 recipients, rejected for the others: 400 MessageRejected no")
    assert api.recipients == ["r0@x.y", "r1@x.y", "r2@x.y", "r2@x.y", "r3@x.y", "r4@x.y"]
    [line] = capsys.readouterr().out.splitlines()
    assert '"delivered, but not to all recipients"' in line
    assert '"SES rejects 1 of 5 recipients: 400"' in line


@pytest.mark.parametrize(
    ("undelivered_since", "attempt_number", "recipients"),
    [
        (0, 1, ["r1@x.y", "r2@x.y", "r3@x.y", "r4@x.y"]),
        (0, 2, ["r1@x.y", "r2@x.y", "r3@x.y", "r4@x.y"]),
        (1, 1, ["r0@x.y", "r1@x.y", "r2@x.y", "r3@x.y", "r4@x.y"]),
    ],
)
async def test_a_replay_of_a_dead_letter_leaves_out_those_who_have_the_mail_and_one_of_a_delivered_mail_does_not(
    undelivered_since: int, attempt_number: int, recipients: list[str]
) -> None:
    api, blobs = FakeSes([ACCEPTED, rejection(400, "MessageRejected", "no"), rejection(429)]), FakeBlobs()
    assert isinstance(await sent(api, EACH, blobs=blobs), RetryLater)
    api.bodies.clear()
    replay = replace(
        ATTEMPT,
        idempotency_key=f"{'k' * 64}-r1",
        generation=1,
        attempt_number=attempt_number,
        undelivered_since=undelivered_since,
        is_repair=True,
    )
    assert isinstance(await sent(api, EACH, replay, blobs), Delivered)
    assert api.recipients == recipients


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(TimeoutError(), Unknown), (NotConnected("x"), RetryLater), (rejection(403, "AccessDeniedException"), RetryLater)],
)
async def test_what_stops_a_list_is_the_outcome_for_the_rest(answer: Answer | Exception, kind: type[Outcome]) -> None:
    api = FakeSes([ACCEPTED, answer])
    found = await sent(api, EACH)
    assert isinstance(found, kind)
    assert "not yet for 4 of 5 recipients" in str(found)
    assert len(api.bodies) == 2


async def test_a_request_without_an_answer_is_unknown_and_one_that_was_not_sent_is_tried_again() -> None:
    assert await sent(FakeSes([TimeoutError()])) == Unknown("SES did not answer: TimeoutError")
    assert await sent(FakeSes([NotConnected("gaierror")])) == RetryLater("SES cannot be reached: gaierror")
    assert isinstance(await sent(FakeSes([Answer(504, b"")])), Unknown)


async def test_no_mail_is_begun_in_the_last_moment() -> None:
    api = FakeSes()
    assert isinstance(await sent(api, attempt=replace(ATTEMPT, timeout_seconds=0.4)), RetryLater)
    assert not api.bodies


def ses_outcome(answer: Answer) -> Outcome:
    return ses.outcome_of(answer, sender="hooks@example.com", destination="list")


@pytest.mark.parametrize(
    ("answer", "act"),
    [
        (
            rejection(400, "MessageRejected", f"{UNVERIFIED}hooks@example.com"),
            "sends nothing from hooks@example.com until you verify it or its domain",
        ),
        (rejection(400, "MessageRejected", f"{UNVERIFIED}ada@x.y"), "in the sandbox: request production access"),
        (rejection(400, "MailFromDomainNotVerifiedException", "x"), "MAIL FROM domain of hooks@example.com"),
        (rejection(400, "SendingPausedException", "x"), "sends no mail for this AWS account"),
    ],
)
def test_what_an_operator_must_repair_is_held_and_says_how(answer: Answer, act: str) -> None:
    found = ses_outcome(answer)
    assert isinstance(found, Disabled)
    assert act in found.reason
    assert found.reason.endswith("then run `hookchain resume list`")
    assert found.answer.startswith("400 ")


INVALID = errors("Does not contain a valid address.", "personalizations.0.to.0.email")
OUTCOMES: list[tuple[Outcome, type[Outcome], str | float | None]] = [
    *((outcome(status, errors("access forbidden")), RetryLater, 300.0) for status in (401, 403)),
    *((outcome(status), RetryLater, None) for status in (408, 429, 500, 502, 503)),
    *((outcome(status, INVALID), Failed, "mail_rejected") for status in (400, 404, 422)),
    (outcome(413), Failed, "mail_too_large"),
    (outcome(504), Unknown, None),
    (ses_outcome(rejection(403, "AccessDeniedException", "not authorized to perform ses:Send")), RetryLater, 300.0),
    (ses_outcome(rejection(403, "ExpiredTokenException")), RetryLater, 300.0),
    (ses_outcome(rejection(429, "TooManyRequestsException", "Maximum sending rate exceeded.")), RetryLater, None),
    (ses_outcome(rejection(400, "ThrottlingException", "Daily message quota exceeded.")), RetryLater, 600.0),
    (ses_outcome(rejection(503)), RetryLater, None),
    (ses_outcome(rejection(400, "MessageRejected", "Transaction failed: Invalid domain")), Failed, "mail_rejected"),
    (ses_outcome(rejection(413)), Failed, "mail_too_large"),
]


@pytest.mark.parametrize(("found", "kind", "detail"), OUTCOMES)
def test_trouble_is_tried_again_after_its_pause_and_what_is_never_taken_fails(
    found: Outcome, kind: type[Outcome], detail: str | float | None
) -> None:
    assert isinstance(found, kind)
    assert getattr(found, "pause_destination_seconds", getattr(found, "code", None)) == detail


def test_a_reason_names_the_secret_of_a_rejected_key_and_an_answer_the_field() -> None:
    assert "sendgrid-api-key" in str(outcome(401))
    assert "personalizations.0.to.0.email: Does not contain" in outcome(400, INVALID).answer
