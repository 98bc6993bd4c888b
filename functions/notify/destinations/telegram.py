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
_CHAT_FAULTS: Final = ("chat not found", "upgraded", "not enough rights", "no rights", "CHAT_", "thread not found")
"""Texts in the `description` of a 400 when the chat, its topic or the bot's rights are wrong. Then every message fails.

A group that was `upgraded` to a supergroup has a new id. `CHAT_` begins names such as CHAT_ADMIN_REQUIRED.
"""


class Settings(chat_messages.MessageSettings):
    """Messages of a Telegram bot in a chat, a group or a channel.

    secret    the bot's token
    chat      the id of the chat, or the name of a channel (`@name`)
    to        the person to write to, instead of `chat`: `actor`, a JMESPath expression or `{person: NAME}`
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
    token = secrets[settings.secret][0].strip()  # the newest value of the secret
    if not _TOKEN.fullmatch(token):
        raise http_kind.unusable_secret(
            settings.secret, "must be the bot's token that @BotFather shows, such as 123456:ABC-DEF"
        )
    message = settings.message(delivery, attempt.person)
    mentions = "".join([f"{name} " for name in settings.mention])
    link = f"\n{message.link_label}: {message.link}" if message.link else ""
    # Telegram counts code units of UTF-16. The mentions are ASCII, so each of their characters is one unit.
    units_left = MAX_CHARACTERS - len(mentions)
    text_of_event = message_text.without_mentions(message.text)  # the event must mention nobody
    text_with_link = bounded_texts.cut(text_of_event, units_left, "utf-16", tail=link)
    body: JsonObject = {
        "chat_id": settings.chat or attempt.recipient_address("telegram"),
        "text": f"{mentions}{text_with_link}",
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
        wait_seconds = response.seconds(response.member("parameters", "retry_after"))
        return chat_messages.rate_limited(response, "Telegram", wait_seconds)
    if status in {401, 404}:  # 404, because the token is in the path
        return http_kind.held(response, "Telegram", "the token is wrong or revoked: set the secret")
    description = str(response.member("description"))
    is_chat_fault = any(fault in description for fault in _CHAT_FAULTS)
    if status == 403 or (status == 400 and is_chat_fault):
        advice = "add the bot to the chat and let it write there, or correct `chat` and `topic`"
        return http_kind.held(response, "Telegram", advice)
    return http_kind.outcome_by_status(response, "Telegram", failed={400, 413})
