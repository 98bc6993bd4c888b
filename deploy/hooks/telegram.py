"""The webhook of a Telegram bot, which has one: https://core.telegram.org/bots/api#setwebhook"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, Wanted, time_in_seconds
from shared.jsontext import Json, JsonObject, list_at, value_at

NO_ID: Final = "webhook"
"""Our id of the webhook until `single_id` returns the bot's. Telegram has none, because a bot has only one webhook."""

_DEFAULT: Final = (
    "business_connection",
    "business_message",
    "callback_query",
    "channel_post",
    "chat_boost",
    "chat_join_request",
    "chosen_inline_result",
    "deleted_business_messages",
    "edited_business_message",
    "edited_channel_post",
    "edited_message",
    "guest_message",
    "inline_query",
    "managed_bot",
    "message",
    "my_chat_member",
    "poll",
    "poll_answer",
    "pre_checkout_query",
    "purchased_paid_media",
    "removed_chat_boost",
    "shipping_query",
)
"""The event types of a webhook that names none."""
UPDATES: Final = (*_DEFAULT, "chat_member", "message_reaction", "message_reaction_count")
"""All event types. Telegram sends the last three only to a webhook that names them."""


def make_body(operation: Operation, wanted: Wanted) -> Body | None:
    """Return the body, always with `allowed_updates`: without this field, Telegram keeps the former event types.

    It resets `max_connections` if the field is left out.
    """
    if operation == "delete":
        return {}
    updates = UPDATES if wanted.events is None else wanted.events
    kept = wanted.existing.kept if wanted.existing else {}
    return {"url": wanted.url, "secret_token": wanted.secret, "allowed_updates": [*updates], **kept}


def read_hook(each: JsonObject) -> Hook:
    selected = [str(name) for name in list_at(each, "allowed_updates")]
    updates = tuple(sorted(selected or _DEFAULT))
    error = each.get("last_error_message")
    return Hook(
        id=NO_ID,
        url=str(each["url"]),
        events=None if {*updates} >= {*UPDATES} else updates,
        note=f"its last delivery failed: {error}" if error else "",
        failed_at=time_in_seconds(each.get("last_error_date")),
        kept={"max_connections": each["max_connections"]} if each.get("max_connections") else {},
    )


def bot_id(token: str) -> str:
    """Return the bot's id, with which each of its tokens begins: the server of the Bot API reads it there."""
    id, _, key = token.partition(":")
    return id if key and id.isdecimal() else NO_ID


def read_fault(answer: Json) -> str:
    return "" if value_at(answer, "ok") is True else str(value_at(answer, "description") or "not ok")


KIND: Final = HookKind(
    title="Telegram",
    api_url="https://api.telegram.org",
    rights="the token of the bot, as BotFather shows it",
    headers={},
    operations={
        "list": "GET /bot{token}/getWebhookInfo",
        "change": "POST /bot{token}/setWebhook",
        "delete": "POST /bot{token}/deleteWebhook",
    },
    make_body=make_body,
    read_hook=read_hook,
    list_path=("result",),
    read_fault=read_fault,
    single_id=bot_id,
    is_single=True,
    all_events="all that Hookchain knows",
)
