"""Messages: as they are published, stored, delivered and dead-lettered.

Their texts are concatenated, not serialized: a message's content is JSON already, and is most of it.
https://cloud.google.com/pubsub/docs/push#receive_push
https://cloud.google.com/pubsub/docs/dead-letter-topics
"""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self, TypedDict

from pydantic import AfterValidator, Field, model_validator

from deploy.dev.pubsub.resources import Members, invalid, parse_object, read_members
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


def _base64(text: str) -> str:
    """Return standard base64 with padding; protobuf's JSON mapping accepts the URL-safe kind and no padding too.

    Raises ValueError.
    """
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        text = text.replace("-", "+").replace("_", "/")
        text += "=" * (-len(text) % 4)
        binascii.a2b_base64(text, strict_mode=True)
    return text


def _allowed_attributes(attributes: dict[str, str]) -> dict[str, str]:
    """Return the attributes. Raises ValueError."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"must have at most {MAX_ATTRIBUTES} attributes")
    for key, value in attributes.items():
        if not key or _is_longer(key, MAX_KEY_BYTES) or key.startswith("goog"):
            raise ValueError(f"must have no key that is empty, over {MAX_KEY_BYTES} bytes or begins with 'goog'")
        if _is_longer(value, MAX_VALUE_BYTES):
            raise ValueError(f"must have no value over {MAX_VALUE_BYTES} bytes")
    return attributes


def _is_longer(text: str, most_bytes: int) -> bool:
    """Return whether the text has more bytes; a character has at most four."""
    return len(text) * 4 > most_bytes and len(text.encode()) > most_bytes


class _PublishedMessage(Members):
    data: Annotated[str, AfterValidator(_base64)] = ""
    attributes: Annotated[dict[str, str], AfterValidator(_allowed_attributes)] = Field(default_factory=dict)
    ordering_key: Annotated[str, Field(alias="orderingKey")] = ""

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if not self.data and not self.attributes:
            raise ValueError("must have data or at least one attribute")
        return self


class _Publish(Members):
    messages: Annotated[list[_PublishedMessage], Field(min_length=1, max_length=MAX_MESSAGES)]


def drafts_from(body: bytes) -> list[Draft]:
    """Parse the body of a publish request. Raises ApiError."""
    published = read_members(_Publish, parse_object(body)).messages
    drafts = [draft_of(each.data, each.attributes, each.ordering_key) for each in published]
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
