"""Google Chat: a space's webhook, whose URL is the secret.

https://developers.google.com/workspace/chat/quickstart/webhooks
"""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from functions.notify import bounded_texts, chat_messages, destination, http_kind, kind_settings, message_text
from shared.delivery import Delivery, Outcome
from shared.jsontext import JsonObject

DEDUPES_REPEATS: Final = True
"""Google Chat does not create a second message with the same `requestId`."""
MAX_BYTES: Final = 16_000
"""The size of the text. Google Chat accepts 32,000 bytes for the whole message."""
MAX_THREAD_CHARACTERS: Final = 4_000

Mention = Annotated[str, Field(pattern=r"^(all|[0-9]{5,30})$")]


class Settings(chat_messages.MessageSettings):
    """Messages in a Google Chat space, through its webhook.

    secret    the webhook's URL
    mention   whom the message mentions: `all`, or the id of a user
    thread    a template; messages for which it has the same result are in one thread
    to        the person in `people` whom the message mentions: `actor`, an expression or `{person: NAME}`
    """

    person_address: ClassVar[str] = "google_chat"

    mention: Annotated[tuple[Mention, ...], Field(max_length=20)] = ()
    thread: kind_settings.LineTemplate | None = None


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the request of the webhook.

    Raises Permanent if a template cannot be filled, and Temporary if the secret is not the webhook's URL.
    """
    message = settings.message(delivery, attempt.person)
    mentions = "".join([f"<users/{name}> " for name in settings.mentions(attempt)])
    link = f"\n<{message.link}|{message.link_label}>" if message.link else ""
    text_of_event = message_text.without_mentions(message.text)  # the event must mention nobody
    text_with_link = bounded_texts.cut(text_of_event, MAX_BYTES, "bytes", tail=link)
    body: JsonObject = {"text": f"{mentions}{text_with_link}"}
    query = {"requestId": attempt.idempotency_key}
    if settings.thread is not None:
        view = http_kind.template_view(delivery, attempt.person)
        thread_key = http_kind.rendered_line("thread", settings.thread, view)[:MAX_THREAD_CHARACTERS]
        if thread_key:
            body["thread"] = {"threadKey": thread_key}
            query["messageReplyOption"] = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
    webhook = chat_messages.secret_url(settings, secrets, "Google Chat")
    url = chat_messages.with_query(webhook, query)
    return http_kind.json_request(url, body, allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    status = response.status
    if status == 429:
        return chat_messages.rate_limited(response, "Google Chat", response.retry_after_seconds)
    if status in {401, 403, 404} or (status == 400 and b"API_KEY_INVALID" in response.body):
        advice = "the webhook or its space is gone: create a new webhook in the space and set the secret"
        return http_kind.held(response, "Google Chat", advice)
    return http_kind.outcome_by_status(response, "Google Chat", failed={400, 413})
