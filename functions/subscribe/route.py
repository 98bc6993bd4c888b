"""A route of the API, the parameters of its path, and a call of it."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Never, TypeAlias

from pydantic import BaseModel

from functions.subscribe.access import Access, Caller, KeyCaller
from functions.subscribe.models.values import Input
from functions.subscribe.service import Service
from shared.http import Request
from shared.subscribers.model import Tenant
from shared.subscribers.names import ENDPOINT_PATTERN, TENANT_PATTERN, TYPE_PATTERN

MESSAGE_PATTERN: Final = r"[0-9]{14}-[0-9a-zA-Z_.-]{1,200}-[0-9a-f]{8}"
KEY_PATTERN: Final = r"[0-9a-z]{12}"
SESSION_PATTERN: Final = r"[0-9a-f]{32}"
_NAME: Final = "has letters, digits, '_', '.' and '-', begins with a letter or a digit, and has at most"
MAX_BODY_BYTES: Final = 262_144
"""The largest body of a route, unless it says otherwise."""
MAX_IMPORT_BYTES: Final = 4_194_304
"""The largest catalogue that can be imported. Lambda accepts requests of at most 6 MB."""
_ID_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
MAX_SHORT_ID_CHARACTERS: Final = 20
"""Short ids are derived from the 128 bits of `new_id`, and 20 letters or digits need 104 bits."""


class Param(NamedTuple):
    """A parameter of a path.

    pattern      the regular expression that the whole value must match
    description  the text in the OpenAPI document
    rule         the text of the error that a caller gets for any other value
    """

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
    """A request to a route, with its caller and the parameters of its path.

    tenant_document  the stored tenant of the path, if the API has already read it
    seed             the text that new ids are derived from if the request has an idempotency key, so that a repeated
                     request makes the same ids; otherwise empty, and ids are random
    headers          the headers that the handler adds to the reply
    """

    service: Service
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
        """Return a random id of 32 hex digits. Each id of one request needs its own `purpose`."""
        if not self.seed:
            return self.service.random_bytes(16).hex()
        # The seed is random itself, so nobody can guess an id that is derived from it.
        return hashlib.sha256(f"{self.seed}.{purpose}".encode()).hexdigest()[:32]

    def new_short_id(self, purpose: str, characters: int) -> str:
        """Return an id of this many lower-case letters and digits, derived from `new_id`.

        Raises ValueError for more than MAX_SHORT_ID_CHARACTERS.
        """
        if characters > MAX_SHORT_ID_CHARACTERS:
            raise ValueError(characters)
        number = int(self.new_id(purpose), 16)
        digits = ""
        for _ in range(characters):
            number, digit = divmod(number, len(_ID_DIGITS))
            digits += _ID_DIGITS[digit]
        return digits

    def add_header(self, name: str, value: str) -> None:
        self.headers.append((name, value))


Handler: TypeAlias = Callable[[Call, Never], Awaitable[BaseModel | None]]
"""A function of two parameters: `call`, and the body or the query of the request as the model of its annotation."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, the permission that they require, and the handler that answers.

    The handler's annotations are the models of the request and of the reply. The first line of its docstring is the
    summary in the OpenAPI document.

    status          the status of a success; None for 200 if the reply has a body, and 204 if it has none
    is_conditional  the handler checks the header `If-Match`
    is_limited      a tenant may call the route only so often in a time: see RequestRate
    has_etag        the reply has the header `ETag`
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
        """Return the model of the body, or of the query if the route takes no body."""
        annotations = self.handler.__annotations__.items()
        model: type[BaseModel]
        [model] = [annotation for parameter, annotation in annotations if parameter not in {"call", "return"}]
        return model

    @property
    def gives(self) -> type[BaseModel] | None:
        """Return the model of the reply's body; None if the reply has none."""
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
        if self.status is not None:
            return self.status
        return 204 if self.gives is None else 200

    @property
    def is_idempotent(self) -> bool:
        """Return whether the API reads `Idempotency-Key`. Only a POST needs it: the other methods can be repeated."""
        return self.method == "POST"
