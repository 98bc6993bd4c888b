"""Deliveries that wait at once in this process, sent as one request by a kind that speaks HTTP.

Nothing waits when idle: the first delivery is sent at once, and what arrives meanwhile goes into the next request.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from functions.notify.destination import Context
from functions.notify.http_engine import HttpDestination, HttpKind
from functions.notify.http_kind import OutgoingRequest, Response, SecretValues
from shared.batching import Batcher
from shared.delivery import Outcome, RetryLater, Unknown
from shared.errors import HookchainError, Permanent, Temporary
from shared.limits import MIB

MAX_WAITING: Final = 10_000
MAX_ANSWER_BYTES: Final = 4 * MIB
"""Of a response, which may name each delivery of a request."""
MIN_SECONDS: Final = 0.5
"""A delivery that has less time left is not sent any more: no answer could come in time."""
TOO_MUCH: Final = frozenset({400, 413})
"""The answers to a request of which one delivery may be the fault of all."""


class BatchKind(HttpKind, Protocol):
    """A kind whose request of one delivery can be joined with others of the same destination."""

    def joined(self, requests: Sequence[OutgoingRequest]) -> OutgoingRequest: ...

    def outcomes(self, response: Response, count: int) -> Sequence[Outcome]:
        """Return the outcome of each delivery of a request, in their order."""
        ...


@dataclass(slots=True)
class _Item:
    request: OutgoingRequest
    deadline: float
    secrets: SecretValues
    is_sent: bool = False


class BatchDestination(HttpDestination):
    """`max_count` deliveries of `max_bytes` together go into a request. `repeats`: how often a request is sent again at
    once that got no answer, where the receiver recognises a repeat for a short time only."""

    def __init__(
        self,
        kind: BatchKind,
        settings: object,
        secret_names: Sequence[str],
        context: Context,
        max_count: int,
        max_bytes: int,
        repeats: int = 0,
    ) -> None:
        super().__init__(kind, settings, secret_names, context, max_response_bytes=MAX_ANSWER_BYTES)
        self._joins = kind
        self._repeats = repeats
        self._batcher: Batcher[_Item, Outcome | HookchainError] = Batcher(
            self._send_all,
            max_batch=max_count,
            max_waiting=MAX_WAITING,
            weigh=lambda item: len(item.request.body),
            max_weight=max_bytes,
        )

    async def _sent(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> Outcome:
        item = _Item(request, deadline, secrets)
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._batcher.submit(item)
        except TimeoutError:
            waited = "the delivery waited for others to be sent, and was not sent"
            return Unknown("no answer came in time") if item.is_sent else RetryLater(waited)
        if isinstance(found, HookchainError):
            raise found
        return found

    async def _send_all(self, items: Sequence[_Item]) -> Sequence[Outcome | HookchainError]:
        now = asyncio.get_running_loop().time()
        in_time = [item for item in items if item.deadline - now >= MIN_SECONDS]
        found = iter(await self._send(in_time) if in_time else ())
        late = RetryLater("the delivery waited for others to be sent, and was not sent")
        return [next(found) if item.deadline - now >= MIN_SECONDS else late for item in items]

    async def _send(self, items: Sequence[_Item]) -> Sequence[Outcome | HookchainError]:
        """Send the items together; where one of them may be the fault of all, each half by itself."""
        deadline = min(item.deadline for item in items)
        if deadline - asyncio.get_running_loop().time() < MIN_SECONDS:  # many halves took the time
            return [RetryLater("the time was over before this delivery was sent without those beside it")] * len(items)
        for item in items:
            item.is_sent = True
        request = self._joins.joined([item.request for item in items])
        try:
            response = await self._exchange_again(request, deadline, items[0].secrets)
        except (Permanent, Temporary) as error:
            return [error] * len(items)
        if not isinstance(response, Response):
            return [response] * len(items)
        if response.status in TOO_MUCH and len(items) > 1:
            for item in items:
                item.is_sent = False  # nothing was accepted
            half = len(items) // 2
            return [*await self._send(items[:half]), *await self._send(items[half:])]
        return self._joins.outcomes(response, len(items))

    async def _exchange_again(
        self, request: OutgoingRequest, deadline: float, secrets: SecretValues
    ) -> Response | RetryLater | Unknown:
        response = await self.exchange(request, deadline, secrets)
        for _ in range(self._repeats):
            if not isinstance(response, Unknown) or deadline - asyncio.get_running_loop().time() < MIN_SECONDS:
                break
            again = await self.exchange(request, deadline, secrets)
            response = response if isinstance(again, RetryLater) else again  # the first may have been accepted
        return response
