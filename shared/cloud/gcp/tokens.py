"""Tokens that prove to Google, and to a private function of ours, who this function is.

On Cloud Run they come from the metadata server, asked here on the event loop: importing google-auth and urllib3 takes
0.1 s, half as long as the rest of receive's start. Elsewhere google-auth finds access tokens.
https://cloud.google.com/compute/docs/access/authenticate-workloads#applications
https://cloud.google.com/run/docs/authenticating/service-to-service
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from shared import errors, jsontext
from shared.cloud.retries import is_temporary_answer, with_retries
from shared.outgoing.http_client import HttpClient

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

ACCOUNT_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
ASK_SECONDS: Final = 2.0
"""The time for one request for a token."""
MARGIN_SECONDS: Final = 225.0
"""The metadata server gives a new token once the old has five minutes left."""
LAST_SECONDS: Final = 10.0
"""A token that is valid for a shorter time could expire before it arrives."""
PAUSE_SECONDS: Final = 15.0
"""The time between two tries while the old token is valid: each try can make a caller wait ASK_SECONDS."""
IDENTITY_SECONDS: Final = 1_800.0
"""The time for which an identity token is used. It is valid for an hour."""
LAST_IDENTITY_SECONDS: Final = 3_300.0
"""The time for which it is used if the metadata server gives no new one."""
MAX_AUDIENCES: Final = 100
"""The most audiences whose tokens are kept. A URL that an event chooses may be one. For one more, all are forgotten."""

Authorization = Callable[[], Awaitable[str | None]]
"""Returns the value of the header `Authorization`, or None for a request without one. May raise Temporary."""


async def no_authorization() -> None:
    """Return None: an emulator asks for no authorization."""


class Token(NamedTuple):
    """An access token. `expires_at` is in Unix seconds; infinite if it never expires."""

    text: str
    expires_at: float


class RenewedToken:
    """An access token that is renewed before it expires.

    Callers that ask while a token is being fetched wait for it. If none can be fetched, the old token is used until
    LAST_SECONDS before it expires. `fetch` may raise Temporary, and so does each method if there is no old token then.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Token]], now: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._now = now
        self._token: Token | None = None
        self._fetching: asyncio.Future[Token] | None = None
        self._paused_until = 0.0

    async def header(self) -> str:
        """Return the value of the header `Authorization`."""
        return f"Bearer {await self.text()}"

    async def text(self) -> str:
        """Return the token."""
        token = self._token
        if token is None or self._now() >= max(self._paused_until, token.expires_at - MARGIN_SECONDS):
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.ensure_future(self._fetch())
            try:
                # Without `shield`, a cancelled caller would cancel it for all.
                self._token = token = await asyncio.shield(self._fetching)
            except errors.Temporary:
                token = self._token
                if token is None or self._now() >= token.expires_at - LAST_SECONDS:
                    raise
                self._paused_until = min(self._now() + PAUSE_SECONDS, token.expires_at - LAST_SECONDS)
        return token.text


def metadata_authorization(host: str, now: Callable[[], float] = time.time) -> Authorization:
    """Return an authorization by the metadata server at that host, with its port if that is not 80."""
    return _metadata_token(host, "token", now).header


def _metadata_token(host: str, path: str, now: Callable[[], float]) -> RenewedToken:
    async def fetch() -> Token:
        return _token(await _ask_metadata(host, path, "credentials_unavailable", "a token"), now())

    return RenewedToken(fetch, now)


def _token(body: bytes, now: float) -> Token:
    try:
        document: jsontext.Json = json.loads(body)
    except ValueError:
        document = None
    text, seconds = jsontext.value_at(document, "access_token"), jsontext.value_at(document, "expires_in")
    if not isinstance(text, str) or not isinstance(seconds, int | float):
        raise errors.Temporary("credentials_unavailable", "the metadata server's answer holds no token")
    return Token(text, now + seconds)


def google_authorization() -> Authorization:
    """Return an authorization by Google's application default credentials, which the first call looks for."""
    found: Credentials | None = None

    async def fetch() -> Token:
        nonlocal found
        found = await asyncio.to_thread(_refreshed, found)
        return Token(str(found.token), found.expiry.replace(tzinfo=UTC).timestamp() if found.expiry else math.inf)

    return RenewedToken(fetch).header


def _refreshed(credentials: "Credentials | None") -> "Credentials":
    import google.auth
    import google.auth.exceptions
    import google.auth.transport.urllib3
    import urllib3

    pool = urllib3.PoolManager(timeout=ASK_SECONDS, retries=False)
    transport = google.auth.transport.urllib3.Request(pool)  # type: ignore[no-untyped-call] # google-auth has none here
    try:
        if credentials is None:
            credentials, _ = google.auth.default(scopes=[SCOPE], request=transport)
        credentials.refresh(transport)  # type: ignore[no-untyped-call] # nor here
    except google.auth.exceptions.GoogleAuthError as error:
        raise errors.Temporary("credentials_unavailable", f"no Google credentials: {type(error).__name__}") from error
    return credentials


class ScopedTokens:
    """Access tokens by scope, for other APIs than the ports': `await token(scope)`. Raises Temporary.

    `scope` is one or more URLs, separated by spaces. Only the configuration names scopes, so all tokens are kept.
    """

    def __init__(self, host: str, now: Callable[[], float] = time.time) -> None:
        self._host = host
        self._now = now
        self._known: dict[str, RenewedToken] = {}

    async def __call__(self, scope: str) -> str:
        if scope not in self._known:
            path = f"token?scopes={quote(','.join(scope.split()), safe='')}"
            self._known[scope] = _metadata_token(self._host, path, self._now)
        return await self._known[scope].text()


class _Identity(NamedTuple):
    text: str
    fetched_at: float


class MetadataIdentity:
    """Identity tokens by audience: `await identity(audience)`. The audience is a URL. Raises Temporary.

    The metadata server does not say when they expire, so the time since each was fetched counts.
    """

    def __init__(self, host: str, now: Callable[[], float] = time.time) -> None:
        self._host = host
        self._now = now
        self._known: dict[str, _Identity] = {}

    async def __call__(self, audience: str) -> str:
        known = self._known.get(audience)
        if known is not None and self._now() < known.fetched_at + IDENTITY_SECONDS:
            return known.text
        path = f"identity?audience={quote(audience, safe='')}"
        try:
            body = await _ask_metadata(self._host, path, "identity_unavailable", "an identity")
        except errors.Temporary:
            if known is None or self._now() >= known.fetched_at + LAST_IDENTITY_SECONDS:
                raise
            return known.text
        if len(self._known) >= MAX_AUDIENCES:
            self._known.clear()
        text = body.decode("ascii", "replace").strip()
        self._known[audience] = _Identity(text, self._now())
        return text


async def _ask_metadata(host: str, path: str, code: errors.TemporaryCode, what: str) -> bytes:
    """Return the answer of the metadata server. Raises Temporary with the code.

    The connection is not kept, because the next token is needed half an hour later.
    """
    client = HttpClient(f"http://{host}")
    headers = {"Metadata-Flavor": "Google"}
    try:
        answer = await with_retries(
            lambda: client.call("GET", f"{ACCOUNT_PATH}/{path}", headers, b"", ASK_SECONDS, may_repeat=True),
            is_temporary_answer,
        )
    except OSError as error:
        raise errors.Temporary(code, f"the metadata server did not answer: {type(error).__name__}") from error
    finally:
        client.close()
    if answer.status != 200 or not answer.body:
        raise errors.Temporary(code, f"the metadata server answered {answer.status} when asked for {what}")
    return answer.body
