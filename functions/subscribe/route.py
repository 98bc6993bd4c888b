"""A route of the API, a call of it, the callers and what each may do; and pages of lists.

A cursor says where a page ended. It is signed, so that nobody makes one, and bound to its list.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Never, TypeAlias, TypeVar

from pydantic import BaseModel

from functions.subscribe.credentials import read_signed, signed_text
from functions.subscribe.models import Input, ListQuery, Output
from functions.subscribe.problems import ApiProblem, not_found
from functions.subscribe.service import Service
from shared.http import Request
from shared.jsontext import Json, canonical, from_json
from shared.subscribers.directory import read_stored
from shared.subscribers.model import Capability, Scope, Stored, Tenant
from shared.subscribers.names import ENDPOINT_PATTERN, TENANT_PATTERN, TYPE_PATTERN

_INCLUDED: Final[dict[Scope, frozenset[Scope]]] = {
    "read": frozenset({"read", "write", "admin"}),
    "write": frozenset({"write", "admin"}),
    "portal": frozenset({"portal", "admin"}),
    "admin": frozenset({"admin"}),
}
"""The scopes that allow what needs a scope."""
_CAPABLE: Final[dict[Capability, frozenset[Capability]]] = {
    "view": frozenset({"view", "manage", "resend"}),
    "manage": frozenset({"manage"}),
    "resend": frozenset({"resend"}),
    "reveal_secret": frozenset({"reveal_secret"}),
}
"""The capabilities that allow what needs a capability."""
MESSAGE_PATTERN: Final = r"[0-9]{14}-[0-9a-zA-Z_.-]{1,200}-[0-9a-f]{8}"
KEY_PATTERN: Final = r"[0-9a-z]{12}"
SESSION_PATTERN: Final = r"[0-9a-f]{32}"
_NAME: Final = "has letters, digits, '_', '.' and '-', begins with a letter or a digit, and has at most"
ID_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
MAX_BODY_BYTES: Final = 262_144
MAX_IMPORT_BYTES: Final = 4_194_304
"""Of a catalogue that is imported. Lambda takes at most 6 MB."""
Document = TypeVar("Document", bound=Stored)
View = TypeVar("View", bound=Output)


@dataclass(frozen=True, slots=True)
class KeyCaller:
    """The operator, with an API key."""

    id: str
    scopes: frozenset[Scope]

    @property
    def name(self) -> str:
        return f"key.{self.id}"


@dataclass(frozen=True, slots=True)
class PortalCaller:
    """A tenant, with a portal token."""

    tenant: str
    session: str
    capabilities: frozenset[Capability]
    expires_at: float

    @property
    def name(self) -> str:
        return f"session.{self.tenant}.{self.session}"


Caller: TypeAlias = KeyCaller | PortalCaller


@dataclass(frozen=True, slots=True)
class Access:
    """The callers that may use a route: API keys with this scope, portal tokens with this capability; None: none."""

    scope: Scope | None
    capability: Capability | None

    def verify(self, caller: Caller, tenant: str | None) -> None:
        """Raises ApiProblem: `not_found` for another tenant, before anything else is said of the route."""
        if isinstance(caller, KeyCaller):
            if self.scope is None or not caller.scopes & _INCLUDED[self.scope]:
                needed = f"an API key with the scope {self.scope!r}" if self.scope else "a portal token"
                raise ApiProblem("not_allowed", f"this needs {needed}")
            return
        if tenant is not None and tenant != caller.tenant:
            raise not_found("tenant")
        if self.capability is None:
            raise ApiProblem("not_allowed", "this is for API keys of the operator")
        if not caller.capabilities & _CAPABLE[self.capability]:
            raise ApiProblem("not_allowed", f"this needs a portal token with the capability {self.capability!r}")

    def allows(self, caller: Caller) -> bool:
        """Return whether the caller may use it, for its own tenant."""
        try:
            self.verify(caller, None)
        except ApiProblem:
            return False
        return True


REVEAL: Final = Access("admin", "reveal_secret")
"""Of those who may see the secrets of endpoints."""


class Param(NamedTuple):
    """`rule` tells a caller how the parameter is written."""

    pattern: str
    description: str
    rule: str

    def is_valid(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None


PARAMS: Final[Mapping[str, Param]] = {
    "tenant": Param(TENANT_PATTERN, "The tenant's id, which is the operator's own.", f"a tenant's id {_NAME} 100"),
    "endpoint": Param(ENDPOINT_PATTERN, "The endpoint's id.", "an endpoint's id is 'ep_' and 20 letters or digits"),
    "delivery": Param(r"[A-Za-z0-9_-]{20,400}", "The delivery's id.", "a delivery's id is that of a list"),
    "message": Param(MESSAGE_PATTERN, "The message's id.", "a message's id is that of a list"),
    "type": Param(TYPE_PATTERN, "The name of an event type.", f"the name of an event type {_NAME} 128"),
    "key": Param(KEY_PATTERN, "The API key's id.", "an API key's id is 12 letters or digits"),
    "session": Param(SESSION_PATTERN, "The portal session's id.", "a portal session's id is 32 hexadecimal digits"),
}


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


Handler: TypeAlias = Callable[[Call, Never], Awaitable[BaseModel | None]]
"""Takes a Call, and its body or query as the model that its annotation names."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a path, who may use it, and the handler that answers it.

    What it takes and gives is what the handler's annotations say, and its summary is the handler's first line.

    status          that of a success; None: 200 with an answer, and 204 without
    is_conditional  `If-Match` counts
    is_limited      a tenant may make only so many such requests in a time: see RequestRate
    """

    method: str
    path: str
    access: Access
    handler: Handler
    status: int | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    is_conditional: bool = False
    is_limited: bool = False
    has_etag: bool = False

    @property
    def takes(self) -> type[BaseModel]:
        """The model of the body, or of the query of a GET and a DELETE."""
        model: type[BaseModel] = list(self.handler.__annotations__.values())[1]
        return model

    @property
    def gives(self) -> type[BaseModel] | None:
        """The model of the answer; None for a 204."""
        model: type[BaseModel] | None = self.handler.__annotations__["return"]
        return model

    @property
    def takes_body(self) -> bool:
        return issubclass(self.takes, Input)

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def success_status(self) -> int:
        return self.status or (200 if self.gives else 204)

    @property
    def is_idempotent(self) -> bool:
        """Return whether `Idempotency-Key` counts."""
        return self.method == "POST"


async def make_cursor(service: Service, list_: Json, position: list[Json]) -> str:
    """Return the cursor of a position. `list_` names the list with its filters."""
    return signed_text(canonical([list_, position]), (await service.keyring.cursor_keys())[0])


async def read_cursor(service: Service, list_: Json, text: str) -> list[Json]:
    """Return the position of a cursor; an empty one where there is none. Raises ApiProblem (`invalid_cursor`)."""
    if not text:
        return []
    payload = read_signed(text, await service.keyring.cursor_keys())
    value = None if payload is None else from_json(payload)
    if not isinstance(value, list) or canonical(value[0]) != canonical(list_) or not isinstance(value[1], list):
        raise ApiProblem("invalid_cursor", "the cursor is not one of this list, or its filters have changed")
    return value[1]


async def read_page(
    call: Call, model: type[Document], partition: str, query: ListQuery, view: Callable[[Document], View]
) -> tuple[list[View], str | None]:
    """Return the views of a page of documents, in the order of their ids, and the cursor of the next page.

    Raises ApiProblem.
    """
    after = await read_cursor(call.service, partition, query.cursor)
    found = await call.service.documents.page(partition, query.limit + 1, str(after[0]) if after else "")
    documents = found[: query.limit]
    next_ = await make_cursor(call.service, partition, [documents[-1].id]) if len(found) > query.limit else None
    return [view(read_stored(model, each)) for each in documents], next_
