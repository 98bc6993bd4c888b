"""The webhook of a Telegram bot, which has one: https://core.telegram.org/bots/api#setwebhook"""

from typing import Final

from deploy.config.sections.provider_event_types import known_event_types
from deploy.hooks.kind import Body, Hook, HookKind, Operation, Wanted, unix_time
from shared.jsontext import Json, JsonObject, list_at, value_at

NO_ID: Final = "webhook"
"""Our id of the webhook until `slot_id` returns the bot's. Telegram has none, because a bot has only one webhook."""

_UNSELECTED: Final = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Telegram sends these only to a webhook that names them."""


def body(operation: Operation, wanted: Wanted) -> Body | None:
    """Return the body, always with `allowed_updates`: without this field, Telegram keeps the former event types."""
    if operation == "delete":
        return {}
    updates = all_updates() if wanted.events is None else wanted.events
    return {"url": wanted.url, "secret_token": wanted.secret, "allowed_updates": [*updates]}


def all_updates() -> tuple[str, ...]:
    return tuple(sorted(known_event_types()["telegram"].types))


def hook(each: JsonObject) -> Hook:
    selected = [str(name) for name in list_at(each, "allowed_updates")]
    updates = tuple(sorted(selected or {*all_updates()} - _UNSELECTED))
    error = each.get("last_error_message")
    return Hook(
        id=NO_ID,
        url=str(each["url"]),
        events=None if {*updates} >= {*all_updates()} else updates,
        note=f"its last delivery failed: {error}" if error else "",
        failed_at=unix_time(each.get("last_error_date")),
    )


def bot_id(token: str) -> str:
    """Return the bot's id, with which each of its tokens begins: the server of the Bot API reads it there."""
    id, _, key = token.partition(":")
    return id if key and id.isdecimal() else NO_ID


def fault(answer: Json) -> str:
    return "" if value_at(answer, "ok") is True else str(value_at(answer, "description") or "not ok")


KIND: Final = HookKind(
    title="Telegram",
    api="https://api.telegram.org",
    rights="the token of the bot, as BotFather shows it",
    headers={},
    operations={
        "list": "GET /bot{token}/getWebhookInfo",
        "change": "POST /bot{token}/setWebhook",
        "delete": "POST /bot{token}/deleteWebhook",
    },
    body=body,
    hook=hook,
    listed=("result",),
    fault=fault,
    slot_id=bot_id,
    is_single=True,
    all_events="all that Hookchain knows",
)
