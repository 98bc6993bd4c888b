"""The collections of a bundle's Firestore database, and what a deployment has to set up for their fields.

Every query filters and sorts by one field, so that the single-field indexes which Firestore keeps by itself are enough.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LEDGER: Final = "ledger"
DESTINATIONS: Final = "destinations"
OWNERS: Final = "owners"
EVENTS: Final = "events"
BODIES: Final = "bodies"
ATTEMPTS: Final = "attempts"
DEAD_LETTERS: Final = "dead-letters"

EXPIRE_AT: Final = "expire_at"
EXPIRING: Final = (LEDGER, OWNERS, EVENTS, BODIES, ATTEMPTS, DEAD_LETTERS)
"""Whose documents go once EXPIRE_AT has passed, where it is a timestamp: each needs a TTL policy."""

COMPOSITE_INDEXES: Final[tuple[str, ...]] = ()
"""None are needed."""

# What no query asks for, exempted: each index entry makes a write slower, and one that only grows makes a hot spot.
UNINDEXED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        LEDGER: ("row", "message", EXPIRE_AT),
        DESTINATIONS: ("disabled_reason", "paused_until"),
        OWNERS: ("event_id", "since", EXPIRE_AT),
        EVENTS: ("entry", "passes", EXPIRE_AT),
        BODIES: ("document", EXPIRE_AT),
        ATTEMPTS: ("entry", EXPIRE_AT),
        DEAD_LETTERS: ("entry", "message", "message_blob", EXPIRE_AT),
    }
)
