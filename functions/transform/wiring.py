"""Transform's parts, put together once, at first use. The only reader of the environment here."""

import os
from functools import cache
from pathlib import Path

from functions.transform.routes import Route, read_routes
from functions.transform.transformer import Transformer
from shared.cloud import platform
from shared.journaling import Journaling
from shared.logs import log
from shared.settings import Settings, read_settings
from shared.slices import SliceFault, load_or_exit

FOLDER = Path(__file__).parent


@cache
def settings() -> Settings:
    return read_settings(os.environ)


@cache
def routes_or_exit() -> tuple[Route, ...]:
    try:
        return read_routes(load_or_exit(settings(), FOLDER))
    except SliceFault as fault:
        log("CRITICAL", "the configuration does not load", function="transform", detail=fault.detail)
        raise SystemExit(f"transform: {fault.detail}") from fault


@cache
def transformer() -> Transformer:
    return Transformer(
        routes=routes_or_exit(),
        bus=platform.bus(settings()),
        blobs=platform.blobs(settings()),
        journaling=Journaling("transform", platform.journal(settings())),
        clock=platform.SystemClock(),
    )
