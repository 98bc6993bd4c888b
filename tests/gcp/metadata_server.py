"""Cloud Run's metadata server, as far as tokens go: https://cloud.google.com/run/docs/container-contract#metadata-server"""

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from shared.jsontext import JsonObject

ACCOUNT: Final = "/computeMetadata/v1/instance/service-accounts/default"


@dataclass
class MetadataServer:
    """`token` is the next answer to who asks for an access token; `audiences` and `scopes` are what
    identities and tokens were asked for."""

    token: JsonObject = field(
        default_factory=lambda: {"access_token": "t0", "expires_in": 3599, "token_type": "Bearer"}
    )
    status: int = 200
    tokens_asked: int = 0
    audiences: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_with_flavor])
        app.router.add_get(f"{ACCOUNT}/token", self._give_token)
        app.router.add_get(f"{ACCOUNT}/identity", self._give_identity)
        return app

    async def _give_token(self, request: web.Request) -> web.Response:
        self.tokens_asked += 1
        self.scopes.append(request.query.get("scopes", ""))
        return web.json_response(self.token, status=self.status)

    async def _give_identity(self, request: web.Request) -> web.Response:
        self.audiences.append(request.query["audience"])
        return web.Response(text=f"token-{len(self.audiences)}", status=self.status)


@web.middleware
async def _with_flavor(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only who says that it means the metadata server is answered."""
    return await handler(request) if request.headers.get("Metadata-Flavor") == "Google" else web.Response(status=403)
