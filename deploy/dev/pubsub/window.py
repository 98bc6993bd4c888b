"""How many pushes one subscription may have under way, and when it must stop for a while.

Google's push flow control in small: it opens with each acknowledgement and closes by half when pushes fail; when
nothing but failures come back, delivery pauses, so that a dead endpoint does not use up every message's attempts.
https://cloud.google.com/pubsub/docs/push#push_backoff
"""

from typing import Final

FIRST_LIMIT: Final = 32
LEAST_LIMIT: Final = 4
MOST_LIMIT: Final = 100
FAILURES_BEFORE_PAUSE: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.1  # Google's
LONGEST_PAUSE_SECONDS: Final = 2.0  # Google's is 60; here a person waits for the restarted function


class Window:
    def __init__(self) -> None:
        self.limit: int = FIRST_LIMIT
        self._failures_in_a_row = 0
        self._paused_until = 0.0

    def succeeded(self) -> None:
        self._failures_in_a_row = 0
        self._paused_until = 0.0
        self.limit = min(MOST_LIMIT, self.limit + 1)

    def failed(self, now: float) -> None:
        if now < self._paused_until:
            return  # it was under way when the pause began, and says nothing new
        self._failures_in_a_row += 1
        self.limit = max(LEAST_LIMIT, self.limit // 2)
        beyond = self._failures_in_a_row - FAILURES_BEFORE_PAUSE
        if beyond >= 0:
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(beyond, 10))
            self._paused_until = now + pause

    def opens_at(self, under_way: int, now: float) -> float | None:
        """Now, or when the pause is over; None while there is no room: a push that ends will ask again."""
        if under_way >= self.limit:
            return None
        return max(now, self._paused_until)
