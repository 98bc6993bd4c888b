"""Receive's parts, built once, at first use. Only this module reads the environment."""

import os
import secrets
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from functions.receive.receive import Receiver
from functions.receive.source import Source, read_sources
from shared.cloud import platform
from shared.ports import Fetch
from shared.slices import settings, slice_or_exit

if TYPE_CHECKING:
    from functions.receive.keys import Keys


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
    )


def _fetch(sources: Mapping[str, Source]) -> Fetch | None:
    """Return what fetches URLs, where a source's scheme or handshake needs it. Most sources start without."""
    if not any(source.needs_keys or any(each.fetch for each in source.handshakes) for source in sources.values()):
        return None
    from shared.outgoing.fetch import GuardedFetch

    return GuardedFetch()


def _keys(fetch: Fetch) -> "Keys":
    from functions.receive.keys import Keys

    return Keys(fetch, platform.SystemClock())
