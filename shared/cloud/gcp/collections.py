"""The collections of a bundle's Firestore database, and what a deployment has to set up for their fields.

Every query filters and sorts by a single field, so the single-field indexes that Firestore keeps by itself are enough.
"""

from collections.abc import Mapping
from typing import Final

LEDGER: Final = "ledger"
DESTINATIONS: Final = "destinations"
OWNERS: Final = "owners"
GRANTS: Final = "grants"
"""The collection of grants and all other records."""
DOCUMENTS: Final = "documents"
"""The collection of the documents about subscribers."""
EVENTS: Final = "events"
BODIES: Final = "bodies"
DEAD_LETTERS: Final = "dead-letters"

RECORD_TEXT: Final = "bucket"
"""The field of GRANTS with a record's text. It is named after a grant's bucket, because it was first used for these."""
DOCUMENT_TEXT: Final = "text"
DOCUMENT_MARK: Final = "mark"
"""The field by which a repeated write of DOCUMENTS recognises its own first try."""
EXPIRE_AT: Final = "expire_at"
EXPIRING: Final = (LEDGER, OWNERS, GRANTS, DOCUMENTS, EVENTS, BODIES, DEAD_LETTERS)
"""The collections whose documents expire at EXPIRE_AT. Each needs a TTL policy, and the field must be a timestamp."""

# The fields without an index: large ones that no query uses, because each field's two index entries make a write slower
# and a document dearer; and times, because an index of values that only grow accepts only 500 writes a second.
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
