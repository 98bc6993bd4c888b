"""The identity of a push: the OpenID Connect token that Pub/Sub and Cloud Scheduler send with each request.

Other accounts may also be allowed to call the function, for example for `/chains/`. So a push is accepted only with a
token of the account that pushes, and only if this function is the token's audience. The token is a JSON Web Token in
the header `Authorization`, signed by Google, with these claims:

    {"iss": "https://accounts.google.com", "aud": "https://notify-….run.app", "email": "push@….iam.gserviceaccount.com",
     "email_verified": true, "exp": 1700003600}

https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
"""

import asyncio
import time
from collections.abc import Callable
from functools import cached_property
from typing import Final

from shared import errors, http
from shared.outgoing.http_client import HttpClient
from shared.settings import Settings
from shared.signatures import jwt, locations

GOOGLE_ISSUER: Final = "https://accounts.google.com"
GOOGLE_KEYS: Final = "https://www.googleapis.com/oauth2/v3/certs"
EMULATED_ISSUER: Final = "http://pubsub.emulator.invalid"
EMULATED_KEYS_PATH: Final = "/emulator/push-keys"
ALGORITHM: Final = "RS256"

KEYS_SECONDS: Final = 3_600.0
"""The time for which fetched keys are used."""
ASK_AGAIN_SECONDS: Final = 10.0
"""If a signature does not match, the keys are fetched again, but not within this time after the last fetch."""
FETCH_SECONDS: Final = 2.0
SKEW_SECONDS: Final = 10
"""How far Google's clock may differ from this one."""
MAX_REMEMBERED: Final = 64
"""The most tokens in memory. Usually there are a few, one for each subscription and schedule."""


class PushVerifier:
    """Verifies the token of each push, and remembers it, because Google sends the same token for up to an hour.

    Measured, accepting a remembered token takes 0.5 µs, and verifying one 60 µs.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._keys = b""
        self._fetched_at = float("-inf")
        self._fetching: asyncio.Future[None] | None = None
        self._remembered_until: dict[str, float] = {}
        """By the value of the header."""

    @cached_property
    def scheme(self) -> jwt.JwtScheme:
        """Return the scheme of the token. `keys_url` is empty if Cloud Run verifies the signature.

        Raises Temporary if the account or the audience is not set. Then no push is accepted, but none is lost: the bus
        repeats it.
        """
        settings = self._settings
        if not settings.push_account or not settings.push_audience:
            detail = (
                "HOOKCHAIN_PUSH_ACCOUNT and HOOKCHAIN_PUSH_AUDIENCE are not set: set both to those of the subscription"
            )
            raise errors.Temporary("push_identity_unset", detail)
        issuer, keys_url = GOOGLE_ISSUER, GOOGLE_KEYS
        if settings.is_invoker_checked:
            keys_url = ""
        elif settings.emulator_host:
            issuer, keys_url = EMULATED_ISSUER, f"http://{settings.emulator_host}{EMULATED_KEYS_PATH}"
        account = {"email": settings.push_account, "email_verified": "True"}
        claims = {"iss": issuer, "aud": settings.push_audience, **account}
        return jwt.JwtScheme(
            header="authorization",
            prefix="Bearer ",
            algorithms=(ALGORITHM,),
            keys_url=keys_url,
            tolerance_seconds=SKEW_SECONDS,
            claims={name: (value,) for name, value in claims.items()},
        )

    async def verify(self, head: http.Request) -> None:
        """Verify the token of a push. Raises Rejected (`push_identity_mismatch`).

        Raises Temporary if the settings are incomplete, or if the keys cannot be fetched.
        """
        authorization = self._authorization(head)
        # If the keys seem to be from the future, the clock was set back, and the times in memory may be wrong.
        if self._fetched_at <= self._now() < self._remembered_until.get(authorization, 0.0):
            return
        try:
            if self.scheme.keys_url:
                await self._verify_signed(head)
            expires = self._verify_claims(authorization)
        except errors.Rejected as error:
            raise errors.Rejected("push_identity_mismatch", f"not a push of this deployment: {error.detail}") from error
        if len(self._remembered_until) >= MAX_REMEMBERED:
            self._remembered_until.clear()
        # The token is remembered only for as long as the keys by which it was verified are used.
        keys_end = self._fetched_at + KEYS_SECONDS if self._keys else expires
        self._remembered_until[authorization] = min(expires, keys_end)

    def _authorization(self, head: http.Request) -> str:
        """Return the value of the header with the token.

        If Cloud Run verifies the token, it passes it on without its signature. If a request then has both headers, it
        verifies only X-Serverless-Authorization, so the other one could be forged.
        https://cloud.google.com/run/docs/authenticating/service-to-service
        """
        if not self.scheme.keys_url:
            verified = head.header("x-serverless-authorization")
            if verified is not None:
                return verified
        return head.header("authorization") or ""

    async def _verify_signed(self, head: http.Request) -> None:
        """Verify the signature by keys that are at most KEYS_SECONDS old. Raises Rejected and Temporary."""
        age = self._now() - self._fetched_at
        if not 0 <= age < KEYS_SECONDS:  # negative if the clock was set back
            await self._shared_fetch()
            age = 0.0
        try:
            self._verify_signature(head)
        except errors.Rejected:
            # Google may have signed with a newer key. Forged tokens must not cause a fetch each.
            if age < ASK_AGAIN_SECONDS:
                raise
            await self._shared_fetch()
            self._verify_signature(head)

    def _verify_signature(self, head: http.Request) -> None:
        try:
            self.scheme.verify(locations.RequestFields(head), (), {self.scheme.keys_url: self._keys}, self._now())
        except ImportError as error:  # a bundle for Cloud Run does not have the package, as Cloud Run verifies there
            raise errors.Temporary(
                "push_keys_unavailable", "to verify a push's signature, install the package cryptography"
            ) from error

    def _verify_claims(self, authorization: str) -> float:
        """Return when the token expires, in Unix seconds. Raises Rejected."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise errors.Rejected("signature_mismatch", "the request has no bearer token")
        claims = jwt.unverified_claims(token.strip())
        self.scheme.verify_claims(claims, self._now())
        expires = claims.get("exp")
        if not isinstance(expires, int | float):
            raise errors.Rejected("signature_mismatch", "the token never expires")
        return expires

    async def _shared_fetch(self) -> None:
        """Fetch the keys. Pushes that come together, as to a process that has just started, share one request."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.ensure_future(self._fetch())
        await asyncio.shield(self._fetching)  # without `shield`, a cancelled push would cancel it for all

    async def _fetch(self) -> None:
        scheme, _, rest = self.scheme.keys_url.partition("://")
        host, _, path = rest.partition("/")
        client = HttpClient(f"{scheme}://{host}")
        try:
            answer = await client.call("GET", f"/{path}", {}, b"", FETCH_SECONDS, may_repeat=True)
        except OSError as error:
            raise errors.Temporary(
                "push_keys_unavailable", f"{host} did not answer with its keys: {type(error).__name__}"
            ) from error
        finally:
            client.close()
        if answer.status != 200:
            raise errors.Temporary("push_keys_unavailable", f"{host} answered {answer.status} when asked for its keys")
        self._keys = answer.body
        self._fetched_at = self._now()
        self._remembered_until.clear()
