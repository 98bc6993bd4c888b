"""The states of destinations, such as disabled or paused, as the ledger has them."""

from dataclasses import replace
from typing import Final

from shared.errors import Temporary
from shared.ledger import DestinationState, Ledger
from shared.ports import Clock

CACHE_SECONDS: Final = 10.0
STEP_SECONDS: Final = 1.0
"""A pause that is longer by less than this is no other."""
MAX_KNOWN: Final = 10_000
"""Destinations and endpoints whose states are remembered."""


class DestinationStates:
    """The states of the destinations as the ledger has them, remembered for a while.

    One that is disabled is looked up each time: to hold a delivery by what was known before an operator released the
    destination would hold it for ever.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: dict[str, tuple[DestinationState, float]] = {}

    async def state(self, name: str, *, fresh: bool = False) -> DestinationState:
        """Return the state, which is some seconds old unless it is to be `fresh`. Raises Temporary."""
        known = self._known.get(name)
        now = self._clock.now()
        if known and now < known[1] and known[0].disabled_reason is None and not fresh:
            return known[0]
        state = await self._ledger.destination_state(name)
        self._known[name] = (state, now + CACHE_SECONDS)
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return state

    async def disable(self, name: str, reason: str) -> bool:
        """Disable the destination; return whether the reason is new, so that it is logged once. Raises Temporary."""
        known = self._known.get(name)
        is_news = known is None or known[0].disabled_reason != reason
        now = self._clock.now()
        self._known[name] = (DestinationState(disabled_reason=reason), now)
        await self._ledger.disable(name, reason, now)
        return is_news

    async def pause(self, name: str, seconds: float, reason: str) -> None:
        """Write a pause only if it is longer: many failures come together, and a document takes few writes a second.

        Raises Temporary.
        """
        now = self._clock.now()
        state, until = self._known.get(name, (DestinationState(), 0.0))
        if state.paused_until is not None and now < until and now + seconds < state.paused_until + STEP_SECONDS:
            return
        known = replace(state, paused_until=now + seconds, pause_reason=reason)  # it may be disabled
        self._known[name] = (known, now + CACHE_SECONDS)
        try:
            await self._ledger.pause(name, now + seconds, now, reason)
        except Temporary:  # not recorded yet: the next rejected delivery records it
            self._known.pop(name, None)
            raise
