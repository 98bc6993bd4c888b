"""The kinds of messages: Slack, Teams, Discord, Google Chat and Telegram. No server is needed."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Final

import pytest

from functions.notify.bounded_texts import MARK
from functions.notify.destinations import discord, google_chat, slack, teams, telegram
from functions.notify.http_kind import KEY, OutgoingRequest
from shared.errors import Permanent, Temporary
from shared.jsontext import Json, JsonObject, to_json
from tests.unit.notify import http_kinds
from tests.unit.notify.http_kinds import json_of

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
