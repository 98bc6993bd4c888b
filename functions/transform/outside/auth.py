"""How a step proves itself to the system that it asks: headers and query parameters made with secrets."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from functions.transform.step import Services
from shared.config.values import HeaderName, SecretName
from shared.errors import Temporary


class Proof(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BasicProof(Proof):
    scheme: Literal["basic"]
    username: str
    secret: SecretName


class BearerProof(Proof):
    scheme: Literal["bearer"]
    secret: SecretName


class HeaderProof(Proof):
    """`prefix` stands before the secret: `Token `, for one."""

    scheme: Literal["header"]
    header: HeaderName
    prefix: str = ""
    secret: SecretName


class QueryProof(Proof):
    scheme: Literal["query"]
    parameter: Annotated[str, Field(min_length=1)]
    secret: SecretName


class GoogleProof(Proof):
    """An identity token of this function's service account, for a private Cloud Run function."""

    scheme: Literal["google"]


AnyProof = Annotated[BasicProof | BearerProof | HeaderProof | QueryProof | GoogleProof, Field(discriminator="scheme")]


@dataclass(frozen=True, slots=True)
class Proven:
    headers: tuple[tuple[str, str], ...] = ()
    parameters: tuple[str, ...] = ()


async def prove(proofs: Sequence[AnyProof], audience: str, services: Services) -> Proven:
    """Of each secret the newest value. Raises Temporary."""
    headers: list[tuple[str, str]] = []
    parameters: list[str] = []
    for proof in proofs:
        if isinstance(proof, GoogleProof):
            headers.append(("authorization", f"Bearer {await _identity(audience, services)}"))
            continue
        value = (await services.secrets.values(proof.secret))[0]
        if isinstance(proof, QueryProof):
            parameters.append(f"{quote(proof.parameter, safe='')}={quote(value, safe='')}")
        else:
            headers.append(_header(proof, value))
    return Proven(tuple(headers), tuple(parameters))


def _header(proof: BasicProof | BearerProof | HeaderProof, value: str) -> tuple[str, str]:
    if isinstance(proof, BasicProof):
        return "authorization", f"Basic {b64encode(f'{proof.username}:{value}'.encode()).decode()}"
    if isinstance(proof, BearerProof):
        return "authorization", f"Bearer {value}"
    return proof.header, f"{proof.prefix}{value}"


async def _identity(audience: str, services: Services) -> str:
    if services.identity is None:
        raise Temporary("identity", "this platform gives no Google identity token")
    return await services.identity(audience)
