"""Messages that a pull handed out: each belongs to its subscriber until the ack deadline is over."""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from deploy.dev.pubsub.backlog import Owed
from deploy.dev.pubsub.errors import invalid

_ACK_ID: Final = re.compile(r"\d{1,20}-\d{1,20}")


@dataclass(slots=True)
class _Lease:
    owed: Owed
    until: float


class Leases:
    """Times are seconds of whatever clock the caller uses throughout."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}
        self._ends: list[tuple[float, str]] = []
        self._numbers = count(1)

    def grant(self, owed: Owed, until: float) -> str:
        """The ack id, another one each time a message is handed out."""
        ack_id = f"{owed.message.id}-{next(self._numbers)}"
        self._leases[ack_id] = _Lease(owed, until)
        heapq.heappush(self._ends, (until, ack_id))
        return ack_id

    def release(self, ack_id: str) -> Owed | None:
        """None where the lease is over: the message comes again, as Google allows."""
        lease = self._leases.pop(ack_id, None)
        return lease.owed if lease else None

    def extend(self, ack_id: str, until: float) -> None:
        """A new deadline, later or earlier. Nothing happens where the lease is over."""
        lease = self._leases.get(ack_id)
        if lease:
            lease.until = until
            heapq.heappush(self._ends, (until, ack_id))

    def end(self, now: float) -> list[Owed]:
        """Take back those whose deadline is over."""
        ended: list[Owed] = []
        while self._ends and self._ends[0][0] <= now:
            _, ack_id = heapq.heappop(self._ends)
            lease = self._leases.get(ack_id)
            if lease and lease.until <= now:
                del self._leases[ack_id]
                ended.append(lease.owed)
        return ended

    def next_time(self) -> float | None:
        return self._ends[0][0] if self._ends else None


def checked_ack_ids(ack_ids: Sequence[object]) -> list[str]:
    """Google refuses what cannot be an ack id, and takes those that are merely over."""
    if not ack_ids:
        raise invalid("The request contains no ack_ids.")
    checked = [each for each in ack_ids if isinstance(each, str) and _ACK_ID.fullmatch(each)]
    if len(checked) != len(ack_ids):
        raise invalid("You have passed an invalid ack ID to the service; an ack ID comes from a pull.")
    return checked
