"""Google Cloud's entry point of transform."""

import gc
import os
import sys
from pathlib import Path

# No plugins of pydantic are used, and looking for them takes 15 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "shared").is_dir())
sys.path.insert(0, str(ROOT))
# Imported modules are never freed, and collecting garbage while they load takes 10 ms of the start.
gc.disable()

from functions_framework import aio  # noqa: E402 the folder that holds `shared` comes first
from starlette.requests import Request as WebRequest  # noqa: E402

from functions.transform import entry, wiring  # noqa: E402
from shared.cloud.gcp.serving import Application  # noqa: E402

application = Application(lambda head, read_body: entry.answer(wiring.service(), head, read_body))

if __name__ == "main":  # loaded to serve, not imported
    wiring.program_or_exit()
    application.exporter = wiring.exporter()
    from shared.cloud.gcp import http_server

    http_server.install("transform", application)

gc.freeze()
gc.enable()


@aio.http
async def transform(_: WebRequest) -> Application:
    return application
