"""The settings that kinds of messages share, and what they do with a secret that is a URL or a rate limit."""

from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from functions.notify.http_kind import OutgoingRequest, Response, SecretValues
from functions.notify.kind_settings import TextTemplate
from functions.notify.message_text import Message, compile_link, message_of
from shared.config.values import SecretName
from shared.delivery import Delivery, RetryLater
from shared.errors import Temporary
from shared.jsontext import Json, to_json

MAX_PAUSE_SECONDS: Final = 3_600.0
"""The longest pause of a destination that a service can ask for."""


def _link_template(text: str) -> str:
    compile_link(text)
    return text


LinkTemplate = Annotated[str, AfterValidator(_link_template)]


class MessageSettings(BaseModel):
    """Settings of every kind of messages. Ids may be written as numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    secret: SecretName
    text: TextTemplate | None = None
    link: LinkTemplate | None = None
    link_label: Annotated[str, Field(min_length=1, max_length=75)] = "Open"
    allow_private: bool = False

    def message(self, delivery: Delivery) -> Message:
        """Fill the templates. Raises Permanent."""
        return message_of(delivery, self.text, self.link, self.link_label)


def json_request(url: str, body: Json, allow_private: bool, *headers: tuple[str, str]) -> OutgoingRequest:
    content = to_json(body).encode("utf-8", "replace")
    return OutgoingRequest(
        "POST", url, (("content-type", "application/json"), *headers), content, allow_private=allow_private
    )


def secret_url(settings: MessageSettings, secrets: SecretValues, service: str) -> str:
    """Return the URL that the secret is. Raises Temporary: deliveries wait until the secret is corrected."""
    url = secrets[settings.secret][0].strip()
    allowed = ("https://", "http://") if settings.allow_private else ("https://",)
    if not url.startswith(allowed) or not url.isascii() or len(url.split()) != 1:
        rule = f"secret {settings.secret!r} must be the URL that {service} shows, which begins with https://"
        raise Temporary("secret_unusable", f"{rule}. Set it with `hookchain secrets set {settings.secret}`")
    return url


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}" if parameters else url


def rate_limited(response: Response, service: str, after_seconds: float | None) -> RetryLater:
    """Return the outcome of a rate limit, which is the destination's: no other message need be sent sooner."""
    pause = None if after_seconds is None else min(max(after_seconds, 1.0), MAX_PAUSE_SECONDS)
    reason = f"{service} limits the rate of messages ({response.status})"
    return RetryLater(reason, after_seconds, response.excerpt, pause)
