"""Receive's parts, put together once, at first use. The only reader of the environment here."""

import os
import secrets
from functools import cache
from pathlib import Path

from functions.receive.receive import Receiver
from functions.receive.sources import read_sources
from shared.cloud import platform
from shared.jsontext import JsonObject
from shared.settings import Settings, read_settings
from shared.slices import load_or_exit

FOLDER = Path(__file__).parent


@cache
def settings() -> Settings:
    return read_settings(os.environ)


@cache
def slice_or_exit() -> JsonObject:
    return load_or_exit(settings(), FOLDER)


@cache
def receiver() -> Receiver:
    return Receiver(
        sources=read_sources(slice_or_exit()),
        secrets=platform.secrets(settings(), os.environ),
        bus=platform.bus(settings()),
        blobs=platform.blobs(settings()),
        clock=platform.SystemClock(),
        random_id=lambda: secrets.token_hex(16),
    )
