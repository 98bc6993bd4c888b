"""The kinds of messages: Slack, Teams, Discord, Google Chat and Telegram. No server is needed."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Final

import pytest

from functions.notify.bounded_texts import MARK
from functions.notify.destinations import discord, google_chat, slack, teams, telegram
from functions.notify.http_kind import KEY, OutgoingRequest
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.errors import Permanent, Temporary
from shared.jsontext import Json, JsonObject, to_json
from tests.unit.notify import http_kinds
from tests.unit.notify.http_kinds import json_of, outcome_of

SECRETS: Final = {"key": "https://hooks.example.com/T1?x=y"}
TOKEN: Final = {"key": "123456:ABC-DEF1234567890"}
KINDS: Final[list[tuple[ModuleType, JsonObject, dict[str, str]]]] = [
    (slack, {}, SECRETS),
    (slack, {"channel": "C1"}, {"key": "xoxb-1"}),
    (teams, {}, SECRETS),
    (discord, {}, SECRETS),
    (google_chat, {}, SECRETS),
    (telegram, {"chat": "-100"}, TOKEN),
]
HOSTILE: Final = "<!channel> @everyone <@U1> <users/all> <at>Ann</at> ```"
LIVE: Final[dict[ModuleType, tuple[str, ...]]] = {
    slack: ("<!", "<@"),
    teams: ("<at>",),
    discord: ("@everyone", "<@"),
    google_chat: ("<users/",),
    telegram: ("@everyone",),
}
"""The beginnings of what calls somebody."""
OUTCOMES: Final = (Delivered, RetryLater, Failed, Disabled)
each_kind = pytest.mark.parametrize(("kind", "settings", "secrets"), KINDS)


def request_of(
    kind: ModuleType, settings: JsonObject, data: Json = None, secrets: Mapping[str, str] = SECRETS
) -> OutgoingRequest:
    return http_kinds.request_of(kind, {"secret": "key", **settings}, data, secrets)


def text_in(body: Json) -> str:
    """Return the message's text, wherever the service has it."""
    assert isinstance(body, dict)
    found = body.get("text", body.get("content"))
    return str(found) if found is not None else str(json.loads(to_json(body))["attachments"][0]["content"]["body"])


@each_kind
def test_hostile_text_calls_nobody(kind: ModuleType, settings: JsonObject, secrets: dict[str, str]) -> None:
    for template in ({}, {"text": "```\n{{ data.text }}"}):
        body = json_of(request_of(kind, {**settings, **template}, {"text": HOSTILE}, secrets))
        text = text_in(body)
        assert not any(mention in text for mention in LIVE[kind])
        assert text.count("```") == len(template)
    assert body.get("allowed_mentions", {"parse": []}) == {"parse": [], "users": [], "roles": []} or kind is not discord


@each_kind
def test_a_long_text_is_cut_with_a_mark_and_keeps_its_link(
    kind: ModuleType, settings: JsonObject, secrets: dict[str, str]
) -> None:
    link = "https://shop.example.com/orders/17"
    for text in ("x" * 60_000, '<&>\n"' * 12_000, "👩‍💻" * 12_000):
        request = request_of(kind, {**settings, "text": "{{ data }}", "link": link}, text, secrets)
        body = json_of(request)
        assert MARK in text_in(body)
        assert link in to_json(body)
        assert len(request.body) < 28_000
        if kind in {discord, telegram}:
            assert len(text_in(body)) <= {discord: 2_000, telegram: 4_096}[kind]


@each_kind
def test_an_event_with_nothing_to_say_still_makes_a_message(
    kind: ModuleType, settings: JsonObject, secrets: dict[str, str]
) -> None:
    assert "Order created" in text_in(json_of(request_of(kind, settings, None, secrets)))


@each_kind
def test_a_field_that_the_event_lacks_is_a_dead_letter(
    kind: ModuleType, settings: JsonObject, secrets: dict[str, str]
) -> None:
    with pytest.raises(Permanent, match="undefined_field"):
        request_of(kind, {**settings, "text": "{{ data.nothing }}"}, {}, secrets)


@pytest.mark.parametrize("kind", [slack, teams, discord, google_chat])
@pytest.mark.parametrize(
    "value",
    ["hooks.slack.com/x", "http://a.example.com", "https://a b", "https://ä.example", "https://a.example/#b", ""],
)
def test_a_secret_that_is_no_url_waits_for_its_correction(kind: ModuleType, value: str) -> None:
    with pytest.raises(Temporary, match="secret_unusable"):
        request_of(kind, {}, None, {"key": value})


@pytest.mark.parametrize("kind", [slack, teams, discord, google_chat])
def test_a_server_of_your_own_may_be_private(kind: ModuleType) -> None:
    request = request_of(kind, {"allow_private": True}, None, {"key": "http://chat.internal/x"})
    assert request.allow_private
    assert request.url.startswith("http://chat.internal/x")


@pytest.mark.parametrize(
    ("kind", "mention", "start"),
    [
        (slack, ["channel", "U0123", "S0123"], "<!channel> <@U0123> <!subteam^S0123> "),
        (discord, ["everyone", "123456789012345678"], "@everyone <@123456789012345678> "),
        (google_chat, ["all", "1234567890"], "<users/all> <users/1234567890> "),
    ],
)
def test_a_mention_that_the_settings_name_calls(kind: ModuleType, mention: list[Json], start: str) -> None:
    assert text_in(json_of(request_of(kind, {"mention": mention}))).startswith(start)


def test_a_mention_in_teams_and_telegram_calls() -> None:
    body = to_json(json_of(request_of(teams, {"mention": ["ann@example.com"]})))
    assert "<at>ann@example.com</at> Order" in body
    assert '"mentioned":{"id":"ann@example.com"' in body
    text = json_of(request_of(telegram, {"chat": 5, "mention": ["@ann"]}, None, TOKEN))["text"]
    assert str(text).startswith("@ann Order created")


def test_discord_calls_whom_the_settings_name_and_nobody_else() -> None:
    body = json_of(request_of(discord, {"mention": ["here", "role:123456789012345678"], "thread": 123456789012345678}))
    assert body["allowed_mentions"] == {"parse": ["everyone"], "users": [], "roles": ["123456789012345678"]}
    assert request_of(discord, {"thread": 123456789012345678}).url.endswith(
        "?x=y&wait=true&thread_id=123456789012345678"
    )


def test_a_repeat_has_the_same_request_id_in_google_chat() -> None:
    assert google_chat.DEDUPES_REPEATS
    assert f"&requestId={KEY}" in request_of(google_chat, {}).url


def test_a_thread_in_google_chat_is_left_out_where_the_event_names_none() -> None:
    request = request_of(google_chat, {"thread": "{{ data.id }}"}, {"id": ""})
    assert "thread" not in json_of(request)
    assert "messageReplyOption" not in request.url


def test_a_telegram_message_goes_to_a_topic_silently() -> None:
    body = json_of(request_of(telegram, {"chat": "@news", "topic": 7, "silent": True}, None, TOKEN))
    assert (body["chat_id"], body["message_thread_id"], body["disable_notification"]) == ("@news", 7, True)


def test_a_telegram_secret_that_is_no_token_waits_for_its_correction() -> None:
    with pytest.raises(Temporary, match="secret_unusable"):
        request_of(telegram, {"chat": "1"}, None, {"key": "../getUpdates"})


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (slack, {"mention": ["<!channel>"]}),
        (slack, {"channel": "a b"}),
        (discord, {"mention": ["@everyone"]}),
        (google_chat, {"mention": ["users/all"]}),
        (teams, {"mention": ["</at>"]}),
        (telegram, {"chat": "me/../you"}),
        (slack, {"text": "{{ data. }}"}),
        (slack, {"link": "{{ nothing }}"}),
        (slack, {"secret": "https://hooks.slack.com/services/T/B/x"}),
    ],
)
def test_settings_that_cannot_work_are_rejected(kind: ModuleType, settings: JsonObject) -> None:
    with pytest.raises(ValueError, match="validation error"):
        request_of(kind, settings)


@pytest.mark.parametrize(
    ("kind", "status", "body", "kind_of_outcome"),
    [
        (slack, 200, b"ok", Delivered),
        (slack, 400, b"invalid_payload", Failed),
        (slack, 403, b"invalid_token", Disabled),
        (slack, 404, b"no_service", Disabled),
        (slack, 410, b"channel_is_archived", Disabled),
        (slack, 302, b"", RetryLater),
        (slack, 500, b"rollup_error", RetryLater),
        (slack, 200, {"ok": True, "ts": "1"}, Delivered),
        (slack, 200, {"ok": False, "error": "ratelimited"}, RetryLater),
        (slack, 200, {"ok": False, "error": "internal_error"}, RetryLater),
        (slack, 200, {"ok": False, "error": "msg_too_long"}, Failed),
        (slack, 200, {"ok": False, "error": "not_in_channel"}, Disabled),
        (slack, 200, {"ok": False, "error": "token_revoked"}, Disabled),
        (teams, 202, b"", Delivered),
        (teams, 200, b"1", Delivered),
        (teams, 400, {"error": {"code": "TriggerInputSchemaMismatch"}}, Failed),
        (teams, 400, {"error": {"code": "WorkflowTriggerIsNotEnabled"}}, Disabled),
        (teams, 401, {"error": {"code": "DirectApiAuthorizationRequired"}}, Disabled),
        (teams, 404, {"error": {"code": "WorkflowNotFound"}}, Disabled),
        (teams, 502, b"", RetryLater),
        (discord, 200, {"id": "1"}, Delivered),
        (discord, 400, {"code": 50006}, Failed),
        (discord, 401, {"code": 50027}, Disabled),
        (discord, 404, {"code": 10015}, Disabled),
        (discord, 503, b"", RetryLater),
        (google_chat, 200, {"name": "spaces/A/messages/B"}, Delivered),
        (google_chat, 400, {"error": {"status": "INVALID_ARGUMENT"}}, Failed),
        (google_chat, 400, {"error": {"details": [{"reason": "API_KEY_INVALID"}]}}, Disabled),
        (google_chat, 404, {"error": {"status": "NOT_FOUND"}}, Disabled),
        (google_chat, 503, b"", RetryLater),
        (telegram, 200, {"ok": True}, Delivered),
        (telegram, 400, {"ok": False, "description": "Bad Request: message text is empty"}, Failed),
        (telegram, 400, {"ok": False, "description": "Bad Request: chat not found"}, Disabled),
        (telegram, 401, {"ok": False, "description": "Unauthorized"}, Disabled),
        (telegram, 403, {"ok": False, "description": "Forbidden: bot was kicked from the group chat"}, Disabled),
        (telegram, 502, b"<html>", RetryLater),
    ],
)
def test_an_answer_is_judged_as_the_service_means_it(
    kind: ModuleType, status: int, body: "Json | bytes", kind_of_outcome: type
) -> None:
    assert isinstance(outcome_of(kind, status, body), kind_of_outcome)


@pytest.mark.parametrize(
    ("kind", "body", "headers", "wait"),
    [
        (slack, b"", {"retry_after": "30"}, 30.0),
        (teams, b"", {"retry_after": "17"}, 17.0),
        (discord, {"retry_after": 0.75, "global": False}, {"retry_after": "1"}, 0.75),
        (discord, b"no JSON", {"retry_after": "65"}, 65.0),
        (google_chat, b"", {}, None),
        (telegram, {"ok": False, "parameters": {"retry_after": 34}}, {}, 34.0),
        (discord, b'{"retry_after": NaN}', {"retry_after": "65"}, 65.0),
        (discord, b'{"retry_after": 1%b}' % (b"0" * 400), {}, None),
        (telegram, b'{"parameters": {"retry_after": 1%b}}' % (b"0" * 400), {}, None),
        (telegram, b'{"parameters": {"retry_after": -1e999}}', {}, None),
        (telegram, {"ok": False, "parameters": None}, {"retry_after": "3"}, 3.0),
    ],
)
def test_a_rate_limit_waits_as_long_as_the_service_asks_for_and_pauses_the_destination(
    kind: ModuleType, body: "Json | bytes", headers: dict[str, str], wait: float | None
) -> None:
    outcome = outcome_of(kind, 429, body, **headers)
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == wait
    assert outcome.pause_destination_seconds == (None if wait is None else max(wait, 1.0))


def test_the_run_of_a_teams_workflow_is_shown() -> None:
    outcome = outcome_of(teams, 202, b"", x_ms_workflow_run_id="0858")
    assert outcome == Delivered("202 the workflow begins, run 0858")


@pytest.mark.parametrize("body", [b"[1]", b'"x"', b"{", b"\xff", b"[" * 60_000, b'{"ok": false}', b'{"parameters": 1}'])
def test_no_body_of_an_answer_breaks_a_kind(body: bytes) -> None:
    for kind, _, _ in KINDS:
        for status in (200, 400, 429, 500):
            assert isinstance(outcome_of(kind, status, body), OUTCOMES)
