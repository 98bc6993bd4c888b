"""Slack: an incoming webhook, whose URL is the secret, or `chat.postMessage` with a bot's token.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from pydantic import Field

from functions.notify import bounded_texts, chat_messages, destination, http_kind
from shared.delivery import Delivery, Disabled, Failed, Outcome, RetryLater
from shared.jsontext import JsonObject

API_URL: Final = "https://slack.com/api/chat.postMessage"
MAX_CHARACTERS: Final = 4_000
"""The longest text that Slack recommends. Slack cuts a message after 40,000 characters, which an escaped text cannot
reach: escaping makes at most five characters of one (`&` becomes `&amp;`)."""
GROUPS: Final = frozenset({"channel", "here", "everyone"})

# Advice to the operator, and the errors of https://docs.slack.dev/reference/methods/chat.postMessage
_ADVICE_BY_STATUS: Final[Mapping[int, str]] = {
    403: "allow the app to post there, or create a new webhook and set the secret",
    404: "the webhook or its channel is gone: create a new webhook and set the secret",
    410: "the channel is archived: unarchive it, or create a webhook for another channel and set the secret",
}
_ADVICE_BY_ERROR: Final[Mapping[str, str]] = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "correct `channel`, or invite the bot to the private channel",
    "is_archived": "unarchive the channel, or correct `channel`",
    "missing_scope": "give the app the scope chat:write and install it again",
}
_DEFAULT_ADVICE: Final = "correct the destination's `channel`, its secret or the app's rights in Slack"
_RETRIED_ERRORS: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "message_limit_exceeded",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
_MESSAGE_ERRORS: Final = frozenset({"msg_too_long", "no_text", "invalid_arguments", "restricted_action_thread_locked"})
"""Errors of the one message: another message may be accepted."""

Mention = Annotated[str, Field(pattern=r"^(channel|here|everyone|[UWS][A-Z0-9]{2,20})$")]


class Settings(chat_messages.MessageSettings):
    """Messages in Slack, through an incoming webhook or a bot.

    secret    the incoming webhook's URL; with `channel` or `to`, the bot's token (`xoxb-…`)
    channel   the channel's id or name, for a bot
    mention   whom the message mentions: `channel`, `here`, `everyone`, or the id of a user (U…) or user group (S…)
    to        the person in `people` whom the message mentions in the channel, or whom the bot writes to if there is no
              `channel`: `actor`, an expression or `{person: NAME}`
    """

    person_address: ClassVar[str] = "slack"

    channel: Annotated[str, Field(pattern=r"^[#@]?[\w.-]{1,80}$", examples=["C0123ABCD", "#builds"])] | None = None
    mention: Annotated[tuple[Mention, ...], Field(max_length=20)] = ()


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return a request of the incoming webhook, or of the bot if there is a channel or person to send the message to.

    Raises Permanent if a template cannot be filled, and Temporary if the secret is not the webhook's URL, or not the
    bot's token.
    """
    message = settings.message(delivery, attempt.person)
    person_id = attempt.person.address(settings.person_address) if attempt.person is not None else None
    channel = settings.channel
    mentioned_ids = settings.mentions(attempt)
    if channel is None and person_id is not None:
        # Slack takes the id of a user as a channel and opens a direct message, in which the user needs no mention.
        channel = person_id
        mentioned_ids = tuple(each for each in mentioned_ids if each != person_id)

    mention_text = "".join([f"{_mention(each)} " for each in mentioned_ids])
    message_text = _escaped(bounded_texts.cut(message.text, MAX_CHARACTERS, "utf-16"))
    link = f"\n<{_escaped(message.link)}|{_escaped(message.link_label)}>" if message.link else ""
    text = mention_text + message_text + link

    secret = secrets[settings.secret][0].strip()
    if channel is None:
        if secret.startswith("xox"):
            raise http_kind.unusable_secret(
                settings.secret, "is a token, which needs the destination's `channel`; or use an incoming webhook's URL"
            )
        url = chat_messages.secret_url(settings, secrets, "Slack")
        return http_kind.json_request(url, {"text": text, "unfurl_links": False}, allow_private=settings.allow_private)
    if secret.startswith("https://"):
        raise http_kind.unusable_secret(
            settings.secret, "must be the bot's token (xoxb-…), because an incoming webhook has one channel"
        )
    body: JsonObject = {"channel": channel, "text": text, "unfurl_links": False}
    return http_kind.json_request(API_URL, body, http_kind.bearer(secret), allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    """Return the delivery's outcome. `chat.postMessage` reports most errors in the body of a 200."""
    if response.status == 429:
        return chat_messages.rate_limited(response, "Slack", response.retry_after_seconds)
    if advice := _ADVICE_BY_STATUS.get(response.status):
        return http_kind.held(response, "Slack", advice)
    if response.status == 200 and response.member("ok") is False:
        error = str(response.member("error"))[:100]
        return _error_outcome(response, error)
    return http_kind.outcome_by_status(response, "Slack", failed={400, 413})


def _error_outcome(response: http_kind.Response, error: str) -> Outcome:
    if error in _RETRIED_ERRORS:
        return RetryLater(f"Slack answered {error}", response.retry_after_seconds, response.excerpt)
    if error in _MESSAGE_ERRORS or error.startswith("invalid_blocks"):
        return Failed("request_rejected", f"Slack rejects the message: {error}", response.excerpt)
    # Every further message would have the same error, so the destination is held until the operator corrects it.
    advice = _ADVICE_BY_ERROR.get(error, _DEFAULT_ADVICE)
    return Disabled(f"Slack answered {error}: {advice}", response.excerpt)


def _escaped(text: str) -> str:
    """Escape the characters with which Slack marks mentions, links and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mention(mentioned_id: str) -> str:
    """Write the mention of everybody in GROUPS, of a user group (S…) or of a user as Slack's markup."""
    if mentioned_id in GROUPS:
        return f"<!{mentioned_id}>"
    return f"<!subteam^{mentioned_id}>" if mentioned_id.startswith("S") else f"<@{mentioned_id}>"
