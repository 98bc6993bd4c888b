import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.destinations.email.mail import Address, Attachment, Mail
from functions.notify.destinations.email.sendgrid import outcome_of, request_body
from shared.delivery import Disabled, Failed, Outcome, RetryLater
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.http_client import Answer

NOW = 1_790_000_000.0
MAIL = Mail(
    key="k" * 64,
    sender=Address("hooks@example.com", "Hooks"),
    to=(Address("a@x.y", "Ada"), Address("b@x.y")),
    subject="Hi",
    text="words",
    html="<p>words</p>",
)


def outcome(status: int, body: Json = None, **headers: str) -> Outcome:
    content = b"" if body is None else to_json(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return outcome_of(Answer(status, content, named), sender="hooks@example.com", destination="list", now=NOW)


def errors(message: str, field: str | None = None) -> JsonObject:
    return {"errors": [{"message": message, "field": field, "help": None}]}


def test_a_mail_to_all_is_one_personalization() -> None:
    mail = Mail(
        key="k",
        sender=Address("hooks@example.com"),
        to=MAIL.to,
        cc=(Address("c@x.y"),),
        bcc=(Address("d@x.y"),),
        reply_to=Address("r@x.y"),
        subject="Hi",
        text=None,
        html="<p>",
        attachments=(Attachment("body.json", "application/json", b"{}"),),
    )

    assert request_body(mail) == {
        "personalizations": [
            {
                "to": [{"email": "a@x.y", "name": "Ada"}, {"email": "b@x.y"}],
                "cc": [{"email": "c@x.y"}],
                "bcc": [{"email": "d@x.y"}],
            }
        ],
        "from": {"email": "hooks@example.com"},
        "reply_to": {"email": "r@x.y"},
        "subject": "Hi",
        "content": [{"type": "text/html", "value": "<p>"}],
        "attachments": [
            {
                "content": base64.b64encode(b"{}").decode(),
                "type": "application/json",
                "filename": "body.json",
                "disposition": "attachment",
            }
        ],
        "headers": {
            "Message-ID": "<k@example.com>",
            "Auto-Submitted": "auto-generated",
            "X-Hookchain-Delivery": "k",
        },
        "custom_args": {"hookchain_delivery": "k"},
    }


def test_a_mail_for_each_is_one_request_with_a_personalization_for_each() -> None:
    body = request_body(Mail("k", MAIL.sender, MAIL.to, "Hi", "words", "<p>", separate=True))

    assert body["personalizations"] == [{"to": [{"email": "a@x.y", "name": "Ada"}]}, {"to": [{"email": "b@x.y"}]}]
    assert body["content"] == [
        {"type": "text/plain", "value": "words"},
        {"type": "text/html", "value": "<p>"},
    ]


def test_an_unverified_sender_is_held_and_says_which_address_to_verify_and_where() -> None:
    message = (
        "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved."
    )
    found = outcome(403, errors(message, "from"))

    assert isinstance(found, Disabled)
    for text in ("hooks@example.com", "Settings → Sender Authentication", "hookchain resume list"):
        assert text in found.reason
    assert found.answer == f"403 from: {message}"


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_is_tried_again_after_a_pause_for_all(status: int) -> None:
    found = outcome(status, errors("access forbidden"))

    assert isinstance(found, RetryLater)
    assert "sendgrid-api-key" in found.reason
    assert found.pause_destination_seconds == 300


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_trouble_is_tried_again_later(status: int) -> None:
    assert isinstance(outcome(status), RetryLater)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"retry_after": "120"}, 120.0),
        ({"x_ratelimit_reset": str(int(NOW) + 30)}, 30.0),
        ({"x_ratelimit_reset": str(int(NOW) - 30)}, 0.0),
        ({"retry_after": "7", "x_ratelimit_reset": "1"}, 7.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "9" * 400}, None),
        ({}, None),
    ],
)
def test_it_waits_as_long_as_it_was_told(headers: dict[str, str], after: float | None) -> None:
    found = outcome(429, None, **headers)

    assert isinstance(found, RetryLater)
    assert found.after_seconds == after


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "mail_rejected"), (404, "mail_rejected"), (413, "mail_too_large"), (422, "mail_rejected")],
)
def test_what_it_will_never_take_is_rejected(status: int, code: str) -> None:
    found = outcome(status, errors("Does not contain a valid address.", "personalizations.0.to.0.email"))

    assert isinstance(found, Failed)
    assert found.code == code
    assert "personalizations.0.to.0.email: Does not contain" in found.answer


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_answer_has_a_meaning_and_a_short_excerpt_on_one_line(status: int, body: bytes) -> None:
    found = outcome_of(Answer(status, body), sender="a@b", destination="d", now=NOW)

    assert found.answer.splitlines() in ([found.answer], [])
    assert len(found.answer) <= 500


@pytest.mark.parametrize("body", [None, [], {"errors": None}, {"errors": [1]}, {"errors": [{}]}, {"x": "y"}])
def test_an_answer_of_another_shape_is_shown_as_it_is(body: Json) -> None:
    found = outcome_of(Answer(400, json.dumps(body).encode()), sender="a@b", destination="d", now=NOW)

    assert isinstance(found, Failed)
    assert found.answer.startswith("400 ")
