"""The bounds on the work for senders that flood this process."""

from collections import Counter
from typing import Final

from shared import errors

MAX_TOKENS: Final = 5.0
"""The number of rejections in a row that are explained at once, so that an operator who tries a new sender sees the
cause of each."""
SECONDS_A_TOKEN: Final = 2.0
"""After those, the time from one explained rejection to the next."""


class TokenBucket:
    """A bound on work for requests that are not accepted, which anybody can send at any rate. Each takes a token."""

    def __init__(self) -> None:
        self._left = MAX_TOKENS
        self._counted_at = 0.0

    def take(self, now: float) -> bool:
        """Take a token; return False if none is left."""
        # The difference can be negative if the clock was set back.
        elapsed = max(0.0, now - self._counted_at)
        self._left = min(MAX_TOKENS, self._left + elapsed / SECONDS_A_TOKEN)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


MAX_UNCONFIRMED: Final = 640
"""The most requests of a process that may wait for the bus. A cloud gives an instance fewer at once. On one machine
they add up when more arrives than the machine delivers. With more places, everybody would wait longer behind a flood.
With fewer, a sender that opens many connections at once would be told to send again."""
SHARE_OF_FREE: Final = 4
"""A source may have this many times the places that are still free. So a source alone gets 4/5 of all places."""


class Unconfirmed:
    """Counts the requests whose events the bus has not confirmed yet, by source.

    A source that floods the process fills its share of the places, and is told to send again later; there are places
    left for every other source. shared/outgoing/gate.py explains the rule.

    A request takes no place until its events are published, so requests that are verified at the same time can exceed
    the share: `verify_place` only spares the work for requests that come later.
    """

    def __init__(self) -> None:
        self._free = MAX_UNCONFIRMED
        self._by_source: Counter[str] = Counter()

    def verify_place(self, source_name: str) -> None:
        """Raise Temporary (`queue_full`) if the source has its share of the places."""
        count = self._by_source[source_name]
        if count >= SHARE_OF_FREE * self._free:
            rule = f"{count} requests of this source wait for the bus already: it sends more than is delivered"
            raise errors.Temporary("queue_full", rule)

    def add(self, source_name: str) -> None:
        self._free -= 1
        self._by_source[source_name] += 1

    def remove(self, source_name: str) -> None:
        self._free += 1
        self._by_source[source_name] -= 1
