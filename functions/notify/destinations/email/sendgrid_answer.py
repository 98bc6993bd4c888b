"""What SendGrid's answer means for a delivery: https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses"""

import json
from collections.abc import Mapping
from typing import Final

from shared.delivery import Delivered, Disabled, Outcome, Refused, RetryLater, Unknown
from shared.jsontext import Json

MAX_ANSWER_CHARACTERS: Final = 500
KEY_PAUSE_SECONDS: Final = 300.0
"""As long as a secret is cached: a new key is not seen sooner."""
SENDER_PAGE: Final = "https://app.sendgrid.com/settings/sender_auth"


def outcome_of(
    status: int, headers: Mapping[str, str], body: bytes, *, sender: str, destination: str, now: float
) -> Outcome:
    """`headers` has names in lower case; `now` is Unix seconds."""
    answer = f"{status} {_words(body)}".strip()[:MAX_ANSWER_CHARACTERS]
    if 200 <= status < 300:
        message_id = headers.get("x-message-id", "")
        return Delivered(f"{status} {message_id}".strip())
    if status == 403 and "verified sender" in answer.lower():
        return Disabled(_verify(sender, destination), answer)
    if status in {401, 403}:
        reason = f"SendGrid refuses the API key ({status}): see that the secret sendgrid-api-key may send mail"
        return RetryLater(reason, answer=answer, pause_destination_seconds=KEY_PAUSE_SECONDS)
    if status == 504:  # a gateway's own timeout: what is behind it may have accepted the mail
        return Unknown(f"SendGrid answered {status}", answer)
    if status == 429 or status >= 500 or status == 408:
        return RetryLater(f"SendGrid answered {status}", _after_seconds(headers, now), answer)
    if status == 413:
        return Refused("size", "the mail is larger than SendGrid takes", answer)
    return Refused("sendgrid", f"SendGrid refuses the mail ({status})", answer)


def _verify(sender: str, destination: str) -> str:
    return (
        f"SendGrid sends nothing from {sender} until you show that it is yours: verify that address, or its domain, "
        f"under Settings → Sender Authentication ({SENDER_PAGE}), then run `hookchain release {destination}`"
    )


def _after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """`Retry-After` in seconds, else `X-RateLimit-Reset`, a Unix time."""
    for name, zero in (("retry-after", 0.0), ("x-ratelimit-reset", now)):
        text = headers.get(name, "")
        if text.isdecimal() and len(text) <= 12:
            return max(0.0, float(text) - zero)
    return None


def _words(body: bytes) -> str:
    """SendGrid's own words, each error with its field; else the body's first characters."""
    try:
        document: Json = json.loads(body)
    except (ValueError, RecursionError):
        return _printable(body.decode("utf-8", "replace"))
    errors = document.get("errors") if isinstance(document, dict) else None
    words = [_error(error) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return _printable("; ".join(words) or body.decode("utf-8", "replace"))


def _error(error: dict[str, Json]) -> str:
    field = error.get("field")
    return f"{field}: {error.get('message')}" if field else str(error.get("message"))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_ANSWER_CHARACTERS]).strip()
