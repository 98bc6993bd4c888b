"""Access tokens as the value of an Authorization header, renewed before they end.

On Cloud Run they come from the metadata server, asked here on the event loop: importing google-auth and urllib3 takes
0.1 s, half as long as the rest of receive's start. Elsewhere google-auth finds them (shared/cloud/gcp/credentials.py).
https://cloud.google.com/compute/docs/access/authenticate-workloads#applications
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from shared.cloud.gcp.pubsub import Authorization
from shared.errors import Temporary
from shared.http_client import HttpClient
from shared.jsontext import Json

TOKEN_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 no token
ASK_SECONDS: Final = 2.0
MARGIN_SECONDS: Final = 225.0
"""The metadata server gives a new token once the old has five minutes left."""
LAST_SECONDS: Final = 10.0
"""A token that ends sooner may end on its way."""
PAUSE_SECONDS: Final = 15.0
"""Between two tries while the old token serves: each may make whoever asks wait ASK_SECONDS."""


@dataclass(frozen=True, slots=True)
class Token:
    """`expires_at` in Unix seconds."""

    text: str
    expires_at: float


def renewed(fetch: Callable[[], Awaitable[Token]], now: Callable[[], float] = time.time) -> Authorization:
    """Those who ask while a token is being fetched wait for that one; where none comes, the old serves to its end.

    `fetch` may raise Temporary, and so does this once there is no token that is good.
    """
    token: Token | None = None
    fetching: asyncio.Future[Token] | None = None
    renew_at = 0.0

    async def authorization() -> str | None:
        nonlocal token, fetching, renew_at
        if token is None or now() >= max(renew_at, token.expires_at - MARGIN_SECONDS):
            if fetching is None or fetching.done():
                fetching = asyncio.ensure_future(fetch())
            try:
                token = await asyncio.shield(fetching)
            except Temporary:
                if token is None or now() >= token.expires_at - LAST_SECONDS:
                    raise
                renew_at = min(now() + PAUSE_SECONDS, token.expires_at - LAST_SECONDS)
        return f"Bearer {token.text}"

    return authorization


def metadata_authorization(host: str, now: Callable[[], float] = time.time) -> Authorization:
    """`host` is the metadata server's, with its port if that is another than 80."""
    client = HttpClient(f"http://{host}")

    async def fetch() -> Token:
        headers = {"Metadata-Flavor": "Google"}
        try:
            answer = await client.call("GET", TOKEN_PATH, headers, b"", ASK_SECONDS, may_repeat=True)
        except OSError as error:
            raise Temporary("credentials", f"the metadata server did not answer: {type(error).__name__}") from error
        finally:
            client.close()  # the next token is an hour away
        if answer.status != 200:
            raise Temporary("credentials", f"the metadata server answered {answer.status} when asked for a token")
        return _token(answer.body, now())

    return renewed(fetch, now)


def _token(body: bytes, now: float) -> Token:
    try:
        document: Json = json.loads(body)
    except ValueError:
        document = None
    text = document.get("access_token") if isinstance(document, dict) else None
    seconds = document.get("expires_in") if isinstance(document, dict) else None
    if not isinstance(text, str) or not isinstance(seconds, int | float):
        raise Temporary("credentials", "the metadata server's answer holds no token")
    return Token(text, now + seconds)
