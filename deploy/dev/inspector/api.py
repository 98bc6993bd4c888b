"""The common part of the page's JSON interface: queries and bodies parsed, answers and errors written."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.dev.caught import Caught, Mailbox
from deploy.history import journal_view, local_journal
from deploy.history.state import ConfiguredDestinations, configured_destinations
from shared import errors, ports, store_ports, times
from shared.cloud.local.journal import LocalJournal
from shared.jsontext import Json, JsonObject, to_json
from shared.ledger import Ledger

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Backend:
    """The ports on any platform.

    `reader` is used in `thread` only. `documents` are the documents of subscribers. `tick_seconds`: how often a page
    gets updates. `read_slice` returns the slice of the function with that name; None if it is not known.
    """

    reader: journal_view.JournalView
    ledger: Ledger
    blobs: ports.Blobs
    bus: ports.Bus
    documents: store_ports.Documents
    thread: ThreadPoolExecutor
    tick_seconds: float
    read_slice: Callable[[str], JsonObject | None]

    def destinations(self) -> ConfiguredDestinations:
        """Return the destinations of the configuration; none if it is not known."""
        return configured_destinations(self.read_slice("notify"))

    async def read(self, call: Callable[[], Answer]) -> Answer:
        """Return what `call` returns in `thread`."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, call)


@dataclass(frozen=True, slots=True)
class DevBackend(Backend):
    """The backend beside `hookchain dev`. `caught` too is used in `thread` only; `apis_url`: the emulated cloud."""

    state: Path
    caught: Caught
    apis_url: str

    @property
    def mailbox(self) -> Mailbox:
        return self.caught.mailbox


@dataclass(frozen=True, slots=True)
class LocalBackend(DevBackend):
    """The backend over the state folder."""

    reader: local_journal.JournalReader
    journal: LocalJournal


BACKEND: Final = web.AppKey("backend", Backend)
LOCAL: Final = web.AppKey("local", DevBackend)
"""Present only beside `hookchain dev`."""


DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
MAX_BODY_BYTES: Final = 65_536


def json_answer(document: JsonObject) -> web.Response:
    return web.Response(body=to_json(document).encode(), content_type="application/json")


def bad_request(reason: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=reason + "\n")


def not_found(reason: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=reason + "\n")


@web.middleware
async def errors_as_text(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except errors.Temporary as error:
        raise web.HTTPServiceUnavailable(text=error.detail + "\n") from error
    except errors.Permanent as error:
        raise web.HTTPConflict(text=error.detail + "\n") from error


async def json_body(request: web.Request) -> JsonObject:
    """Raises HTTPBadRequest, as all that parse a request do."""
    try:
        document: Json = json.loads(await request.read() or b"{}")
        to_json(document).encode()  # a lone surrogate is in no file of the state folder, and cannot be looked up
    except (ValueError, RecursionError) as error:
        raise bad_request("The body must be JSON.") from error
    if not isinstance(document, dict):
        raise bad_request("The body must be a JSON object.")
    return document


def limit_of(query: Mapping[str, str]) -> int:
    limit = _integer(query, "limit")
    if limit is None:
        return DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise bad_request(f"limit: must be a whole number from 1 to {MAX_LIMIT}; got {limit}.")
    return limit


def before_of(query: Mapping[str, str]) -> int | None:
    return _integer(query, "before")


def event_query(query: Mapping[str, str]) -> journal_view.EventQuery:
    status = query.get("status") or None
    if status is not None and status not in journal_view.STATUSES:
        raise bad_request(f"status: must be one of {', '.join(journal_view.STATUSES)}; got {status!r}.")
    return journal_view.EventQuery(
        source=query.get("source") or None,
        type=query.get("type") or None,
        status=status,
        text=query.get("text", ""),
        since=_time(query, "since"),
        until=_time(query, "until"),
        limit=limit_of(query),
        before=before_of(query),
    )


def _time(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return times.unix_seconds(text)
    except ValueError as error:
        raise bad_request(f"{name}: must be a time such as 2026-03-01T12:00:00Z; got {text!r}.") from error


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise bad_request(f"{name}: must be a whole number; got {text!r}.")
    return int(text)
