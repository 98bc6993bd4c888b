"""A message as subscribers receive it: in a push, or in the answer to a pull.

The texts are put together rather than serialized: a message's content is JSON already, and is most of it.
https://cloud.google.com/pubsub/docs/push#receive_push
"""

import base64
import re
from typing import Final

from deploy.dev.pubsub.messages import Message, content_of
from deploy.dev.pubsub.policies import PushTarget
from shared.jsontext import to_json
from shared.times import rfc3339

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")


def push_body(message: Message, subscription: str, attempt: int | None) -> bytes:
    """Both spellings of the id and the time, as Google sends them. `attempt` is None without a dead-letter policy."""
    attempt_text = "" if attempt is None else f'"deliveryAttempt":{attempt},'
    published = rfc3339(message.published_at)
    text = (
        f'{{{attempt_text}"message":{{{message.content},"messageId":"{message.id}","message_id":"{message.id}",'
        f'"publishTime":"{published}","publish_time":"{published}"}},"subscription":{to_json(subscription)}}}'
    )
    return text.encode()


def bare_body(message: Message) -> bytes:
    return base64.b64decode(content_of(message.content).get("data", ""))


def bare_headers(message: Message, subscription: str, target: PushTarget) -> dict[str, str]:
    """Attributes that are no valid headers are left out."""
    if not target.metadata:
        return {}
    content = content_of(message.content)
    headers = {
        "x-goog-pubsub-subscription-name": subscription,
        "x-goog-pubsub-message-id": str(message.id),
        "x-goog-pubsub-publish-time": rfc3339(message.published_at),
    }
    if ordering_key := content.get("orderingKey"):
        headers["x-goog-pubsub-ordering-key"] = ordering_key
    headers.update(content.get("attributes", {}))
    return {k: v for k, v in headers.items() if _HEADER_NAME.fullmatch(k) and _HEADER_VALUE.fullmatch(v)}


def received_message(message: Message, ack_id: str, attempt: int | None) -> str:
    """One entry of a pull's `receivedMessages`, as JSON text."""
    attempt_text = "" if attempt is None else f',"deliveryAttempt":{attempt}'
    return (
        f'{{"ackId":"{ack_id}","message":{{{message.content},"messageId":"{message.id}",'
        f'"publishTime":"{rfc3339(message.published_at)}"}}{attempt_text}}}'
    )
