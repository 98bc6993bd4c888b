"""The record of a group: the number of its digests so far, and the contents of the last one.

Writing a digest into the record freezes its contents and members. A worker that publishes or merges it again, because
another one died, finds the same contents and members here. The text of a record is a line of JSON, and after that line
the digest's message.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared import event, jsontext, retention, store_ports, times
from shared.delivery import REMEMBERED_SECONDS, Delivery, delivery_message

RECORD_SECONDS: Final = REMEMBERED_SECONDS + 15 * retention.DAY_SECONDS
"""How long a record is kept: longer than the ledger's row of its digest."""
FORGOTTEN_SECONDS: Final = REMEMBERED_SECONDS - 5 * retention.DAY_SECONDS
"""The age from which on the ledger may have forgotten that a digest was delivered."""
KEY_BYTES: Final = 32
"""The bytes of a delivery's id, which is a SHA-256 hash."""
FENCE_BYTES: Final = 8
"""The bytes of a fence in a record. A fence is a random number of 53 bits at first, and grows by 1 in each move."""
HASH_CHARACTERS: Final = 16
"""The end of the id of a digest's event, which tells it from the group's other digests."""
HEAD_BYTES: Final = 1_000
"""The most bytes of a record's first line without the members."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A digest whose contents are decided.

    delivery_id   the id of its delivery
    event_id      the id of its event
    message       its delivery as a message
    members       the deliveries that are part of it: for each, its key and the fence of its row when this was frozen
    published_at  when it was frozen, or last published again, in Unix seconds
    is_merged     the members are merged into it; the text of the record no longer lists them
    """

    delivery_id: str
    event_id: str
    message: bytes
    members: Sequence[tuple[str, int]]
    published_at: float
    is_merged: bool = False


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group's record. `number` counts its digests, and `digest` is the last one; None before the first."""

    number: int = 0
    digest: Frozen | None = None

    def with_digest(self, delivery: Delivery, members: Mapping[str, int], now: float) -> "GroupRecord":
        """Return the record with the next digest. `members` has their fences by key."""
        message = delivery_message(delivery, event.event_json(delivery.event), times.rfc3339(now), {}).data
        frozen = Frozen(delivery.id, delivery.event.id, message, tuple(members.items()), now)
        return GroupRecord(self.number + 1, frozen)

    def merged(self, published_at: float) -> "GroupRecord":
        """Return the record after the members of its digest were merged. `published_at` is when it was published."""
        assert self.digest is not None
        return replace(self, digest=replace(self.digest, published_at=published_at, is_merged=True))

    def published_again(self, published_at: float) -> "GroupRecord":
        """Return the record after its digest was published once more at this time."""
        assert self.digest is not None
        return replace(self, digest=replace(self.digest, published_at=published_at))

    @classmethod
    def read(cls, text: str | None) -> "GroupRecord":
        """Return the record that has this text; a new one for None, if the group has no record yet.

        Raises ValueError for a text that is no record. A record has no digest if it has no `published_at`.
        """
        if text is None:
            return cls()
        head_text, _, message = text.partition("\n")
        head = jsontext.from_json(head_text.encode())
        if not isinstance(head, dict) or not isinstance(number := head.get("n"), int):
            raise ValueError("a group's record has no number")
        published_at = head.get("published_at")
        if not isinstance(published_at, int | float):
            return cls(number)
        packed = base64.b64decode(str(head.get("members")))
        size = KEY_BYTES + FENCE_BYTES
        pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
        members = [(piece[:KEY_BYTES].hex(), int.from_bytes(piece[KEY_BYTES:], "big")) for piece in pieces]
        frozen = Frozen(
            delivery_id=str(head.get("delivery")),
            event_id=str(head.get("event")),
            message=message.encode(),
            members=members,
            published_at=float(published_at),
            is_merged=head.get("is_merged") is True,
        )
        return cls(number, frozen)

    def text(self) -> str:
        """Return the text that `read` reads."""
        if self.digest is None:
            return jsontext.texts_json({"n": self.number}).decode()
        digest = self.digest
        packed = b"".join([bytes.fromhex(key) + fence.to_bytes(FENCE_BYTES, "big") for key, fence in digest.members])
        head: jsontext.JsonObject = {
            "n": self.number,
            "delivery": digest.delivery_id,
            "event": digest.event_id,
            "published_at": digest.published_at,
            "is_merged": digest.is_merged,
            "members": "" if digest.is_merged else base64.b64encode(packed).decode(),
        }
        return f"{jsontext.texts_json(head).decode()}\n{digest.message.decode()}"


def record_name(group: str) -> str:
    return f"group:{group}"


def digest_event_id(group: str, hash_of_members: bytes) -> str:
    """Return the id of a digest's event: the group's, and a hash. `group_of_digest` finds the group in it."""
    return f"{group}{hash_of_members.hex()[:HASH_CHARACTERS]}"


def group_of_digest(event_id: str) -> str:
    """Return the group of a digest's event, whose id `digest_event_id` made."""
    return event_id[:-HASH_CHARACTERS]


def max_members(message_bytes: int) -> int:
    """Return how many members a record has room for beside a message of that size."""
    base64_bytes = store_ports.MAX_RECORD_BYTES - HEAD_BYTES - message_bytes
    packed_bytes = base64_bytes * 3 // 4  # base64 has four characters for three bytes
    return max(1, packed_bytes // (KEY_BYTES + FENCE_BYTES))
