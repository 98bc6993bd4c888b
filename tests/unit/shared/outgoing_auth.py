"""Schemes of outgoing requests, and a server of tokens."""

import asyncio
import json
from typing import Final

from pydantic import TypeAdapter

from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json
from shared.outgoing.auth import AnyRequestAuth
from shared.outgoing.authenticator import Authenticator, CloudIdentity
from tests.fakes.secrets import FakeSecrets

NOW: Final = 1_790_000_000.0
TOKENS: Final = "https://login.example.com/token"
API: Final = "https://api.example.com/in"
POST: Final = Outgoing("POST", API, (("content-type", "application/json"),), b"{}")
SCHEME: Final[TypeAdapter[AnyRequestAuth]] = TypeAdapter(AnyRequestAuth)


def scheme(fields: Json, **more: Json) -> AnyRequestAuth:
    assert isinstance(fields, dict)
    return SCHEME.validate_python({**fields, **more})


class Services:
    """A token server that numbers its tokens, an API that takes the tokens in `good`, and a clock."""

    def __init__(self, life: Json = 3600) -> None:
        self.life = life
        self.now = NOW
        self.good: set[str] | None = None
        self.given = 0
        self.fault: Exception | None = None
        self.asked: list[Outgoing] = []
        self.secrets = FakeSecrets({"client-secret": "s3cret/+value-long", "aws-secret": "wJalrXUtnFEMI/K7MDENG"})

    async def fetch(self, request: Outgoing) -> Fetched:
        self.asked.append(request)
        await asyncio.sleep(0)
        if request.url != TOKENS:
            token = dict(request.headers).get("authorization", "").removeprefix("Bearer ")
            return Fetched(200 if self.good is None or token in self.good else 401, (), b"")
        if self.fault:
            raise self.fault
        self.given += 1
        body: dict[str, Json] = {"access_token": f"token-{self.given}", "token_type": "Bearer"}
        if self.life is not None:
            body["expires_in"] = self.life
        return Fetched(200, (), json.dumps(body).encode())

    def authenticator(self, cloud: CloudIdentity | None = None) -> Authenticator:
        return Authenticator(self.secrets, self, cloud or CloudIdentity(), lambda: self.now)


async def header(authenticator: Authenticator, auth: AnyRequestAuth, request: Outgoing = POST) -> str:
    return dict((await authenticator.authenticate([auth], request)).headers)["authorization"]
