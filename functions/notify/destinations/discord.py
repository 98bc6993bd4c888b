"""Discord: a channel's webhook, whose URL is the secret.

https://docs.discord.com/developers/resources/webhook#execute-webhook
"""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from functions.notify import bounded_texts, chat_messages, destination, http_kind, message_text
from shared.delivery import Delivery, Outcome
from shared.jsontext import Json, JsonObject

MAX_CHARACTERS: Final = 2_000
GROUPS: Final = ("everyone", "here")

Snowflake = r"[0-9]{15,20}"
Mention = Annotated[str, Field(pattern=rf"^(everyone|here|(role:)?{Snowflake})$")]


class Settings(chat_messages.MessageSettings):
    """Messages in a Discord channel, through its webhook.

    secret    the webhook's URL
    mention   whom the message mentions: `everyone`, `here`, the id of a user, or `role:` and the id of a role
    thread    the id of a thread of the channel
    to        the person in `people` whom the message mentions: `actor`, an expression or `{person: NAME}`
    """

    person_address: ClassVar[str] = "discord"

    mention: Annotated[tuple[Mention, ...], Field(max_length=20)] = ()
    thread: Annotated[str, Field(pattern=rf"^{Snowflake}$", examples=["165511591545143296"])] | None = None


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the request of the webhook.

    Raises Permanent if a template cannot be filled, and Temporary if the secret is not the webhook's URL.
    """
    message = settings.message(delivery, attempt.person)
    mentioned_names = settings.mentions(attempt)
    mentions = "".join([f"{_mention(name)} " for name in mentioned_names])
    link = f"\n[{message.link_label}](<{message.link}>)" if message.link else ""
    text_of_event = message_text.without_mentions(message.text)
    # The strictest way to count characters. The mentions are ASCII, so each of their characters is one unit.
    units_left = MAX_CHARACTERS - len(mentions)
    text_with_link = bounded_texts.cut(text_of_event, units_left, "utf-16", tail=link)
    body: JsonObject = {"content": f"{mentions}{text_with_link}", "allowed_mentions": _allowed(mentioned_names)}
    thread = {"thread_id": settings.thread} if settings.thread else {}
    # Without `wait`, Discord also answers 204 if it does not store the message.
    webhook = chat_messages.secret_url(settings, secrets, "Discord")
    if "discord.com/channels/" in webhook:
        rule = "is the address of the channel in a browser: copy the webhook's URL, under Edit Channel, Integrations"
        raise http_kind.unusable_secret(settings.secret, rule)
    url = chat_messages.with_query(webhook, {"wait": "true", **thread})
    return http_kind.json_request(url, body, allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    if response.status == 429:
        return chat_messages.rate_limited(response, "Discord", response.seconds(response.member("retry_after")))
    # Hold the destination after 401, 403 or 404: Discord blocks addresses that continue to send requests after these.
    advice = "the webhook or the thread is gone: create a new webhook and set the secret, or correct `thread`"
    return http_kind.outcome_by_status(response, "Discord", failed={400, 413}, held_advice=advice)


def _allowed(mentions: tuple[Mention, ...]) -> JsonObject:
    """Return the `allowed_mentions` of a message: who is notified. Otherwise Discord would also notify those whom the
    event's text mentions."""
    groups: list[Json] = ["everyone"] if any(name in GROUPS for name in mentions) else []
    users: list[Json] = [name for name in mentions if name.isdecimal()]
    roles: list[Json] = [name.removeprefix("role:") for name in mentions if name.startswith("role:")]
    return {"parse": groups, "users": users, "roles": roles}


def _mention(name: str) -> str:
    if name in GROUPS:
        return f"@{name}"
    return f"<@&{name.removeprefix('role:')}>" if name.startswith("role:") else f"<@{name}>"
