"""The fault in an endpoint's document: why its filter failed for an event, until it works again."""

from typing import Final

from functions.notify.subscribers.cache import TimedCache
from functions.notify.subscribers.subscribers import MAX_ENDPOINTS, Subscribers
from shared.errors import Temporary
from shared.logs import log
from shared.subscribers.directory import endpoints_of
from shared.subscribers.model import Endpoint

EVERY_SECONDS: Final = 600.0
"""A filter may fail for each event: its endpoint's document is changed at most so often."""
MAX_CHARACTERS: Final = 600


class FilterFaults:
    def __init__(self, subscribers: Subscribers) -> None:
        self._subscribers = subscribers
        self._noted: TimedCache[str] = TimedCache(subscribers.clock, MAX_ENDPOINTS, EVERY_SECONDS)

    async def note(self, endpoint: Endpoint, fault: str) -> None:
        """Note the fault; an empty one where the filter worked. What cannot be written is logged, and noted later."""
        fault, name = fault[:MAX_CHARACTERS], endpoint.full_name
        if endpoint.filter_fault == fault or self._noted.get(name) is not None:
            return
        self._noted.put(name, fault)

        def decide(before: Endpoint | None) -> Endpoint | None:
            if before is None or before.filter != endpoint.filter:  # the tenant has corrected it
                return None
            return before.model_copy(update={"filter_fault": fault})

        try:
            await self._subscribers.directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, decide)
        except Temporary as error:
            log("WARNING", "fault not noted", function="notify", endpoint=name, code=error.code, detail=error.detail)
