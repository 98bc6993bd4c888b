"""Receive's parts, built once, at first use. Only this module reads the environment."""

import os
import secrets
from functools import cache, cached_property
from typing import TYPE_CHECKING

from functions.receive import receive
from functions.receive.source import read_sources
from shared import logs
from shared.cloud import platform
from shared.settings import TELEMETRY, settings, slice_or_exit

if TYPE_CHECKING:
    from shared.cloud.aws.batches import Queues
    from shared.fetch import Fetch, Fetched, Outgoing


@cache
def receiver() -> receive.Receiver:
    """Return the receiver of this process. Ends the process if there is no configuration."""
    sources = read_sources(slice_or_exit("receive"))
    times_attribute = None
    if TELEMETRY in slice_or_exit("receive"):
        # Imported here, because few deployments export telemetry.
        from shared.telemetry import spans

        times_attribute = spans.received_attribute
        logs.set_ids(spans.ids_of_line)
    return receive.Receiver(
        sources=sources,
        secrets=platform.secrets(settings(), os.environ),
        bus=platform.bus(settings(), batches_on_lambda=False),
        blobs=platform.blobs(settings()),
        clock=platform.SystemClock(),
        random_id=lambda: secrets.token_hex(16),
        fetch=_LateFetch(),
        take_push=_take_push() if sources.has("bus") else None,
        times_attribute=times_attribute,
    )


def _take_push() -> receive.TakePush:
    # Imported here, because few sources are connected to a bus.
    from functions.receive import messages

    return messages.push_taker(platform.verify_push(settings()))


@cache
def queues() -> "Queues":
    """Return the calls about the messages that Lambda reads from the queues of sources. Raises Temporary."""
    return platform.queues(settings())


def prefix() -> str:
    """Return the prefix of the deployment's own names."""
    return settings().topic_prefix


class _LateFetch:
    """The guarded fetch, which is imported at the first request to another system, so that no start waits for it."""

    @cached_property
    def _guarded(self) -> "Fetch":
        return platform.fetch()

    async def fetch(self, request: "Outgoing") -> "Fetched":
        return await self._guarded.fetch(request)
