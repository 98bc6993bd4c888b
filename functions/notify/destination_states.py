"""Which destinations take nothing now: asked of the ledger, and remembered for a while."""

from typing import Final

from shared.errors import Temporary
from shared.ledger import DestinationState, Ledger
from shared.ports import Clock

CACHE_SECONDS: Final = 10.0
STEP_SECONDS: Final = 1.0
"""A pause that is longer by less than this is no other."""


class DestinationStates:
    """A destination that is disabled is asked about anew each time: to hold a delivery by what was known before an
    operator released it would hold it for ever."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: dict[str, tuple[DestinationState, float]] = {}

    async def of(self, name: str) -> DestinationState:
        """Raises Temporary."""
        known = self._known.get(name)
        now = self._clock.now()
        if known and now < known[1] and known[0].disabled_reason is None:
            return known[0]
        state = await self._ledger.destination_state(name)
        self._known[name] = (state, now + CACHE_SECONDS)
        return state

    async def disable(self, name: str, reason: str) -> bool:
        """True where that is news, for which one line in the log is enough. Raises Temporary."""
        known = self._known.get(name)
        is_news = known is None or known[0].disabled_reason != reason
        now = self._clock.now()
        self._known[name] = (DestinationState(disabled_reason=reason), now)
        await self._ledger.disable(name, reason, now)
        return is_news

    async def pause(self, name: str, seconds: float) -> None:
        """Raises Temporary. All that are refused together say the same, and one document takes few writes a second."""
        now = self._clock.now()
        state, until = self._known.get(name, (DestinationState(), 0.0))
        if state.paused_until is not None and now < until and now + seconds < state.paused_until + STEP_SECONDS:
            return
        self._known[name] = (DestinationState(paused_until=now + seconds), now + CACHE_SECONDS)
        try:
            await self._ledger.pause(name, now + seconds, now)
        except Temporary:  # nobody else knows of it yet: the next that is refused writes it
            self._known.pop(name, None)
            raise
