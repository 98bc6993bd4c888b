"""Telegram: a bot's message to a chat, a group or a channel.

https://core.telegram.org/bots/api#sendmessage
"""

import re
from typing import Annotated, ClassVar, Final

from pydantic import Field, model_validator

from functions.notify import bounded_texts, chat_messages, destination, http_kind, kind_settings, message_text
from shared.delivery import Delivery, Outcome
from shared.jsontext import JsonObject

MAX_CHARACTERS: Final = 4_096
Mention = Annotated[str, Field(pattern=r"^@[A-Za-z0-9_]{3,64}$")]

_TOKEN: Final = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{10,100}")
# A description of a 400 that says that the chat is at fault, and not the message.
_CHAT_FAULTS: Final = ("chat not found", "upgraded", "not enough rights", "no rights", "CHAT_", "thread not found")


class Settings(chat_messages.MessageSettings):
    """Messages of a Telegram bot in a chat, a group or a channel.

    secret    the bot's token
    chat      the id of the chat, or the name of a channel (`@name`)
    to        a person in `people` in place of `chat`: `actor`, an expression or `{person: NAME}`
    topic     the id of a topic of the group
    mention   the names of users whom the message mentions (`@name`)
    silent    send without a sound
    api_url   the address of your own Bot API server
    """

    person_address: ClassVar[str] = "telegram"

    chat: (
        Annotated[str, Field(pattern=r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{3,64})$", examples=["-1001234567890", "@channel"])]
        | None
    ) = None
    topic: Annotated[int, Field(ge=1)] | None = None
    mention: Annotated[tuple[Mention, ...], Field(max_length=20)] = ()
    silent: bool = False
    api_url: kind_settings.ServerAddress = "https://api.telegram.org"

    @model_validator(mode="after")
    def _has_one_chat(self) -> "Settings":
        if (self.chat is None) == (self.to is None):
            raise ValueError("must have one of `chat` and `to`")
        return self


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Raises Permanent, and Temporary for a secret that is no token."""
    token = secrets[settings.secret][0].strip()
    if not _TOKEN.fullmatch(token):
        raise http_kind.unusable_secret(
            settings.secret, "must be the bot's token that @BotFather shows, such as 123456:ABC-DEF"
        )
    message = settings.message(delivery, attempt.person)
    called = "".join([f"{name} " for name in settings.mention])
    link = f"\n{message.link_label}: {message.link}" if message.link else ""
    body: JsonObject = {
        "chat_id": settings.chat or attempt.recipient_address("telegram"),
        "text": called
        + bounded_texts.cut(message_text.without_mentions(message.text), MAX_CHARACTERS - len(called), "utf-16", link),
        "link_preview_options": {"is_disabled": True},
    }
    if settings.topic is not None:
        body["message_thread_id"] = settings.topic
    if settings.silent:
        body["disable_notification"] = True
    return http_kind.json_request(
        f"{settings.api_url}/bot{token}/sendMessage", body, allow_private=settings.allow_private
    )


def outcome(response: http_kind.Response) -> Outcome:
    status = response.status
    if status == 429:
        return chat_messages.rate_limited(
            response, "Telegram", response.seconds(response.member("parameters", "retry_after"))
        )
    if status in {401, 404}:
        return http_kind.held(response, "Telegram", "the token is wrong or revoked: set the secret")
    description = str(response.member("description"))
    if status == 403 or (status == 400 and any(fault in description for fault in _CHAT_FAULTS)):
        advice = "add the bot to the chat and let it write there, or correct `chat` and `topic`"
        return http_kind.held(response, "Telegram", advice)
    return http_kind.outcome_by_status(response, "Telegram", failed={400, 413})
