"""Google Cloud's entry point of receive."""

import gc
import os
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "shared").is_dir())
sys.path.insert(0, str(ROOT))
# Imported modules are never freed, and collecting garbage while they load takes 10 ms of the start.
gc.disable()

from functions_framework import aio  # noqa: E402 the folder that holds `shared` comes first
from starlette.requests import Request as WebRequest  # noqa: E402

from functions.receive import entry, wiring  # noqa: E402
from shared.cloud.gcp.serving import Application  # noqa: E402

application = Application(lambda head, read_body: entry.answer(wiring.receiver(), head, read_body))

if __name__ == "main":  # loaded to serve, not imported
    # Otherwise the server, which is imported below, would trust the X-Forwarded-For of any client on this machine. The
    # `trusted_proxies` of each source decide which proxies are trusted.
    os.environ["FORWARDED_ALLOW_IPS"] = ""
    # Built here, once for all processes of the server.
    wiring.receiver()
    from shared.cloud.gcp import http_server

    http_server.install("receive", application)

gc.freeze()
gc.enable()


@aio.http
async def receive(_: WebRequest) -> Application:
    return application
