"""Names of tenants and endpoints, and the name by which the ledger knows an endpoint.

An endpoint is a destination of its own: `customers:acme:ep_…` is the endpoint `ep_…` of the tenant `acme` at the
configured destination `customers`. So attempts, pauses, caps and retries of one endpoint never affect another.
"""

import re
from typing import Final, NamedTuple

TENANT_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
"""A tenant's id is the operator's own."""
ENDPOINT_PATTERN: Final = r"ep_[0-9a-z]{20}"
TYPE_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
"""The name of an event type, such as `order.paid`."""
SEPARATOR: Final = ":"
"""No name of a destination, tenant or endpoint has it."""
SUBSCRIBERS_SOURCE: Final = "/subscribers/hookchain"
"""The source of operational events, such as `endpoint.disabled`, and of test events. No sender's event has it."""
ENDPOINT_CHANGED: Final = "endpoint_changed"
"""The attribute of a delivery's message with the time at which the endpoint was last changed, in milliseconds."""

_ENDPOINT: Final = re.compile(ENDPOINT_PATTERN)


class EndpointName(NamedTuple):
    """The name of an endpoint as a destination. Its text is `str(name)`."""

    destination: str
    tenant: str
    endpoint: str

    def __str__(self) -> str:
        return SEPARATOR.join(self)


def endpoint_name(destination: str) -> EndpointName | None:
    """Return the parts of an endpoint's name; None for the name of a configured destination."""
    parts = destination.split(SEPARATOR)
    return EndpointName(*parts) if len(parts) == 3 and _ENDPOINT.fullmatch(parts[2]) else None
