"""Microsoft Teams: a workflow that starts when a webhook request is received, whose URL is the secret.

https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams
"""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from functions.notify import bounded_texts, chat_messages, destination, http_kind
from shared.delivery import Delivered, Delivery, Outcome
from shared.jsontext import Json, JsonObject

MAX_BYTES: Final = 12_000
"""Teams accepts messages of 28 KB, in which each quote and line feed of the text takes two bytes."""
CARD: Final = "application/vnd.microsoft.card.adaptive"

Mention = Annotated[str, Field(pattern=r"^[^\s<>\"&@]{1,64}(@[^\s<>\"&@]{1,200})?$")]


class Settings(chat_messages.MessageSettings):
    """Messages in Microsoft Teams, through a workflow (Power Automate).

    secret    the URL of the workflow's trigger “When a Teams webhook request is received”
    mention   whom the message mentions: the user principal names (ann@example.com) or Entra ids of users
    to        the person in `people` whom the message mentions: `actor`, an expression or `{person: NAME}`
    """

    person_address: ClassVar[str] = "teams"

    mention: Annotated[tuple[Mention, ...], Field(max_length=20)] = ()


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the request that starts the workflow with a card.

    Raises Permanent if a template cannot be filled, and Temporary if the secret is not a URL.
    """
    message = settings.message(delivery, attempt.person)
    mentioned_names = settings.mentions(attempt)
    mentions = "".join([f"<at>{name}</at> " for name in mentioned_names])
    lines = [line.strip() for line in message.text.splitlines() if line.strip()]
    # Teams does not break a line at a single line feed. A zero-width space after each `<` makes a tag plain text.
    text_of_event = "\n\n".join(lines).replace("<", "<\u200b")
    text = mentions + bounded_texts.cut(text_of_event, MAX_BYTES, "bytes")
    entities: list[Json] = [
        {"type": "mention", "text": f"<at>{name}</at>", "mentioned": {"id": name, "name": name}}
        for name in mentioned_names
    ]
    card: JsonObject = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full", "entities": entities},
        "body": [{"type": "TextBlock", "text": text, "wrap": True}],
    }
    if message.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": message.link_label, "url": message.link}]
    attachment: JsonObject = {"contentType": CARD, "contentUrl": None, "content": card}
    url = chat_messages.secret_url(settings, secrets, "Teams")
    body: JsonObject = {"type": "message", "attachments": [attachment]}
    return http_kind.json_request(url, body, allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome. A 202 only says that the workflow begins. Its run history shows whether it posts."""
    status = response.status
    if status == 202:
        run = response.header("x-ms-workflow-run-id")
        return Delivered(f"202 the workflow begins{f', run {run}' if run else ''}")
    if status == 429:
        return chat_messages.rate_limited(response, "Teams", response.retry_after_seconds)
    if status in {401, 403, 404} or (status == 400 and b"NotEnabled" in response.body):
        advice = "the workflow is off, gone or has another URL: turn it on, or copy its URL into the secret"
        return http_kind.held(response, "Teams", advice)
    return http_kind.outcome_by_status(response, "Teams", failed={400, 413})
