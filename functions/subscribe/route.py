"""A route of the API: its path, who may use it, what it takes and gives, and the handler that answers it."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel

from functions.subscribe.caller import Access, Caller, KeyCaller
from functions.subscribe.models.base import Input, Output, Query
from shared.http import Request
from shared.subscribers.model import Tenant

if TYPE_CHECKING:
    from functions.subscribe.service import Service

ID_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
MAX_BODY_BYTES: Final = 262_144
MAX_IMPORT_BYTES: Final = 4_194_304
"""Of a catalogue that is imported. Lambda takes at most 6 MB."""


@dataclass(slots=True)
class Call:
    """A request to a route, with its caller and the parameters of its path. A handler may add headers to the reply.

    seed  where the request has an idempotency key: what ids are made of, so that a repeat makes the same ones
    """

    service: "Service"
    request: Request
    caller: Caller
    params: Mapping[str, str]
    tenant_document: Tenant | None = None
    seed: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        return self.params["tenant"]

    @property
    def now(self) -> float:
        return self.service.clock.now()

    @property
    def is_operator(self) -> bool:
        return isinstance(self.caller, KeyCaller)

    def new_id(self, purpose: str) -> str:
        """Return 32 hex digits that nobody can guess. `purpose` tells the ids of one request apart."""
        if not self.seed:
            return self.service.random_bytes(16).hex()
        return hashlib.sha256(f"{self.seed}.{purpose}".encode()).hexdigest()[:32]

    def new_short_id(self, purpose: str, characters: int) -> str:
        """Return as many lower-case letters and digits, at most 20, as `new_id` returns hex digits."""
        number, digits = int(self.new_id(purpose), 16), ""
        for _ in range(characters):
            number, digit = divmod(number, len(ID_DIGITS))
            digits += ID_DIGITS[digit]
        return digits

    def add_header(self, name: str, value: str) -> None:
        self.headers.append((name, value))


@dataclass(frozen=True, slots=True)
class Route:
    """`run` reads what the route takes, calls the handler and writes what it gives.

    takes           the model of the body, or of the query of a GET and a DELETE
    gives           the model of the answer; None for a 204
    is_idempotent   `Idempotency-Key` counts
    is_conditional  `If-Match` counts
    is_limited      a tenant may make so many such requests in a time: see request_rate.py
    """

    method: str
    path: str
    access: Access
    name: str
    summary: str
    status: int
    takes: type[BaseModel]
    gives: type[BaseModel] | None
    run: Callable[[Call, object], Awaitable[BaseModel | None]]
    max_body_bytes: int = MAX_BODY_BYTES
    is_idempotent: bool = False
    is_conditional: bool = False
    is_limited: bool = False
    has_etag: bool = False

    @property
    def takes_body(self) -> bool:
        return issubclass(self.takes, Input)


Taken = TypeVar("Taken", bound=Input | Query)
Given = TypeVar("Given", bound=Output)


def route(
    method: str,
    path: str,
    access: Access,
    handler: Callable[[Call, Taken], Awaitable[Given | None]],
    takes: type[Taken],
    gives: type[Given] | None,
    *,
    status: int = 0,
    max_body_bytes: int = MAX_BODY_BYTES,
    is_conditional: bool = False,
    is_limited: bool = False,
    has_etag: bool = False,
) -> Route:
    """Return a route whose handler takes and gives what the models say. Its summary is the handler's first line."""

    async def run(call: Call, value: object) -> BaseModel | None:
        assert isinstance(value, takes)
        return await handler(call, value)

    return Route(
        method=method,
        path=path,
        access=access,
        name=handler.__name__,
        summary=(handler.__doc__ or "").partition("\n")[0].rstrip("."),
        status=status or (200 if gives else 204),
        takes=takes,
        gives=gives,
        run=run,
        max_body_bytes=max_body_bytes,
        is_idempotent=method == "POST",
        is_conditional=is_conditional,
        is_limited=is_limited,
        has_etag=has_etag,
    )
