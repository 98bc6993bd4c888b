"""Subscribe's parts, built once, at first use. Only this module reads the environment."""

import os
import secrets
from functools import cache

from functions.subscribe.service import Keyring, RequestRate, Service
from functions.subscribe.settings import SubscribeSettings, read_settings
from shared.cloud import platform
from shared.fetch import Fetch
from shared.settings import exit_at_fault, settings, slice_or_exit
from shared.subscribers.directory import Directory


@cache
def settings_or_exit() -> SubscribeSettings:
    """Return the settings of the slice. End the process if it cannot be read."""
    with exit_at_fault("subscribe"):
        return read_settings(slice_or_exit("subscribe"))


@cache
def service() -> Service:
    """Return the parts that handlers need. Raises Temporary if one cannot be made; the next call tries again."""
    return Service(
        settings=settings_or_exit(),
        directory=Directory(platform.documents(settings())),
        keyring=Keyring(platform.secrets(settings(), os.environ)),
        ledger=platform.ledger(settings()),
        bus=platform.bus(settings(), batches_on_lambda=False),
        blobs=platform.blobs(settings()),
        fetch=fetch,
        clock=platform.SystemClock(),
        random_bytes=secrets.token_bytes,
        request_rate=RequestRate(lambda: platform.grants(settings()), platform.SystemClock()),
    )


@cache
def fetch() -> Fetch:
    """Return the guarded fetch, which only the verification of an endpoint needs."""
    return platform.fetch()
