"""Request access tokens of OAuth 2.0, and keep each until shortly before it expires.

TokenCache keeps the tokens. Below it are the two grants that request one, both through the guarded fetch.
"""

import asyncio
import json
import math
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote_plus, urlencode

from shared import errors, jsontext
from shared.fetch import Fetch, Fetched, Outgoing
from shared.secrets import InvalidSecret

if TYPE_CHECKING:
    from shared.outgoing.auth import OAuth2RequestAuth

FETCH_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 65_536
MARGIN_SECONDS: Final = 60.0
"""A token is renewed this long before it expires. A token of less than two minutes is renewed after half its life."""
UNSTATED_SECONDS: Final = 300.0
"""The assumed life of a token if the answer does not say how long it lasts."""
PAUSE_SECONDS: Final = 10.0
"""The time after a failed request in which no other is sent. Every caller then gets the same failure."""
ASSERTION_SECONDS: Final = 3_600
"""The life of the signed assertion for which Google gives a token: the longest that it accepts."""
MAX_LIFE_SECONDS: Final = 86_400.0
"""The longest time for which a token is kept, whatever the answer says."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,15000}")
_REJECTIONS: Final = ("invalid_client", "invalid_grant", "unauthorized_client")
"""The error codes of wrong credentials, or of credentials that lack a right (RFC 6749, 5.2)."""
_GRANT_OF_A_KEY: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Token(NamedTuple):
    """An access token. From the Unix time `renew_at` on, a new one is requested."""

    text: str
    renew_at: float


@dataclass(slots=True)
class _TokenRequest:
    """The last request for the token of one credential.

    secret        the secret's value that the request uses; another value needs another request
    fetching      the token or the failure, once the request has ended
    failed_until  the Unix time until which callers get the failure again; None before a failure, and for a failure
                  other than Temporary, after which the next caller may request at once
    """

    secret: str
    fetching: asyncio.Future[Token]
    failed_until: float | None = None


class TokenCache:
    """The tokens of credentials. For each credential, at most one request for a token runs at a time."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._requests: dict[Hashable, _TokenRequest] = {}

    async def token(self, credential: Hashable, secret: str, fetch: Callable[[], Awaitable[Token]]) -> str:
        """Return the credential's token. If none is kept for this value of the secret, `fetch` requests one.

        Raises what `fetch` raises, and for PAUSE_SECONDS after a Temporary the same again.
        """
        request = self._requests.get(credential)
        if request is None or request.secret != secret or self._is_over(request):
            request = _TokenRequest(secret, asyncio.ensure_future(fetch()))
            request.fetching.add_done_callback(_note_failure)
            self._requests[credential] = request
        try:
            # Several callers may wait for this request. Without `shield`, a cancelled caller would cancel it for all.
            token = await asyncio.shield(request.fetching)
        except errors.Temporary:
            if request.failed_until is None:
                request.failed_until = self._now() + PAUSE_SECONDS
            raise
        return token.text

    def forget(self, credential: Hashable, token: str) -> None:
        """Forget the token, which was rejected. A newer one of the same credential stays."""
        request = self._requests.get(credential)
        if request and _has_token(request.fetching) and request.fetching.result().text == token:
            del self._requests[credential]

    def _is_over(self, request: _TokenRequest) -> bool:
        if not request.fetching.done():
            return False
        if _has_token(request.fetching):
            return self._now() >= request.fetching.result().renew_at
        return request.failed_until is None or self._now() >= request.failed_until


def _has_token(fetching: asyncio.Future[Token]) -> bool:
    return fetching.done() and not fetching.cancelled() and fetching.exception() is None


def _note_failure(fetching: asyncio.Future[Token]) -> None:
    """Read the request's failure, because asyncio logs an exception that nobody reads.

    Nobody else reads it if all callers were cancelled.
    """
    if not fetching.cancelled():
        fetching.exception()


async def client_credentials_token(
    scheme: "OAuth2RequestAuth", secret: str, fetch: Fetch, now: float, allow_private: bool
) -> Token:
    """Return a token by OAuth 2.0 client credentials (RFC 6749, 4.4). Raises Temporary and Permanent."""
    form = {"grant_type": "client_credentials", "scope": scheme.scope, "audience": scheme.audience}
    headers: tuple[tuple[str, str], ...] = ()
    if scheme.style == "body":
        form |= {"client_id": scheme.client_id, "client_secret": secret}
    else:
        # Unlike usual Basic authentication, both are form-encoded before they are joined (RFC 6749, 2.3.1).
        pair = f"{quote_plus(scheme.client_id)}:{quote_plus(secret)}"
        headers = (("authorization", f"Basic {b64encode(pair.encode()).decode()}"),)
    return await _request_token(scheme.token_url, form, headers, fetch, now, allow_private=allow_private)


async def service_account_token(scope: str, secret_name: str, key: str, fetch: Fetch, now: float) -> Token:
    """Return a token of a Google service account by its key, the value of the secret. Raises Temporary and Permanent.

    https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
    """
    account = service_account_key(secret_name, key)
    url = account.token_url
    times = {"iat": int(now), "exp": int(now) + ASSERTION_SECONDS}
    claims: jsontext.Json = {"iss": account.email, "scope": scope, "aud": url, **times}
    header: jsontext.Json = {"alg": "RS256", "typ": "JWT", "kid": account.key_id}
    try:
        assertion = signed_jwt(header, claims, account.pem)
    except ImportError as error:
        detail = "to sign with a service account's key, install the package cryptography"
        raise errors.Temporary("credentials_unavailable", detail) from error
    except ValueError as error:  # its message is `is not PEM` or `is not an RSA key`
        raise InvalidSecret(secret_name, f"has a `private_key` that {error}") from error
    form = {"grant_type": _GRANT_OF_A_KEY, "assertion": assertion}
    return await _request_token(url, form, (), fetch, now, allow_private=False)


class ServiceAccountKey(NamedTuple):
    email: str
    pem: str
    token_url: str
    key_id: jsontext.Json


def service_account_key(secret_name: str, text: str) -> ServiceAccountKey:
    """Read the key of a Google service account, a JSON document, which is the value of the secret.

    Raises Temporary (`secret_unusable`).
    """
    try:
        document: jsontext.Json = json.loads(text)
    except ValueError:
        document = None
    fields = jsontext.mapping_at(document)
    email, pem, url = (fields.get(name) for name in ("client_email", "private_key", "token_uri"))
    if not isinstance(email, str) or not isinstance(pem, str) or not isinstance(url, str):
        raise InvalidSecret(secret_name, "is not the key of a Google service account, a JSON document")
    return ServiceAccountKey(email, pem, url, fields.get("private_key_id"))


def signed_jwt(header: jsontext.Json, claims: jsontext.Json, pem: str) -> str:
    """Return a JSON Web Token that is signed with the private key by RS256.

    Raises ImportError without the package cryptography. Raises ValueError for an unusable key; its message is the end
    of a sentence about the key: `is not PEM`.
    """
    # Imported here, because only service accounts' keys need it, and the package may be missing.
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = ".".join(jsontext.base64url(jsontext.to_json(part).encode()) for part in (header, claims))
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise ValueError("is not PEM") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("is not an RSA key")
    return f"{content}.{jsontext.base64url(key.sign(content.encode(), PKCS1v15(), SHA256()))}"


async def _request_token(
    url: str,
    form: Mapping[str, str],
    headers: tuple[tuple[str, str], ...],
    fetch: Fetch,
    now: float,
    *,
    allow_private: bool,
) -> Token:
    """Post the form, without its empty fields, and return the token in the answer. Raises Temporary and Permanent."""
    body = urlencode({name: value for name, value in form.items() if value}).encode()
    content_headers = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))
    request = Outgoing(
        "POST",
        url,
        (*content_headers, *headers),
        body,
        timeout_seconds=FETCH_SECONDS,
        max_bytes=MAX_ANSWER_BYTES,
        allow_private=allow_private,
    )
    try:
        answer = await fetch.fetch(request)
    except errors.Temporary as error:
        # The subclass Unanswered would mean that the delivery itself may have arrived. It was not sent yet.
        raise errors.Temporary(error.code, f"no access token: {error.detail}") from error
    host = url.split("/")[2]  # of `https://HOST/path`
    return _token(answer, host, now)


def _token(answer: Fetched, host: str, now: float) -> Token:
    """Return the token in the answer (RFC 6749, 5.1). `host` names the server in errors. Raises Temporary."""
    try:
        document: jsontext.Json = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    fields = jsontext.mapping_at(document)
    error = fields.get("error")
    if answer.status in (400, 401) and error in _REJECTIONS:
        raise errors.Temporary("secret_unusable", f"{host} rejects the credentials ({error}): set the secret again")
    if answer.status != 200:
        raise errors.Temporary("host_unavailable", f"{host} answered {answer.status} when asked for an access token")
    text = fields.get("access_token")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise errors.Temporary("host_unavailable", f"the answer of {host} holds no access token")
    life_seconds = _life_seconds(fields.get("expires_in"))
    margin_seconds = min(MARGIN_SECONDS, life_seconds / 2)
    return Token(text, now + life_seconds - margin_seconds)


def _life_seconds(stated: jsontext.Json) -> float:
    """Return how long a token lasts, by the `expires_in` of its answer: a number, or a number as text."""
    try:
        seconds = float(stated) if isinstance(stated, int | float | str) else UNSTATED_SECONDS
    except (ValueError, OverflowError):
        return UNSTATED_SECONDS
    if math.isnan(seconds):
        return UNSTATED_SECONDS
    return min(max(seconds, 0.0), MAX_LIFE_SECONDS)
