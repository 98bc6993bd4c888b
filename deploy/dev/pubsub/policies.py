"""The parts of a subscription that say how messages are delivered: push, retry and dead-letter policies."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from deploy.dev.loopback import is_loopback
from deploy.dev.pubsub.backoff import RetryPolicy
from deploy.dev.pubsub.errors import invalid
from deploy.dev.pubsub.fields import Fields
from deploy.dev.pubsub.names import checked_name
from shared.jsontext import JsonObject

_PUSH: Final = frozenset({"pushEndpoint", "attributes", "oidcToken", "pubsubWrapper", "noWrapper"})


@dataclass(frozen=True, slots=True)
class PushTarget:
    """`wrapped`: the body is the message's JSON; else its bytes, and with `metadata` its attributes as headers.

    `account`: as whom it pushes, with a token made out to `audience`; empty for pushes without a token.
    """

    endpoint: str
    wrapped: bool = True
    metadata: bool = False
    account: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetterPolicy:
    topic: str
    max_attempts: int


def push_target(config: JsonObject | None) -> PushTarget | None:
    """None for a pull subscription."""
    fields = Fields(config or {}, "subscription.push_config", _PUSH)
    fields.texts("attributes")
    endpoint = fields.text("pushEndpoint")
    if not endpoint:
        return None
    _verify_endpoint(endpoint)
    bare = fields.message("noWrapper")
    metadata = bare is not None and Fields(bare, fields.path("noWrapper"), {"writeMetadata"}).flag("writeMetadata")
    token = Fields(
        fields.message("oidcToken") or {}, fields.path("oidcToken"), frozenset({"serviceAccountEmail", "audience"})
    )
    account, audience = token.text("serviceAccountEmail"), token.text("audience") or endpoint
    return PushTarget(endpoint, bare is None, metadata, account, audience if account else "")


def retry_policy(policy: JsonObject | None) -> RetryPolicy | None:
    if policy is None:
        return None
    fields = Fields(policy, "subscription.retry_policy", {"minimumBackoff", "maximumBackoff"})
    defaults = RetryPolicy()
    minimum = fields.seconds("minimumBackoff", defaults.minimum_seconds, 0, 600)
    maximum = fields.seconds("maximumBackoff", defaults.maximum_seconds, 0, 600)
    if minimum > maximum:
        raise invalid("The retry policy's minimum_backoff is over its maximum_backoff.")
    return RetryPolicy(minimum, maximum)


def dead_letter_policy(policy: JsonObject | None) -> DeadLetterPolicy | None:
    if policy is None:
        return None
    fields = Fields(policy, "subscription.dead_letter_policy", {"deadLetterTopic", "maxDeliveryAttempts"})
    attempts = fields.whole("maxDeliveryAttempts") or 5
    if not 5 <= attempts <= 100:
        raise invalid(f"Invalid value at '{fields.path('maxDeliveryAttempts')}': from 5 to 100.")
    return DeadLetterPolicy(checked_name(fields.text("deadLetterTopic"), "topics"), attempts)


def _verify_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        well_formed = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
        well_formed = well_formed and parts.scheme == "http" and parts.port != 0 and is_loopback(parts.hostname or "")
    except ValueError:
        well_formed = False
    if not well_formed:
        raise invalid(
            "Invalid push endpoint given. This emulation pushes to http:// URLs on this machine only "
            "(localhost, 127.0.0.1 or [::1])."
        )
