"""The inspector's API over a state folder."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from deploy.dev.inspector.app import make_app, open_local_backend
from tests.fakes.bus import FakeBus
from tests.unit.dev.inspected import AUTHORIZED, TOKEN, Inspector


@pytest.fixture
async def inspector(tmp_path: Path) -> AsyncIterator[Inspector]:
    bus = FakeBus()
    async with open_local_backend(tmp_path, {"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}) as opened:
        parts = replace(opened, bus=bus)
        async with TestClient(TestServer(make_app(parts, TOKEN)), headers=AUTHORIZED) as client:
            yield Inspector(client, parts, bus)
