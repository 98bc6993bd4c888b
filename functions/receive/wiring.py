"""Receive's parts, built once, at first use. Only this module reads the environment."""

import os
import secrets
from collections.abc import Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING

from functions.receive.receive import Receiver
from functions.receive.source import Source, read_sources
from shared.cloud import platform
from shared.slices import settings, slice_or_exit

if TYPE_CHECKING:
    from functions.receive.provider_keys import Keys
    from shared.cloud.aws.queues import Queues
    from shared.fetch import Fetch, Fetched, Outgoing
    from shared.push import VerifyPush


@cache
def receiver() -> Receiver:
    sources = read_sources(slice_or_exit("receive"))
    fetch = _fetch(sources)
    return Receiver(
        sources=sources,
        secrets=platform.secrets(settings(), os.environ),
        bus=platform.bus(settings(), gathers_on_lambda=False),
        blobs=platform.blobs(settings()),
        clock=platform.SystemClock(),
        random_id=lambda: secrets.token_hex(16),
        fetch=fetch,
        keys=_keys(fetch) if fetch else None,
        verify_push=_verify_push(sources),
    )


@cache
def queues() -> "Queues":
    """Return the calls about the messages that Lambda reads from the queues of sources. Raises Temporary."""
    return platform.queues(settings())


def prefix() -> str:
    """Return that of the deployment's own names."""
    return settings().topic_prefix


def _fetch(sources: Mapping[str, Source]) -> "Fetch | None":
    """Return what fetches URLs, where a source's scheme or handshake needs it. Most sources start without."""
    needs_it = any(source.needs_keys or any(each.fetch for each in source.handshakes) for source in sources.values())
    return _LateFetch() if needs_it else None


class _LateFetch:
    """The guarded fetch, imported at the first request to another system: a start need not wait for it."""

    @cached_property
    def _guarded(self) -> "Fetch":
        return platform.fetch()

    async def fetch(self, request: "Outgoing") -> "Fetched":
        return await self._guarded.fetch(request)


def _keys(fetch: "Fetch") -> "Keys":
    from functions.receive.provider_keys import Keys

    return Keys(fetch, platform.SystemClock())


def _verify_push(sources: Mapping[str, Source]) -> "VerifyPush | None":
    """Return what verifies who pushes, where a bus brings a source's messages. Most configurations have no such one."""
    return platform.verify_push(settings()) if any(source.bus for source in sources.values()) else None
