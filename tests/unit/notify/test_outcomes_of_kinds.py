"""What the response of a service means for a delivery, over all kinds that speak HTTP. No server is needed."""

import importlib
import json
from email.utils import formatdate
from typing import Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.destination import kind_module
from functions.notify.destinations import sms
from functions.notify.http_kind import MAX_EXCERPT_CHARACTERS, NOW
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.jsontext import Json
from tests.unit.notify.http_kinds import outcome_of
from tests.unit.notify.test_kind_examples import kinds

Body: TypeAlias = "Json | bytes"
Row: TypeAlias = tuple[str, int, Body]

NAMES: Final = sorted(kind.__name__.split(".")[3] for kind in kinds() if hasattr(kind, "outcome"))
EMPTY: Final[Json] = {"message": "text is empty"}
GITHUB_RUN: Final = "https://github.com/o/r/actions/runs/7"
PIPELINE: Final = "https://gitlab.com/g/p/-/pipelines/7"
BUILD_LOG: Final = "https://console.cloud.google.com/cloud-build/builds/7"


def google(reason: str, code: int = 412) -> Json:
    return {"error": {"code": code, "errors": [{"domain": "global", "reason": reason}]}}


def google_status(status: str, code: str | None = None) -> Json:
    details: list[Json] = [{"@type": "type.googleapis.com/x", "errorCode": code}] if code else []
    return {"error": {"status": status, "message": "…", "details": details}}


def xml(code: str, message: str = "") -> bytes:
    return f"<ErrorResponse><Error><Code>{code}</Code></Error><Message>{message}</Message></ErrorResponse>".encode()


def amazon(error_type: Json, message: str = "") -> Json:
    return {"__type": error_type, "message": message}


def entry(code: Json) -> Json:
    return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": "no"}]}


def of(name: str, status: int, body: Body = b"", **headers: str) -> Outcome:
    return outcome_of(importlib.import_module(kind_module(name)), status, body, **headers)


ACCEPTED: list[tuple[str, int, Body, str]] = [
    ("slack", 200, b"ok", "200 ok"),
    ("slack", 200, {"ok": True}, '200 {"ok":true}'),
    ("teams", 202, b"", "202 the workflow begins"),
    ("github", 200, {"html_url": GITHUB_RUN}, f"200 run {GITHUB_RUN}"),
    ("github", 200, {"html_url": "javascript:x"}, "200 run"),
    ("github", 204, b"", "204"),
    ("gitlab", 201, {"web_url": PIPELINE}, f"201 pipeline {PIPELINE}"),
    ("jenkins", 201, b"", "201 queued"),
    ("cloud_build", 200, {"metadata": {"build": {"logUrl": BUILD_LOG}}}, f"200 build {BUILD_LOG}"),
    ("cloud_build", 200, {}, "200 build"),
    ("sms", 201, {"sid": "SM1", "status": "queued", "body": "Your code is 8814."}, "201 SM1 queued"),
    ("push", 200, {"name": "m"}, '200 {"name":"m"}'),
    ("bus", 200, {"messageIds": ["1"]}, '200 {"messageIds":["1"]}'),
    ("bus", 200, {"MessageId": "m1"}, '200 {"MessageId":"m1"}'),
    ("bus", 200, {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}, '200 {"FailedEntryCount":0,"Entries":[{"E'),
    ("bus", 200, b"<MessageId>m1</MessageId>", "200 <MessageId>m1"),
    ("object", 412, {"error": {}}, "the object was there already"),
    ("object", 412, google("conditionNotMet"), "the object was there already"),
    ("object", 412, xml("PreconditionFailed"), "the object was there already"),
    ("object", 403, {"error": {"message": "a lacks storage.objects.delete"}}, "the object was there already"),
]


@pytest.mark.parametrize(("name", "status", "body", "answer"), ACCEPTED)
def test_a_delivery_that_the_service_accepts_is_delivered_and_shows_what_was_made(
    name: str, status: int, body: Body, answer: str
) -> None:
    outcome = of(name, status, body)
    assert isinstance(outcome, Delivered)
    assert outcome.answer.startswith(answer)


HELD: list[Row] = [
    ("slack", 403, b"invalid_token"),
    ("slack", 404, b"no_service"),
    ("slack", 410, b"channel_is_archived"),
    ("slack", 200, {"ok": False, "error": "token_revoked"}),
    ("slack", 200, {"ok": False, "error": "not_in_channel"}),
    ("teams", 401, b""),
    ("teams", 404, {"error": {"code": "WorkflowNotFound"}}),
    ("teams", 400, {"error": {"code": "WorkflowTriggerIsNotEnabled"}}),
    ("discord", 401, {"code": 50027}),
    ("google_chat", 404, google_status("NOT_FOUND")),
    ("google_chat", 400, {"error": {"details": [{"reason": "API_KEY_INVALID"}]}}),
    ("telegram", 401, {"ok": False, "description": "Unauthorized"}),
    ("telegram", 403, {"ok": False, "description": "Forbidden: bot was kicked from the group chat"}),
    ("telegram", 400, {"ok": False, "description": "Bad Request: chat not found"}),
    ("pagerduty", 400, {"status": "invalid event", "errors": ["Length of 'routing_key' is incorrect"]}),
    ("pagerduty", 400, {"status": "invalid key", "message": "Invalid routing key"}),
    ("pagerduty", 403, b""),
    ("sms", 401, {"code": 20003}),
    ("sms", 403, b""),
    ("sms", 400, {"code": 21212}),
    ("push", 401, google_status("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")),
    ("push", 403, google_status("PERMISSION_DENIED")),
    ("ntfy", 403, {"code": 40301}),
    ("github", 401, {"message": "Bad credentials"}),
    ("github", 403, {"message": "Resource not accessible by personal access token"}),
    ("gitlab", 404, {"message": "404 Not Found"}),
    ("jenkins", 401, b""),
    ("cloud_build", 403, google_status("PERMISSION_DENIED")),
    ("bigquery", 403, google("accessDenied", 403)),
    ("object", 401, b"{}"),
    ("object", 403, {"error": {"message": "a lacks storage.objects.create"}}),
    ("object", 412, google("orgPolicyConstraintFailed")),
    ("object", 400, google("cloudKmsDisabledKey")),
    ("object", 301, xml("PermanentRedirect")),
    ("object", 400, xml("KMS.DisabledException")),
    ("object", 403, xml("AccessDenied")),
    ("object", 501, xml("NotImplemented")),
    ("bus", 400, amazon("com.amazonaws.sqs#QueueDoesNotExist")),
    ("bus", 400, amazon("com.amazonaws.sqs#KmsAccessDenied")),
    ("bus", 400, amazon("InvalidSignatureException", "The request signature we")),
    ("bus", 403, xml("AuthorizationError")),
    ("bus", 200, entry("AccessDeniedException")),
    ("bus", 400, google_status("FAILED_PRECONDITION")),
    ("bus", 404, google_status("NOT_FOUND")),
]
"""Responses that say that the key, token, address or place is wrong."""


@pytest.mark.parametrize(("name", "status", "body"), HELD)
def test_a_wrong_key_or_place_holds_the_destination_and_says_what_to_correct(
    name: str, status: int, body: Body
) -> None:
    outcome = of(name, status, body)
    assert isinstance(outcome, Disabled)
    acts = ("correct", "set ", "create", "turn it on", "allow", "invite", "unarchive", "change the policy", "let ")
    assert any(act in outcome.reason for act in (*acts, "use another"))


def test_every_kind_that_speaks_http_is_held_by_a_wrong_key_except_webhook() -> None:
    assert {name for name, _, _ in HELD} | {"webhook"} == set(NAMES)


FAILED: list[Row] = [
    *((name, 400, EMPTY) for name in NAMES if name not in ("webhook", "push")),
    ("slack", 200, {"ok": False, "error": "msg_too_long"}),
    ("ntfy", 413, {"code": 41301}),
    ("github", 422, b""),
    ("push", 404, google_status("NOT_FOUND", "UNREGISTERED")),
    ("push", 400, google_status("INVALID_ARGUMENT")),
    ("push", 403, google_status("PERMISSION_DENIED", "SENDER_ID_MISMATCH")),
    ("sms", 400, {"code": 21211}),
    ("sms", 400, {"code": 21610}),
    ("object", 400, google("invalidArgument")),
    ("object", 400, xml("InvalidArgument")),
    ("bus", 400, amazon("com.amazonaws.sqs#InvalidMessageContents")),
    ("bus", 400, amazon(7)),
    ("bus", 200, entry("MalformedDetail")),
]
"""Responses about one message, which no repeat changes."""


@pytest.mark.parametrize(("name", "status", "body"), FAILED)
def test_a_message_that_the_service_will_never_accept_fails_alone(name: str, status: int, body: Body) -> None:
    assert isinstance(of(name, status, body), Failed)


def test_a_number_that_twilio_rejects_is_explained() -> None:
    assert f"(21610): {sms.FAILED[21610]}" in getattr(of("sms", 400, {"code": 21610}), "reason", "")


RETRIED: list[Row] = [
    *((name, status, b"<html>") for name in NAMES for status in (500, 502, 503) if name != "object"),
    *((name, 302, b"") for name in ("slack", "jenkins")),
    *(("webhook", status, b"") for status in (400, 401, 403, 404)),
    ("slack", 200, {"ok": False, "error": "internal_error"}),
    ("github", 403, {"message": "You have exceeded a secondary rate limit."}),
    ("bigquery", 403, google("quotaExceeded", 403)),
    ("sms", 400, {"code": 21611}),
    ("object", 503, xml("SlowDown")),
    ("object", 400, xml("ExpiredToken")),
    ("object", 400, xml("KMS.ThrottlingException")),
    ("object", 403, xml("RequestTimeTooSkewed")),
    ("object", 409, xml("ConditionalRequestConflict")),
    ("bus", 400, amazon("com.amazonaws.sqs#KmsThrottled")),
    ("bus", 400, amazon("InvalidSignatureException", "Signature expired: 20260301T120000Z is")),
    ("bus", 403, xml("SignatureDoesNotMatch", "Signature not yet current: x")),
    ("bus", 403, xml("ExpiredToken")),
    ("bus", 503, amazon("AccessDeniedException")),
    ("bus", 200, entry("ThrottlingException")),
    ("bus", 200, entry(7)),
    ("bus", 200, b"<html>Sign in</html>"),
    ("bus", 200, {"messageIds": []}),
]
"""Trouble that passes, and for `bus` a 200 that names no message."""


@pytest.mark.parametrize(("name", "status", "body"), RETRIED)
def test_trouble_that_passes_is_retried(name: str, status: int, body: Body) -> None:
    assert isinstance(of(name, status, body), RetryLater)


WAITS: list[tuple[str, int, Body, dict[str, str], float | None]] = [
    *((name, 429, b"", {"retry_after": "90"}, 90.0) for name in NAMES),
    ("webhook", 503, b"", {"retry_after": formatdate(NOW + 90, usegmt=True)}, 90.0),
    ("discord", 429, {"retry_after": 0.75}, {"retry_after": "1"}, 0.75),
    ("discord", 429, b'{"retry_after": NaN}', {"retry_after": "65"}, 65.0),
    ("discord", 429, b'{"retry_after": 1%b}' % (b"0" * 400), {}, None),
    ("telegram", 429, {"parameters": {"retry_after": 34}}, {}, 34.0),
    ("telegram", 429, b'{"parameters": {"retry_after": -1e999}}', {}, None),
    ("telegram", 429, {"parameters": None}, {"retry_after": "3"}, 3.0),
    ("google_chat", 429, b"", {}, None),
    ("pagerduty", 429, b"", {}, 120.0),
    ("github", 403, b"", {"retry_after": "60"}, 60.0),
    ("github", 403, b"", {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW) + 600)}, 600.0),
]


@pytest.mark.parametrize(("name", "status", "body", "headers", "wait"), WAITS)
def test_a_rate_limit_waits_as_long_as_the_service_asks_for(
    name: str, status: int, body: Body, headers: dict[str, str], wait: float | None
) -> None:
    outcome = of(name, status, body, **headers)
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == wait
    if name in ("slack", "teams", "discord", "google_chat", "telegram"):  # a limit of the whole chat
        assert outcome.pause_destination_seconds == (None if wait is None else max(wait, 1.0))


def test_an_address_that_a_service_moves_things_to_is_shown() -> None:
    queued = of("jenkins", 201, b"", location="https://jenkins.example.com/queue/item/7/")
    assert queued == Delivered("201 queued https://jenkins.example.com/queue/item/7/")
    begun = of("teams", 202, b"", x_ms_workflow_run_id="0858")
    assert begun == Delivered("202 the workflow begins, run 0858")


@pytest.mark.parametrize("name", NAMES)
@given(
    status=st.sampled_from([200, 201, 400, 403, 404, 412, 429, 500]),
    body=st.binary(max_size=60)
    | st.sampled_from([b"[1]", b'"x"', b"[" * 60_000, b'{"error": 1}', b'{"error": {"errors": [[]], "details": 5}}'])
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["x", "ok"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "errors", "code", "ok", "retry_after", "Entries", "parameters", "__type"]),
                inner,
                max_size=3,
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_no_body_of_a_response_breaks_a_kind(name: str, status: int, body: bytes) -> None:
    outcome = of(name, status, body)
    assert isinstance(outcome, Delivered | RetryLater | Failed | Disabled | Unknown)
    assert len(outcome.answer) <= MAX_EXCERPT_CHARACTERS
