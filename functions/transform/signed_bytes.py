"""Of several events whose signed bytes are the same, the one that counts: the first, however often it comes.

Whoever has seen a signed request can send it again with other headers. Its event has the same id then, but an event
type or a delivery id from a header could lead it along another route.
"""

import hashlib
from typing import Final

from shared.event import Event
from shared.jsontext import canonical
from shared.ports import Owners
from shared.times import unix_seconds

REMEMBERED_SECONDS: Final = 45 * 86_400.0
"""As long as the ledger knows a delivery."""


async def first_with_signed_bytes(event: Event, owners: Owners) -> str | None:
    """The id of another event that came first with this one's signed bytes; None where this one did, or where all of
    an event is signed. Raises Temporary."""
    if event.signedas is None:
        return None
    signed, _, rest = event.signedas.partition(".")
    key = hashlib.sha256(canonical(["signed bytes", event.source, signed])).hexdigest()
    own = f"{event.id}.{rest}"
    owner = await owners.owner(key, own, unix_seconds(event.receivedat), REMEMBERED_SECONDS)
    return None if owner == own else owner.partition(".")[0]
