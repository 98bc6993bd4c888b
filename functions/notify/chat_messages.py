"""Chat messages: the settings that all kinds of chats share, and the message for a delivery."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, NamedTuple
from urllib.parse import urlencode

from pydantic import ConfigDict, Field

from functions.notify import destination, http_kind, kind_settings, message_text
from functions.notify.recipients.to_person import ToPerson
from shared.config.rules import SecretName
from shared.delivery import Delivery, RetryLater

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person

MAX_PAUSE_SECONDS: Final = 3_600.0
"""The longest pause of a destination that a service can ask for."""


class Message(NamedTuple):
    """The content of a message. `link` is a URL without spaces, quotes, `<`, `>` and `|`; None if there is no link."""

    text: str
    link: str | None
    link_label: str


class MessageSettings(kind_settings.KindSettings):
    """Settings of every kind of messages. Ids may be written as numbers.

    text           a template; without it, the message describes the event
    link           a template for the URL below the text
    link_label     the text of the link
    allow_private  allow a server at a private address, and plain http
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)
    digests: ClassVar[bool] = True

    secret: SecretName
    text: kind_settings.TextTemplate | None = None
    link: kind_settings.LinkTemplate | None = None
    link_label: Annotated[str, Field(min_length=1, max_length=75)] = "Open"
    allow_private: bool = False

    to: ToPerson | None = None

    def message(self, delivery: Delivery, person: "Person | None" = None) -> Message:
        """Return the message for the delivery, by the templates `text` and `link`. If the text is missing or empty, the
        message describes the event.

        The text may still contain mentions, which the kind must make inert. Raises Permanent.
        """
        if digest := http_kind.digest_words(delivery):
            _, digest_text = digest
            return Message(digest_text, None, self.link_label)
        view = http_kind.template_view(delivery, person)
        own_text = _text_template(self.text).render(view) if self.text is not None else ""
        text = own_text or message_text.default_text(delivery.event)
        link = message_text.link_url(self.link, view) if self.link else None
        return Message(text, link, self.link_label)

    def mentions(self, attempt: destination.Attempt) -> tuple[str, ...]:
        """Return whom the message mentions: the delivery's recipient, then those that `mention` names, each once."""
        mentioned_ids: tuple[str, ...] = getattr(self, "mention", ())  # not every kind has this setting
        recipient_id = attempt.person.address(self.person_address) if attempt.person else None
        if recipient_id is None:
            return mentioned_ids
        return (recipient_id, *[name for name in mentioned_ids if name != recipient_id])


# Settings are plain values, so that the templates in them are compiled at their first use.
_text_template = lru_cache(maxsize=1_000)(message_text.MessageTemplate)


def secret_url(settings: MessageSettings, secrets: http_kind.SecretValues, service: str) -> str:
    """Return the newest value of the secret, which must be a URL.

    Raises Temporary if it is not, so that deliveries wait until the secret is corrected.
    """
    url = secrets[settings.secret][0].strip()
    allowed = ("https://", "http://") if settings.allow_private else ("https://",)
    if not url.startswith(allowed) or not url.isascii() or len(url.split()) != 1 or "#" in url:
        raise http_kind.unusable_secret(
            settings.secret, f"must be the URL that {service} shows, which begins with https://"
        )
    return url


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    if not parameters:
        return url
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}{urlencode(parameters)}"


def rate_limited(response: http_kind.Response, service: str, after_seconds: float | None) -> RetryLater:
    """Return the outcome for a rate limit. It applies to all messages, so the whole destination is paused."""
    pause = None if after_seconds is None else min(max(after_seconds, 1.0), MAX_PAUSE_SECONDS)
    reason = f"{service} limits the rate of messages ({response.status})"
    return RetryLater(reason, after_seconds, response.excerpt, pause)
