"""Slack: an incoming webhook, whose URL is the secret, or `chat.postMessage` with a bot's token.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final

from pydantic import Field

from functions.notify import bounded_texts, destination, http_kind
from functions.notify.chat_messages import MessageSettings, rate_limited, secret_url
from shared.delivery import Delivery, Disabled, Failed, Outcome, RetryLater
from shared.jsontext import JsonObject

API_URL: Final = "https://slack.com/api/chat.postMessage"
MAX_CHARACTERS: Final = 4_000
"""Slack advises no more, and cuts after 40,000: enough for five times as many when each is escaped."""
GROUPS: Final = frozenset({"channel", "here", "everyone"})

_STATUS_ACTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        403: "allow the app to post there, or create a new webhook and set the secret",
        404: "the webhook or its channel is gone: create a new webhook and set the secret",
        410: "the channel is archived: unarchive it, or create a webhook for another channel and set the secret",
    }
)
# https://docs.slack.dev/reference/methods/chat.postMessage
_BUSY: Final = frozenset(
    {"ratelimited", "rate_limited", "message_limit_exceeded", "fatal_error", "internal_error", "service_unavailable"}
    | {"request_timeout", "team_added_to_org"}
)
_WRONG: Final = frozenset({"msg_too_long", "no_text", "invalid_arguments", "restricted_action_thread_locked"})
_ACTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_in_channel": "invite the bot to the channel",
        "channel_not_found": "correct `channel`, or invite the bot to the private channel",
        "is_archived": "unarchive the channel, or correct `channel`",
        "missing_scope": "give the app the scope chat:write and install it again",
    }
)

Mention = Annotated[str, Field(pattern=r"^(channel|here|everyone|[UWS][A-Z0-9]{2,20})$")]


class Settings(MessageSettings):
    """Messages in Slack, through an incoming webhook or a bot.

    secret    the incoming webhook's URL; with `channel` or `to`, the bot's token (`xoxb-…`)
    channel   the channel's id or name, for a bot
    mention   whom the message mentions: `channel`, `here`, `everyone`, or the id of a user (U…) or user group (S…)
    to        the person in `people` whom the message mentions in the channel, or whom the bot writes to if there is no
              `channel`: `actor`, an expression or `{person: NAME}`
    """

    person_address: ClassVar[str] = "slack"

    channel: Annotated[str, Field(pattern=r"^[#@]?[\w.-]{1,80}$")] | None = None
    mention: Annotated[tuple[Mention, ...], Field(max_length=20)] = ()


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Raises Permanent, and Temporary for a secret that is no URL, or no token."""
    message = settings.message(delivery, attempt.person)
    channel = settings.channel
    mentions = list(settings.mentions(attempt))
    if channel is None and attempt.person is not None:  # its id opens the conversation with them
        [channel, *mentions] = mentions
    called = "".join([f"{_mention(name)} " for name in mentions])
    link = f"\n<{_escaped(message.link)}|{_escaped(message.link_label)}>" if message.link else ""
    text = called + _escaped(bounded_texts.cut(message.text, MAX_CHARACTERS, "utf-16")) + link
    if channel is None:
        url = secret_url(settings, secrets, "Slack")
        return http_kind.json_request(url, {"text": text, "unfurl_links": False}, allow_private=settings.allow_private)
    token = secrets[settings.secret][0]
    if token.startswith("https://"):
        raise http_kind.unusable_secret(
            settings.secret, "must be the bot's token (xoxb-…), because an incoming webhook has one channel"
        )
    body: JsonObject = {"channel": channel, "text": text, "unfurl_links": False}
    return http_kind.json_request(API_URL, body, http_kind.bearer(token), allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    if response.status == 429:
        return rate_limited(response, "Slack", response.retry_after_seconds)
    if act := _STATUS_ACTS.get(response.status):
        return http_kind.held(response, "Slack", act)
    if response.status == 200 and response.member("ok") is False:
        return _api_outcome(response, str(response.member("error"))[:100])
    return http_kind.outcome_by_status(response, "Slack", failed={400, 413})


def _api_outcome(response: http_kind.Response, error: str) -> Outcome:
    if error in _BUSY:
        return RetryLater(f"Slack answered {error}", response.retry_after_seconds, response.excerpt)
    if error in _WRONG or error.startswith("invalid_blocks"):
        return Failed("request_rejected", f"Slack rejects the message: {error}", response.excerpt)
    act = _ACTS.get(error, "correct the destination's `channel`, its secret or the app's rights in Slack")
    return Disabled(f"Slack answered {error}: {act}", response.excerpt)


def _escaped(text: str) -> str:
    """Return text in which Slack finds no mention, no link and no entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mention(name: str) -> str:
    if name in GROUPS:
        return f"<!{name}>"
    return f"<!subteam^{name}>" if name.startswith("S") else f"<@{name}>"
