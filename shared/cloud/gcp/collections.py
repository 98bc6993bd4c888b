"""The collections of a bundle's Firestore database, and what a deployment has to set up for their fields.

Every query filters and sorts by a single field, so the single-field indexes that Firestore keeps by itself are enough.
"""

from collections.abc import Mapping
from typing import Final

LEDGER: Final = "ledger"
DESTINATIONS: Final = "destinations"
OWNERS: Final = "owners"
GRANTS: Final = "grants"
"""Has grants and all other records."""
DOCUMENTS: Final = "documents"
"""Has the documents of subscribers."""
EVENTS: Final = "events"
BODIES: Final = "bodies"
DEAD_LETTERS: Final = "dead-letters"

RECORD_TEXT: Final = "bucket"
"""The field of GRANTS that has a record's text, called so since there were grants only."""
DOCUMENT_TEXT: Final = "text"
DOCUMENT_MARK: Final = "mark"
"""The field by which a write of DOCUMENTS knows its own."""
EXPIRE_AT: Final = "expire_at"
EXPIRING: Final = (LEDGER, OWNERS, GRANTS, DOCUMENTS, EVENTS, BODIES, DEAD_LETTERS)
"""Whose documents go once EXPIRE_AT has passed, where it is a timestamp: each needs a TTL policy."""

# Exempted: what is large and no query asks for, because two index entries a field make a write slower and its document
# dearer; and times, because an index of values that only grow takes 500 writes a second.
# https://firebase.google.com/docs/firestore/best-practices#indexes
UNINDEXED: Final[Mapping[str, tuple[str, ...]]] = {
    LEDGER: ("row", "message", "attempts", EXPIRE_AT),
    DESTINATIONS: (),
    OWNERS: ("since", EXPIRE_AT),
    GRANTS: (RECORD_TEXT, EXPIRE_AT),
    DOCUMENTS: (DOCUMENT_TEXT, DOCUMENT_MARK, EXPIRE_AT),
    EVENTS: ("entry", "document", EXPIRE_AT),
    BODIES: ("document", EXPIRE_AT),
    DEAD_LETTERS: ("entry", "message", EXPIRE_AT),
}
