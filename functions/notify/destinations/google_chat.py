"""Google Chat: a space's webhook, whose URL is the secret.

https://developers.google.com/workspace/chat/quickstart/webhooks
"""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from functions.notify import bounded_texts, chat_messages, destination, http_kind, kind_settings, message_text
from shared.delivery import Delivery, Outcome
from shared.jsontext import JsonObject

DEDUPES_REPEATS: Final = True
"""A message whose `requestId` exists is not created again."""
MAX_BYTES: Final = 16_000
"""Google takes 32,000 of the whole message."""
MAX_THREAD_CHARACTERS: Final = 4_000

Mention = Annotated[str, Field(pattern=r"^(all|[0-9]{5,30})$")]


class Settings(chat_messages.MessageSettings):
    """Messages in a Google Chat space, through its webhook.

    secret    the webhook's URL
    mention   whom the message mentions: `all`, or the id of a user
    thread    a template; messages with the same text here are one thread
    to        the person in `people` whom the message mentions: `actor`, an expression or `{person: NAME}`
    """

    person_address: ClassVar[str] = "google_chat"

    mention: Annotated[tuple[Mention, ...], Field(max_length=20)] = ()
    thread: kind_settings.LineTemplate | None = None


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Raises Permanent, and Temporary for a secret that is no URL."""
    message = settings.message(delivery, attempt.person)
    called = "".join([f"<users/{name}> " for name in settings.mentions(attempt)])
    link = f"\n<{message.link}|{message.link_label}>" if message.link else ""
    body: JsonObject = {
        "text": called + bounded_texts.cut(message_text.without_mentions(message.text), MAX_BYTES, "bytes", link)
    }
    query = {"requestId": attempt.idempotency_key}
    if settings.thread is not None:
        thread = http_kind.rendered_line("thread", settings.thread, http_kind.template_view(delivery, attempt.person))[
            :MAX_THREAD_CHARACTERS
        ]
        if thread:
            body["thread"] = {"threadKey": thread}
            query["messageReplyOption"] = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
    url = chat_messages.with_query(chat_messages.secret_url(settings, secrets, "Google Chat"), query)
    return http_kind.json_request(url, body, allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    status = response.status
    if status == 429:
        return chat_messages.rate_limited(response, "Google Chat", response.retry_after_seconds)
    if status in {401, 403, 404} or (status == 400 and b"API_KEY_INVALID" in response.body):
        advice = "the webhook or its space is gone: create a new webhook in the space and set the secret"
        return http_kind.held(response, "Google Chat", advice)
    return http_kind.outcome_by_status(response, "Google Chat", failed={400, 413})
