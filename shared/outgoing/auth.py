"""Auth schemes of requests to other systems: headers and query parameters made with secrets."""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from shared.config.values import HeaderName, SecretName
from shared.errors import Temporary
from shared.ports import Secrets


class RequestAuth(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BasicRequestAuth(RequestAuth):
    scheme: Literal["basic"]
    username: str
    secret: SecretName


class BearerRequestAuth(RequestAuth):
    scheme: Literal["bearer"]
    secret: SecretName


class HeaderRequestAuth(RequestAuth):
    """A header with the secret; `prefix` precedes it, such as `Token `."""

    scheme: Literal["header"]
    header: HeaderName
    prefix: str = ""
    secret: SecretName


class QueryRequestAuth(RequestAuth):
    scheme: Literal["query"]
    parameter: Annotated[str, Field(min_length=1)]
    secret: SecretName


class GoogleRequestAuth(RequestAuth):
    """An identity token of this function's service account, for a private Cloud Run function."""

    scheme: Literal["google"]


AnyRequestAuth = Annotated[
    BasicRequestAuth | BearerRequestAuth | HeaderRequestAuth | QueryRequestAuth | GoogleRequestAuth,
    Field(discriminator="scheme"),
]


@dataclass(frozen=True, slots=True)
class Credentials:
    headers: tuple[tuple[str, str], ...] = ()
    parameters: tuple[str, ...] = ()


class AuthServices(Protocol):
    """`identity` returns a token that identifies this function to an audience (a URL); None where there is none."""

    @property
    def secrets(self) -> Secrets: ...

    @property
    def identity(self) -> Callable[[str], Awaitable[str]] | None: ...


async def authenticate(schemes: Sequence[AnyRequestAuth], audience: str, services: AuthServices) -> Credentials:
    """Return the headers and parameters, with the newest value of each secret. Raises Temporary."""
    headers: list[tuple[str, str]] = []
    parameters: list[str] = []
    for scheme in schemes:
        if isinstance(scheme, GoogleRequestAuth):
            headers.append(("authorization", f"Bearer {await _identity(audience, services)}"))
            continue
        value = (await services.secrets.values(scheme.secret))[0]
        if isinstance(scheme, QueryRequestAuth):
            parameters.append(f"{quote(scheme.parameter, safe='')}={quote(value, safe='')}")
        else:
            headers.append(_header(scheme, value))
    return Credentials(tuple(headers), tuple(parameters))


def _header(scheme: BasicRequestAuth | BearerRequestAuth | HeaderRequestAuth, value: str) -> tuple[str, str]:
    if isinstance(scheme, BasicRequestAuth):
        return "authorization", f"Basic {b64encode(f'{scheme.username}:{value}'.encode()).decode()}"
    if isinstance(scheme, BearerRequestAuth):
        return "authorization", f"Bearer {value}"
    return scheme.header, f"{scheme.prefix}{value}"


async def _identity(audience: str, services: AuthServices) -> str:
    if services.identity is None:
        raise Temporary("identity_unavailable", "this platform gives no Google identity token")
    return await services.identity(audience)
