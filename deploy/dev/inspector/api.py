"""The common part of the page's JSON interface: queries and bodies parsed, answers and errors written."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

import pydantic
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BeforeValidator, Field

from deploy.dev.caught import Caught
from deploy.history import journal_view, local_journal
from deploy.history.state import ConfiguredDestinations, configured_destinations
from shared import errors, outcomes, ports, store_ports, times
from shared.cloud.local.journal import LocalJournal
from shared.config.values import fault_text
from shared.jsontext import JsonObject
from shared.ledger import Ledger

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=pydantic.BaseModel)


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

    async def in_thread(self, call: Callable[[], Answer]) -> Answer:
        """Return what `call` returns in `thread`. It may read or write."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, call)


@dataclass(frozen=True, slots=True)
class DevBackend(Backend):
    """The backend beside `hookchain dev`. `caught` too is used in `thread` only; `apis_url`: the emulated cloud."""

    state: Path
    caught: Caught
    apis_url: str


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


class Paging(pydantic.BaseModel):
    """A part of a list: at most `limit` rows, which are older than `before`."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    before: Annotated[int, Field(ge=0, lt=10**18)] | None = None


def _time(text: str) -> float:
    """Return the Unix seconds. Raises ValueError."""
    try:
        return times.unix_seconds(text)
    except ValueError as error:
        raise ValueError("must be a time such as 2026-03-01T12:00:00Z") from error


Time = Annotated[float, BeforeValidator(_time)]


class EventFilters(Paging):
    source: str | None = None
    type: str | None = None
    status: outcomes.EventStatus | None = None
    text: str = ""
    since: Time | None = None
    until: Time | None = None


def read_query(model: type[Model], query: Mapping[str, str]) -> Model:
    """Return the parameters that are not empty. Raises HTTPBadRequest, as all that parse a request do."""
    with _faults_as_bad_request():
        return model.model_validate({name: text for name, text in query.items() if text})


async def read_body(model: type[Model], request: web.Request) -> Model:
    body = await request.read()
    with _faults_as_bad_request():
        return model.model_validate_json(body or b"{}", strict=True)


@contextmanager
def _faults_as_bad_request() -> Iterator[None]:
    try:
        yield
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the body"
        raise bad_request(f"{place}: {fault_text(fault, shows_value=False)}.") from error


def event_query(query: Mapping[str, str]) -> journal_view.EventQuery:
    return journal_view.EventQuery(**read_query(EventFilters, query).model_dump())
