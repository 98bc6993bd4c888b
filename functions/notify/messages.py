"""Functions and settings that the kinds of messages share: the message, a secret that is a URL, a rate limit."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final
from urllib.parse import urlencode

from pydantic import AfterValidator, ConfigDict, Field

from functions.notify.destination import Attempt
from functions.notify.http_kind import Response, SecretValues, unusable_secret
from functions.notify.kind_settings import KindSettings, TextTemplate
from functions.notify.message_text import Message, compile_link, message_of
from functions.notify.to_person import ToPerson
from shared.config.rules import SecretName
from shared.delivery import Delivery, RetryLater

MAX_PAUSE_SECONDS: Final = 3_600.0
"""The longest pause of a destination that a service can ask for."""


def _link_template(text: str) -> str:
    compile_link(text)
    return text


LinkTemplate = Annotated[str, AfterValidator(_link_template)]


class MessageSettings(KindSettings):
    """Settings of every kind of messages. Ids may be written as numbers.

    text           a template; without it, the message tells of the event
    link           a template for the URL below the text
    link_label     the text of the link
    allow_private  allow a server at a private address, and plain http
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)
    digests: ClassVar[bool] = True

    secret: SecretName
    text: TextTemplate | None = None
    link: LinkTemplate | None = None
    link_label: Annotated[str, Field(min_length=1, max_length=75)] = "Open"
    allow_private: bool = False

    to: ToPerson | None = None

    def message(self, delivery: Delivery, attempt: Attempt) -> Message:
        """Fill the templates. Raises Permanent."""
        return message_of(delivery, self.text, self.link, self.link_label, attempt.person)

    def mentions(self, attempt: Attempt) -> tuple[str, ...]:
        """Return whom the message calls: the delivery's person, then those that `mention` names."""
        named: tuple[str, ...] = getattr(self, "mention", ())
        id_ = attempt.person.address(self.person_address) if attempt.person else None
        return named if id_ is None else (id_, *[name for name in named if name != id_])


def secret_url(settings: MessageSettings, secrets: SecretValues, service: str) -> str:
    """Return the URL that the secret is. Raises Temporary: deliveries wait until the secret is corrected."""
    url = secrets[settings.secret][0].strip()
    allowed = ("https://", "http://") if settings.allow_private else ("https://",)
    if not url.startswith(allowed) or not url.isascii() or len(url.split()) != 1 or "#" in url:
        raise unusable_secret(settings.secret, f"must be the URL that {service} shows, which begins with https://")
    return url


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}" if parameters else url


def rate_limited(response: Response, service: str, after_seconds: float | None) -> RetryLater:
    """Return the outcome of a rate limit, which is the destination's: no other message need be sent sooner."""
    pause = None if after_seconds is None else min(max(after_seconds, 1.0), MAX_PAUSE_SECONDS)
    reason = f"{service} limits the rate of messages ({response.status})"
    return RetryLater(reason, after_seconds, response.excerpt, pause)
