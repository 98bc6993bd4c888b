"""The updates of an open page."""

import asyncio
import json
from pathlib import Path

from aiohttp import StreamReader

from deploy.history.local_requests import RequestEntry, write_requests
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.journal import EventEntry
from shared.jsontext import Json, JsonObject
from tests.unit.dev.inspected import NOW, TELL, Inspector, an_event, rows_of


async def test_an_open_page_is_updated_as_events_happen(inspector: Inspector, tmp_path: Path) -> None:
    async with asyncio.timeout(10), inspector.client.get("/api/live") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        first = await next_update(answer.content, "events")
        assert first["ids"] == []
        connection = open_journal(tmp_path / FILE_NAME)
        with transaction(connection):
            write_requests(connection, [RequestEntry(NOW, "POST", 200, "web", event_id="e1", type="signup")])
        connection.close()
        second = await next_update(answer.content, "events")
        assert second["ids"] == ["e1"]
        await inspector.parts.journal.record([EventEntry(an_event(), (TELL,), NOW)])
        third = await next_update(answer.content, "events")
        assert [row["status"] for row in rows_of(third, "events")] == ["delivering"]


async def next_update(stream: StreamReader, name: str) -> JsonObject:
    while line := await stream.readline():
        if line == f"event: {name}\n".encode():
            document: Json = json.loads((await stream.readline()).removeprefix(b"data: "))
            assert isinstance(document, dict)
            return document
    raise EOFError(name)
