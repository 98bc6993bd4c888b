"""Messages: as they are published, stored, delivered and dead-lettered.

Their texts are concatenated, not serialized: a message's content is JSON already, and is most of it.
https://cloud.google.com/pubsub/docs/push#receive_push
https://cloud.google.com/pubsub/docs/dead-letter-topics
"""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypedDict

from deploy.dev.pubsub.resources import Fields, invalid, parse_object
from shared import jsontext, times
from shared.cloud.gcp.pubsub import DELAY

MAX_MESSAGES: Final = 1000
MAX_BYTES: Final = 10_000_000
MAX_ATTRIBUTES: Final = 100
MAX_KEY_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 1024
MAX_DELAY_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as it was sent. `content` is its members as JSON without the braces, ready to be put into a push."""

    content: str
    attributes: Mapping[str, str]


@dataclass(slots=True)
class Message:
    """A message as it is stored. `holders` counts the subscriptions that have not acknowledged it."""

    id: int
    topic: str
    content: str
    attributes: Mapping[str, str]
    published_at: float
    holders: int = 0


def kept_back_seconds(message: Message, now: float) -> float:
    """Return how long the message is still kept back, as SQS does by DelaySeconds. Google's Pub/Sub has no delays.

    If the clock was set back since the message was published, it is kept back for its whole delay, and not longer.
    """
    try:
        delay_seconds = float(message.attributes.get(DELAY, 0.0))
    except ValueError:
        return 0.0
    passed_seconds = max(0.0, now - message.published_at)
    return max(0.0, min(delay_seconds, MAX_DELAY_SECONDS) - passed_seconds)


class Content(TypedDict, total=False):
    data: str
    attributes: dict[str, str]
    orderingKey: str


def content_of(text: str) -> Content:
    """Parse the `content` of a Draft or a Message; `data` is base64."""
    content: Content = json.loads("{" + text + "}")
    return content


def drafts_from(body: bytes) -> list[Draft]:
    """Parse the body of a publish request. Raises ApiError."""
    messages = Fields(parse_object(body)).messages("messages")
    if not messages:
        raise invalid("The request contained an empty list of messages.")
    if len(messages) > MAX_MESSAGES:
        raise invalid(
            f"The value for message_count is too large. You passed {len(messages)} in the request, but the maximum "
            f"value is {MAX_MESSAGES}."
        )
    drafts = [_draft(message, f"messages[{n}]") for n, message in enumerate(messages)]
    if sum(len(draft.content) for draft in drafts) > MAX_BYTES * 4 // 3:
        raise invalid(f"Request payload size exceeds the limit: {MAX_BYTES} bytes.")
    return drafts


def draft_of(data: str, attributes: Mapping[str, str], ordering_key: str = "") -> Draft:
    """Return a draft. `data` is verified base64."""
    members: list[str] = []
    if data:
        members.append(f'"data":"{data}"')
    if attributes:
        members.append(f'"attributes":{jsontext.to_json(dict(attributes))}')
    if ordering_key:
        members.append(f'"orderingKey":{jsontext.to_json(ordering_key)}')
    return Draft(",".join(members), attributes)


def _draft(message: jsontext.Json, path: str) -> Draft:
    fields = Fields(message, path)
    data = _base64(fields.text("data"), fields.path("data"))
    attributes = fields.texts("attributes")
    _verify_attributes(attributes)
    if not data and not attributes:
        raise invalid("One or more messages in the publish request is empty. Each has data or at least one attribute.")
    return draft_of(data, attributes, fields.text("orderingKey"))


def _base64(text: str, path: str) -> str:
    """Return standard base64 with padding; protobuf's JSON mapping accepts the URL-safe kind and no padding too."""
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        text = text.replace("-", "+").replace("_", "/")
        text += "=" * (-len(text) % 4)
        try:
            binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:
            raise invalid(f"Invalid value at '{path}': base64 is expected.") from error
    return text


def _verify_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise invalid(f"A message has more than {MAX_ATTRIBUTES} attributes.")
    for key, value in attributes.items():
        if not key or _is_longer(key, MAX_KEY_BYTES) or key.startswith("goog"):
            raise invalid(f"An attribute key is empty, over {MAX_KEY_BYTES} bytes or begins with 'goog'.")
        if _is_longer(value, MAX_VALUE_BYTES):
            raise invalid(f"An attribute value is over {MAX_VALUE_BYTES} bytes.")


def _is_longer(text: str, most_bytes: int) -> bool:
    """Return whether the text has more bytes; a character has at most four."""
    return len(text) * 4 > most_bytes and len(text.encode()) > most_bytes


def push_body(message: Message, subscription: str, attempt: int | None) -> bytes:
    """Return a push's body. It has both spellings of the id and the time, as Google's.

    `subscription` is a verified name, in which nothing needs to be escaped. `attempt` is None without a dead-letter
    policy.
    """
    attempt_text = "" if attempt is None else f'"deliveryAttempt":{attempt},'
    published = times.rfc3339(message.published_at)
    text = (
        f'{{{attempt_text}"message":{{{message.content},"messageId":"{message.id}","message_id":"{message.id}",'
        f'"publishTime":"{published}","publish_time":"{published}"}},"subscription":"{subscription}"}}'
    )
    return text.encode()


def received_message(message: Message, ack_id: str, attempt: int | None) -> str:
    """Return one entry of a pull's `receivedMessages`, as JSON text."""
    attempt_text = "" if attempt is None else f',"deliveryAttempt":{attempt}'
    return (
        f'{{"ackId":"{ack_id}","message":{{{message.content},"messageId":"{message.id}",'
        f'"publishTime":"{times.rfc3339(message.published_at)}"}}{attempt_text}}}'
    )


def dead_letter(message: Message, subscription: str, attempts: int) -> Draft:
    """Return the message for the dead-letter topic: the same data and attributes, with its origin and attempts.

    Its delay is over, so it has none, even if the clock was set back since.
    """
    content = content_of(message.content)
    _, project, _, name = subscription.split("/")
    source = {
        "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
        "CloudPubSubDeadLetterSourceSubscription": name,
        "CloudPubSubDeadLetterSourceSubscriptionProject": project,
        "CloudPubSubDeadLetterSourceTopicPublishTime": times.rfc3339(message.published_at).replace("Z", "+00:00"),
    }
    attributes = {**content.get("attributes", {}), **source}
    attributes.pop(DELAY, None)
    return draft_of(content.get("data", ""), attributes, content.get("orderingKey", ""))
