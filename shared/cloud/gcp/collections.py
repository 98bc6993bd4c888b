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

# What is large and no query asks for, exempted: two index entries a field make a write slower and its document dearer.
# Each exemption is a change that a deployment waits its turn for, so small fields are left as they are.
UNINDEXED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        LEDGER: ("row", "message"),
        DESTINATIONS: (),
        OWNERS: (),
        EVENTS: ("entry",),
        BODIES: ("document",),
        ATTEMPTS: ("entry",),
        DEAD_LETTERS: ("entry", "message"),
    }
)
