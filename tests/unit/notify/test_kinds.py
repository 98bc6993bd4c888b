"""Every kind of destination: its examples, the settings that it rejects, and what the responses of its service mean."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

import functions.notify.destinations as kinds_package
from deploy.config.sections.destination import DestinationConfig
from deploy.config.sections.kinds import destination_kinds, settings_model
from deploy.explain.reference import example_faults, kind_examples
from functions.notify.destination import kind_module
from functions.notify.destinations import sms
from functions.notify.examples import NOW
from functions.notify.http_kind import MAX_EXCERPT_CHARACTERS, HttpExample
from functions.notify.own_kinds import NO_OWN_KINDS
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Permanent, Temporary
from shared.jsontext import Json, JsonObject
from tests.unit.notify.http_kinds import outcome_of, request_of


def kinds() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(kinds_package.__path__):
        module = importlib.import_module(kind_module(found.name))
        if hasattr(module, "request"):
            yield module


def kind_name(kind: ModuleType) -> str:
    return kind.__name__.rpartition(".")[2]


EXAMPLES = [
    pytest.param(kind, example, id=f"{kind_name(kind)}-{number}")
    for kind in kinds()
    for number, example in enumerate(kind_examples(kind_name(kind), NO_OWN_KINDS))
]


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_an_example_makes_the_request_that_it_shows(kind: ModuleType, example: HttpExample) -> None:
    assert not example_faults(kind, example)


def pages_of_kinds(root: Path) -> dict[str, Path]:
    """Return the page of each kind, as the table of the entry page links it."""
    folder = root / "functions/notify"
    linked = re.findall(r"\[((?:`\w+`(?:, )?)+)\]\((docs/[^)#]+)", (folder / "README.md").read_text(encoding="utf-8"))
    return {kind: folder / page for kinds, page in linked for kind in re.findall(r"`(\w+)`", kinds)}


@pytest.mark.parametrize("name", destination_kinds())
def test_the_page_of_a_kind_has_its_settings_and_the_index_leads_there(root: Path, name: str) -> None:
    page = pages_of_kinds(root)[name]
    text = page.read_text(encoding="utf-8")
    index = (root / "functions/notify/docs/settings.md").read_text(encoding="utf-8")
    names = [field.alias or field_name for field_name, field in settings_model(name).model_fields.items()]
    assert [each for each in names if f"`{each}`" not in text] == []
    assert [
        each for each in names if not re.search(rf"^\| `{each}` \|.*\[`{name}`\]\({page.name}", index, re.MULTILINE)
    ] == []


def test_the_entry_page_has_the_settings_of_every_kind(root: Path) -> None:
    page = (root / "functions/notify/README.md").read_text(encoding="utf-8")
    assert [each for each in DestinationConfig.model_fields if f"| `{each}` |" not in page] == []


def test_every_kind_that_speaks_http_has_an_example() -> None:
    names = map(kind_name, kinds())
    assert [name for name in names if not kind_examples(name, NO_OWN_KINDS)] == []


TWILIO: Final[JsonObject] = {"account": "AC" + "a" * 32, "secret": "k", "from": "+15005550006", "to": "+447700900123"}
WORKFLOW: Final[JsonObject] = {"secret": "k", "repository": "o/r", "workflow": "deploy.yml", "ref": "main"}
TRIGGER: Final[JsonObject] = {"project": "p", "trigger": "deploy"}
S3: Final[JsonObject] = {"bucket": "s3://the-archive", "region": "eu-central-1"}
SQS: Final[JsonObject] = {"sqs": "arn:aws:sqs:eu-central-1:123456789012:orders"}
TOPIC: Final[JsonObject] = {"pubsub": "projects/example-project/topics/orders"}
ROW: Final[JsonObject] = {"url_secret": "db", "table": "orders", "columns": {"name": "data.name"}, "create": True}
SHEET: Final[JsonObject] = {"spreadsheet": "1ExampleOfASpreadsheet", "sheet": "S", "columns": {"Name": "data.name"}}
TABLE: Final[JsonObject] = {"project": "p", "dataset": "d", "table": "t", "columns": {"a": "data"}}
REPORT: Final[JsonObject] = {"markdown": "x", "folder": "1ExampleOfAFolder"}
URL: Final[JsonObject] = {"url": "https://crm.example.com/in"}
MAIL: Final[JsonObject] = {"to": ["list@example.com"]}
FIFTY_ONE: Final[list[Json]] = [f"a{number}@x.y" for number in range(51)]

REJECTED: list[tuple[str, JsonObject, JsonObject, str]] = [
    ("slack", {"secret": "k"}, {"mention": ["<!channel>"]}, "pattern"),
    ("slack", {"secret": "k"}, {"text": "{{ data. }}"}, "expected name"),
    ("slack", {}, {"secret": "https://hooks.slack.com/services/T/B/x"}, "secret"),
    ("discord", {"secret": "k"}, {"mention": ["@everyone"]}, "pattern"),
    ("telegram", {"secret": "k"}, {"chat": "me/../you"}, "pattern"),
    ("telegram", {"secret": "k"}, {}, "one of `chat` and `to`"),
    ("ntfy", {}, {}, "one of `topic`, `topic_secret` and `to`"),
    ("ntfy", {"topic": "a"}, {"topic_secret": "b"}, "one of `topic`, `topic_secret` and `to`"),
    ("ntfy", {"topic": "a"}, {"username": "u"}, "`username` needs `secret`"),
    ("ntfy", {"topic": "a"}, {"priority": 6}, "one of 1, 2, 3, 4, 5"),
    ("ntfy", {"topic": "a"}, {"server": "ntfy.example.com"}, "https://"),
    ("ntfy", {"topic": "a"}, {"sound": "bell"}, "Extra inputs"),
    ("pagerduty", {"secret": "k"}, {"action": "close"}, "one of trigger, acknowledge"),
    ("pagerduty", {"secret": "k"}, {"action": "{{ data.action }}"}, "dedup_key: must be set"),
    ("sms", TWILIO, {"to": "{{ data.phone }}"}, "needs `allow_recipients`"),
    ("push", {"project": "my-shop"}, {"token": "a", "topic": "b"}, "exactly one of"),
    ("push", {"project": "my-shop", "topic": "a"}, {"link": "{{ data.url }}"}, "must begin with a scheme"),
    ("push", {"project": "my-shop", "topic": "a"}, {"data": {"google.a": "b"}}, "must not be"),
    ("github", WORKFLOW, {"event_type": "order"}, "needs either `workflow` with `ref`, or `event_type`"),
    ("github", WORKFLOW, {"ref": None}, "has `ref` and `inputs`"),
    ("github", WORKFLOW, {"ref": "{{ data.ref }}"}, "needs `allow_refs`"),
    ("sms", TWILIO, {"to": "07700 900123"}, "must be a number such as"),
    ("github", WORKFLOW, {"workflow": "{{ data.workflow }}"}, "pattern"),
    ("github", WORKFLOW, {"repository": "o/r/../x"}, "pattern"),
    ("jenkins", {"secret": "k", "url": "https://j.example", "username": "u"}, {"job": "/a"}, "pattern"),
    ("cloud_build", {"project": "p"}, {}, "needs `project` and `trigger`, or `webhook_secret`"),
    ("cloud_build", TRIGGER, {"substitutions": {"version": "x"}}, "capital letters"),
    ("cloud_build", TRIGGER, {"webhook_secret": "k"}, "leave out the other settings"),
    ("object", {}, {"bucket": "the-archive"}, "pattern"),
    ("object", {}, {"bucket": "s3://the-archive"}, "`region` is missing"),
    ("object", S3, {"secret": "k"}, "belong together"),
    ("object", S3, {"format": "csv"}, "go together"),
    ("bus", SQS, {"secret": "k"}, "belong together"),
    ("document", {"markdown": "x"}, {}, "needs `folder`"),
    ("object", S3, {"metadata": {"A b": "x"}}, "pattern"),
    ("object", S3, {"content_type": "x\r\ny"}, "must be a content type"),
    ("bus", TOPIC, SQS, "must name one of"),
    ("bus", {}, {"pubsub": "projects/p/topics/../x"}, "full name of a topic"),
    ("bus", {}, {"sns": SQS["sqs"]}, "a topic's ARN"),
    ("bus", {}, {"sqs": "https://sqs.eu-central-1.amazonaws.com@evil.example.com/123456789012/q"}, "ARN"),
    ("bus", TOPIC, {"group": "a"}, "group: has no effect on pubsub"),
    ("bus", SQS, {"attributes": {"a": "1", "b": "2", "c": "3"}}, "SNS and SQS take 2"),
    ("bus", TOPIC, {"attributes": {"ce-id": "1"}}, "attributes: a name"),
    ("sheet", SHEET, {"spreadsheet": "https://evil.example/d/1ExampleOfASpreadsheet"}, "id or the URL"),
    ("sheet", SHEET, {"columns": {"Delivery": "data.name"}}, "name another one"),
    ("document", REPORT, {"template": "1ExampleOfATemplate"}, "one of `template` and `markdown`"),
    ("document", {"template": "1ExampleOfATemplate"}, {"folder": "1ExampleOfAFolder"}, "needs `values`"),
    ("document", REPORT, {"append_to": "1ExampleOfADocument"}, "leave out `folder`"),
    ("bigquery", TABLE, {"columns": {"a": "data", "A": "data"}}, "is there twice"),
    ("bigquery", TABLE, {"table": "orders/insertAll"}, "pattern"),
    ("sql", ROW, {"url_secret": None}, "must name the database: set `url_secret`, or `driver`"),
    ("sql", ROW, {"url_secret": None, "driver": "sqlite", "database": "f", "user": "u"}, "is a file: take `user` out"),
    ("sql", ROW, {"host": "h"}, "`url_secret` has the database's place; take `host` out"),
    ("sql", ROW, {"columns": {"a": "data", "A": "data"}}, "'a' is there twice"),
    ("sql", ROW, {"delivery_id": "name"}, "column 'name' is for the delivery's id"),
    ("sql", ROW, {"delivery_id": "NAME"}, "column 'NAME' is for the delivery's id"),
    ("sql", ROW, {"table": 'o"rders'}, "must be a name of at most 63 bytes"),
    ("sql", ROW, {"key": "nothing"}, "`columns` has no 'nothing'"),
    ("sql", ROW, {"newer_by": "name"}, "newer_by: must be a column besides those of `key`"),
    ("sql", ROW, {"authorities": "nothing"}, "must hold certificates in PEM"),
    ("email", {}, {"to": ["nobody"]}, "is not one mail address"),
    ("email", {}, {"to": ["{{ data.email }}"]}, "needs `allow_recipients`"),
    ("email", MAIL, {"allow_recipients": "*.example.com"}, "without `*`, such as example.com"),
    ("email", MAIL, {"allow_recipients": "*@example.com"}, "without `*`, such as example.com"),
    ("email", MAIL, {"allow_recipients": "https://example.com"}, "an address or a domain such as example.com"),
    ("email", MAIL, {"allow_recipients": "straße.example"}, "as `xn--…`"),
    ("email", MAIL, {"from": "a@b\r\nBcc: c@d"}, "is not one mail address"),
    ("email", MAIL, {"subject": "{{ name }}"}, "did you mean 'data.name'"),
    ("email", MAIL, {"html": "{{ data.name"}, "unexpected end of template"),
    ("email", MAIL, {"separate": True, "cc": "c@x.y"}, "there is no `cc` nor `bcc`"),
    ("email", {}, {"to": FIFTY_ONE, "separate": False}, "at most 50 people"),
    ("email", MAIL, {"attach": [{"filename": "{{ data.name }}"}]}, "an extension that is written out"),
    ("email", MAIL, {"attach": [{"filename": "a.{{ data.kind }}"}]}, "an extension that is written out"),
    ("email", MAIL, {"attach": [{"filename": "{{ nam }}.txt"}]}, "'nam'"),
    ("email", MAIL, {"attach": [{"filename": "a.txt", "content": "type"}]}, "pattern"),
    ("email", MAIL, {"attach": [{"filename": "a.txt", "type": "text"}]}, "pattern"),
    ("subscribers", {}, {"tenant": "accountId"}, "there is no 'accountId'"),
    ("subscribers", {}, {"tenant": "data.["}, "is not JMESPath"),
    ("subscribers", {"tenant": "data.id"}, {"type": "order paid"}, "an event type"),
    ("subscribers", {"tenant": "data.id"}, {"type": "{{ kind }}"}, "'kind'"),
    ("webhook", URL, {"url": "https://crm.example.com/in#part"}, "fragment"),
    ("webhook", URL, {"fields": {"a": 1}, "method": "GET"}, "no body to add them to"),
    ("webhook", URL, {"fields": {"a": 1}, "format": "text"}, "cannot be added to a text"),
    ("webhook", URL, {"url": "https://crm{{ data.host }}.example.com/"}, "url"),
    ("webhook", URL, {"headers": {"x-a": "a\r\nb: c"}}, "headers"),
    ("webhook", URL, {"headers": {"Content-Length": "1"}}, "headers"),
    ("webhook", URL, {"headers": {"webhook-id": "mine"}}, "set by Hookchain itself"),
    ("webhook", URL, {"body": "{}", "method": "GET"}, "a GET request has none"),
    ("webhook", URL, {"body": "{}", "format": "cloudevents"}, "the body is the event"),
    ("webhook", URL, {"format": "xml", "root": "1 2"}, "must be a name for an XML element"),
    ("webhook", URL, {"signature": {"at": "data.signature", "secret": "s"}, "format": "xml"}, "is a place in the body"),
]


@pytest.mark.parametrize(("kind", "settings", "changes", "rule"), REJECTED)
def test_settings_that_never_work_are_rejected(kind: str, settings: JsonObject, changes: JsonObject, rule: str) -> None:
    written: dict[str, Json] = {**settings, **changes}
    with pytest.raises(ValidationError) as raised:
        settings_model(kind).model_validate(written)
    assert rule in str(raised.value)


CHAT: Final[JsonObject] = {"secret": "key"}
FIREBASE: Final[JsonObject] = {"project": "my-shop"}
ANY_PHONE: Final[JsonObject] = {**TWILIO, "secret": "key", "to": "{{ data }}", "allow_recipients": ["+44", "+4915"]}
JSON_INPUT: Final[JsonObject] = {**CHAT, "project": "g/p", "ref": "main", "inputs": {"n": {"json": "{{ data }}"}}}
JSON_BODY: Final[JsonObject] = {**URL, "body": '{"n": {{ data.n }}}'}
NO_JSON: Final[list[Json]] = [{"n": "NaN"}, {"n": "1e999"}, {"n": '"a"b"'}]
BUILD_HOOK: Final[JsonObject] = {"webhook_secret": "key"}
DISPATCH: Final[JsonObject] = {"secret": "key", "repository": "o/r", "event_type": "order"}
EVENT_BUS: Final[JsonObject] = {"eventbridge": "arn:aws:events:eu-central-1:123456789012:event-bus/orders"}
ARCHIVE: Final[JsonObject] = {"bucket": "gs://the-archive", "key": "{{ data }}"}
LOG: Final[JsonObject] = {"append_to": "1ExampleOfALog", "markdown": "{{ data }}"}
NUMBER: Final[JsonObject] = {**TABLE, "columns": {"a": {"value": "data", "type": "number"}}}

UNFIT: list[tuple[str, JsonObject, Json, str]] = [
    *(
        ("sms", ANY_PHONE, number, "recipient_not_allowed")
        for number in ("+19005550123", "+4420", "+4916012345678", "447700900123", "+44770090012x", "", "+44\r\n7700900")
    ),
    ("slack", {**CHAT, "text": "{{ data.nothing }}"}, {}, "undefined_field"),
    ("ntfy", {"topic": "a", "priority": "{{ data }}"}, 9, "must result in one of 1, 2, 3, 4, 5"),
    ("pagerduty", {**CHAT, "dedup_key": "{{ data }}"}, "", "needs a key"),
    ("pagerduty", {**CHAT, "severity": "{{ data }}"}, "<fatal>", "one of critical, error, warning, info"),
    *(
        ("push", {**FIREBASE, "topic": "{{ data }}"}, topic, "must result in a topic")
        for topic in ("", "a b", "a' in topics || 'b", "x" * 901)
    ),
    ("push", {**FIREBASE, "token": "t", "data": {"all": "{{ data }}"}}, "x" * 5_000, "output_too_large"),
    *(("gitlab", JSON_INPUT, text, "template_failed") for text in ("x", "", "NaN", "1e999", "[" * 100_000)),
    ("github", {**DISPATCH, "payload": {"a": "{{ data }}"}}, "x" * 70_000, "output_too_large"),
    ("bus", {**TOPIC, "attributes": {"team": "{{ data }}"}}, "x" * 1_025, "attribute 'team' has more than"),
    *(("bus", {**EVENT_BUS, "source": "{{ data }}"}, source, "template_failed") for source in ("", "aws.s3", "AWS.s3")),
    *(
        ("object", ARCHIVE, key, "template 'key': its result must")
        for key in ("", "..", "a/../b", "a//b", "/a", "a\\b", "x" * 2_000)
    ),
    ("sheet", SHEET, {"name": float("inf")}, "not finite"),
    ("document", LOG, "", "its text is empty"),
    *(("bigquery", NUMBER, number, "'a' must be of the type number; got") for number in ("1e400", 10**400)),
    *(("webhook", JSON_BODY, data, "without quotes around them") for data in NO_JSON),
    ("webhook", {**JSON_BODY, "fields": {"id": "{{ id }}"}}, NO_JSON[0], "without quotes around them"),
    ("webhook", {**URL, "fields": {"name": "theirs"}}, {"name": "Ada"}, "path_conflict"),
    ("webhook", {**URL, "fields": {"name": "theirs"}}, [1], "path_conflict"),
]
"""Events of which the settings make nothing that the service accepts, and the rule."""


@pytest.mark.parametrize(("kind", "settings", "data", "rule"), UNFIT)
def test_an_event_that_the_service_would_reject_is_a_dead_letter(
    kind: str, settings: JsonObject, data: Json, rule: str
) -> None:
    with pytest.raises(Permanent, match=rule):
        request_of(importlib.import_module(kind_module(kind)), settings, data, {"key": "k"})


CHANNEL: Final = "https://discord.com/channels/123456789012345678/234567890123456789"
UNUSABLE: list[tuple[str, JsonObject, str, str]] = [
    *(
        (kind, CHAT, value, "must be the URL that")
        for kind in ("slack", "teams", "discord", "google_chat")
        for value in ("hooks.slack.com/x", "http://a.example.com", "")
    ),
    ("slack", {**CHAT, "channel": "C1"}, "https://hooks.slack.com/x", "must be the bot's token"),
    ("slack", CHAT, "xoxb-1", "is a token, which needs the destination's `channel`"),
    ("discord", CHAT, CHANNEL, "copy the webhook's URL"),
    ("telegram", {**CHAT, "chat": "1"}, "../getUpdates", "must be the bot's token"),
    *(
        ("cloud_build", BUILD_HOOK, url, "must be the URL that the webhook trigger's page shows")
        for url in ("http://a/b:webhook?key=1", "https://cloudbuild.googleapis.com/v1/x:run", "x")
    ),
    ("webhook", {**URL, "secret": "key"}, "whsec_***", "cannot sign"),
    ("webhook", {**URL, "certificate_secret": "key"}, "-----BEGIN CERTIFICATE-----", "must hold a client certificate"),
]


@pytest.mark.parametrize(("kind", "settings", "value", "rule"), UNUSABLE)
def test_a_secret_that_is_no_url_key_or_token_waits_for_its_correction(
    kind: str, settings: JsonObject, value: str, rule: str
) -> None:
    with pytest.raises(Temporary, match=f"secret_unusable.*{rule}"):
        request_of(importlib.import_module(kind_module(kind)), settings, None, {"key": value})


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
    ("slack", 200, {"ok": True}, '200 {"ok":true}'),
    ("teams", 202, b"", "202 the workflow begins"),
    ("github", 200, {"html_url": GITHUB_RUN}, f"200 run {GITHUB_RUN}"),
    ("github", 200, {"html_url": "javascript:x"}, "200 run"),
    ("gitlab", 201, {"web_url": PIPELINE}, f"201 pipeline {PIPELINE}"),
    ("jenkins", 201, b"", "201 queued"),
    ("cloud_build", 200, {"metadata": {"build": {"logUrl": BUILD_LOG}}}, f"200 build {BUILD_LOG}"),
    ("sms", 201, {"sid": "SM1", "status": "queued", "body": "Your code is 8814."}, "201 SM1 queued"),
    ("bus", 200, {"messageIds": ["1"]}, '200 {"messageIds":["1"]}'),
    ("bus", 200, {"MessageId": "m1"}, '200 {"MessageId":"m1"}'),
    ("bus", 200, {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}, '200 {"FailedEntryCount":0,"Entries":[{"E'),
    ("bus", 200, b"<MessageId>m1</MessageId>", "200 <MessageId>m1"),
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
    ("slack", 200, {"ok": False, "error": "token_revoked"}),
    ("teams", 404, {"error": {"code": "WorkflowNotFound"}}),
    ("teams", 400, {"error": {"code": "WorkflowTriggerIsNotEnabled"}}),
    ("discord", 401, {"code": 50027}),
    ("google_chat", 404, google_status("NOT_FOUND")),
    ("telegram", 400, {"ok": False, "description": "Bad Request: chat not found"}),
    ("pagerduty", 400, {"status": "invalid key", "message": "Invalid routing key"}),
    ("sms", 401, {"code": 20003}),
    ("sms", 400, {"code": 21212}),
    ("push", 401, google_status("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")),
    ("ntfy", 403, {"code": 40301}),
    ("github", 403, {"message": "Resource not accessible by personal access token"}),
    ("gitlab", 404, {"message": "404 Not Found"}),
    ("jenkins", 401, b""),
    ("cloud_build", 403, google_status("PERMISSION_DENIED")),
    ("bigquery", 403, google("accessDenied", 403)),
    ("object", 403, {"error": {"message": "a lacks storage.objects.create"}}),
    ("object", 501, xml("NotImplemented")),
    ("object", 412, google("orgPolicyConstraintFailed")),
    ("object", 400, google("cloudKmsDisabledKey")),
    ("object", 400, xml("KMS.DisabledException")),
    ("bus", 400, amazon("com.amazonaws.sqs#QueueDoesNotExist")),
    ("bus", 400, amazon("InvalidSignatureException", "The request signature we")),
    ("bus", 200, entry("AccessDeniedException")),
    ("bus", 400, google_status("FAILED_PRECONDITION")),
    ("bus", 404, google_status("NOT_FOUND")),
]
"""Responses that say that the key, token, address or place is wrong."""


@pytest.mark.parametrize(("name", "status", "body"), HELD)
def test_a_wrong_key_or_place_holds_the_destination_and_says_a_remedy(name: str, status: int, body: Body) -> None:
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
    ("push", 404, google_status("NOT_FOUND", "UNREGISTERED")),
    ("push", 403, google_status("PERMISSION_DENIED", "SENDER_ID_MISMATCH")),
    ("sms", 400, {"code": 21610}),
    ("object", 400, google("invalidArgument")),
    ("bus", 400, amazon("com.amazonaws.sqs#InvalidMessageContents")),
    ("bus", 200, entry("MalformedDetail")),
]
"""Responses about one message, which no repeat changes."""


@pytest.mark.parametrize(("name", "status", "body"), FAILED)
def test_a_message_that_the_service_will_never_accept_fails_alone(name: str, status: int, body: Body) -> None:
    assert isinstance(of(name, status, body), Failed)


def test_a_number_that_twilio_rejects_is_explained() -> None:
    assert f"(21610): {sms.FAILED['21610']}" in getattr(of("sms", 400, {"code": 21610}), "reason", "")


RETRIED: list[Row] = [
    *((name, status, b"<html>") for name in NAMES for status in (500, 502, 503) if name != "object"),
    *((name, 302, b"") for name in ("slack", "jenkins")),
    *(("webhook", status, b"") for status in (400, 401, 403, 404)),
    ("slack", 200, {"ok": False, "error": "internal_error"}),
    ("github", 403, {"message": "You have exceeded a secondary rate limit."}),
    ("bigquery", 403, google("quotaExceeded", 403)),
    ("sms", 400, {"code": 21611}),
    ("object", 503, xml("SlowDown")),
    ("object", 400, xml("KMS.ThrottlingException")),
    ("object", 403, xml("RequestTimeTooSkewed")),
    ("bus", 400, amazon("InvalidSignatureException", "Signature expired: 20260301T120000Z is")),
    ("bus", 403, xml("SignatureDoesNotMatch", "Signature not yet current: x")),
    ("bus", 403, xml("ExpiredToken")),
    ("bus", 200, entry("ThrottlingException")),
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
    ("discord", 429, b'{"retry_after": 1%b}' % (b"0" * 400), {}, None),
    ("telegram", 429, {"parameters": {"retry_after": 34}}, {}, 34.0),
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
