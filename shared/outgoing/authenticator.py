"""Authentication of requests to other systems: headers, query parameters and signatures, made with secrets and tokens.

Access tokens are fetched through the guarded fetch, and kept until shortly before they expire.
"""

import asyncio
import json
import re
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

from shared.errors import Temporary
from shared.fetch import Fetch, Fetched, Outgoing
from shared.jsontext import Json, to_json
from shared.outgoing.allowed_requests import read_target
from shared.ports import Secrets
from shared.signatures.aws_v4 import Credentials, Scope, signed_headers

if TYPE_CHECKING:
    from shared.outgoing.auth import AnyRequestAuth, AwsRequestAuth, GoogleOAuthRequestAuth, OAuth2RequestAuth


FETCH_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 65_536
MARGIN_SECONDS: Final = 60.0
"""A token is renewed so long before its end; of a short life, in its second half."""
UNSTATED_SECONDS: Final = 300.0
"""The life of a token that does not say how long it lasts."""
PAUSE_SECONDS: Final = 10.0
"""Between two requests for a token where the first failed: whoever asks in between fails with it."""
ASSERTION_SECONDS: Final = 3_600

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,15000}")
_REJECTIONS: Final = ("invalid_client", "invalid_grant", "unauthorized_client")
"""The errors of a token's request that only another secret or right ends (RFC 6749, 5.2)."""
_GRANT_OF_A_KEY: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Token(NamedTuple):
    """An access token, and the Unix seconds after which a new one is asked for."""

    text: str
    renew_at: float


@dataclass(slots=True)
class _Kept:
    """The token of one credential, or the request that fetches it, or the fault of the last one."""

    secret: str
    fetching: asyncio.Future[Token]
    fault_until: float = 0.0


class TokenCache:
    """The tokens of credentials. Of each credential, one request at a time asks for a token."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._kept: dict[Hashable, _Kept] = {}

    async def token(self, credential: Hashable, secret: str, fetch: Callable[[], Awaitable[Token]]) -> str:
        """Return the credential's token, by `fetch` where none is kept for this secret. Raises what `fetch` raises."""
        kept = self._kept.get(credential)
        if kept is None or kept.secret != secret or self._is_over(kept):
            kept = self._kept[credential] = _Kept(secret, asyncio.ensure_future(fetch()))
            kept.fetching.add_done_callback(_is_good)  # a failure that nobody waits for any more is no fault
        try:
            return (await asyncio.shield(kept.fetching)).text
        except Temporary:
            kept.fault_until = kept.fault_until or self._now() + PAUSE_SECONDS
            raise

    def forget(self, credential: Hashable, token: str) -> None:
        """Forget the token, which was rejected; one that replaced it meanwhile stays."""
        kept = self._kept.get(credential)
        if kept and _is_good(kept.fetching) and kept.fetching.result().text == token:
            del self._kept[credential]

    def _is_over(self, kept: _Kept) -> bool:
        if not kept.fetching.done():
            return False
        if _is_good(kept.fetching):
            return self._now() >= kept.fetching.result().renew_at
        return self._now() >= kept.fault_until


def _is_good(fetching: asyncio.Future[Token]) -> bool:
    return fetching.done() and not fetching.cancelled() and fetching.exception() is None


async def client_credentials_token(
    scheme: "OAuth2RequestAuth", secret: str, fetch: Fetch, now: float, allow_private: bool
) -> Token:
    """Return a token by OAuth 2.0 client credentials (RFC 6749, 4.4). Raises Temporary and Permanent."""
    form = {"grant_type": "client_credentials", "scope": scheme.scope, "audience": scheme.audience}
    headers: tuple[tuple[str, str], ...] = ()
    if scheme.style == "body":
        form |= {"client_id": scheme.client_id, "client_secret": secret}
    else:  # both form-encoded first (RFC 6749, 2.3.1)
        pair = f"{quote_plus(scheme.client_id)}:{quote_plus(secret)}"
        headers = (("authorization", f"Basic {b64encode(pair.encode()).decode()}"),)
    return await _fetched(scheme.token_url, form, headers, fetch, now, allow_private)


async def service_account_token(scope: str, key: str, fetch: Fetch, now: float) -> Token:
    """Return a token of a Google service account by its key, a JSON document. Raises Temporary and Permanent.

    https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
    """
    try:
        document: Json = json.loads(key)
    except ValueError:
        document = None
    fields = document if isinstance(document, dict) else {}
    email, pem, url = (fields.get(name) for name in ("client_email", "private_key", "token_uri"))
    if not isinstance(email, str) or not isinstance(pem, str) or not isinstance(url, str):
        raise Temporary("secret_unusable", "the secret is not the key of a Google service account, a JSON document")
    claims: Json = {"iss": email, "scope": scope, "aud": url, "iat": int(now), "exp": int(now) + ASSERTION_SECONDS}
    assertion = _signed_assertion({"alg": "RS256", "typ": "JWT", "kid": fields.get("private_key_id")}, claims, pem)
    return await _fetched(url, {"grant_type": _GRANT_OF_A_KEY, "assertion": assertion}, (), fetch, now, False)


def _signed_assertion(header: Json, claims: Json, pem: str) -> str:
    try:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        detail = "to sign with a service account's key, install the package cryptography"
        raise Temporary("credentials_unavailable", detail) from error
    content = b".".join(urlsafe_b64encode(to_json(part).encode()).rstrip(b"=") for part in (header, claims))
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise Temporary("secret_unusable", "the service account's private key is not a PEM key") from error
    if not isinstance(key, RSAPrivateKey):
        raise Temporary("secret_unusable", "the service account's private key is not an RSA key")
    signature = urlsafe_b64encode(key.sign(content, PKCS1v15(), SHA256())).rstrip(b"=")
    return f"{content.decode()}.{signature.decode()}"


async def _fetched(
    url: str,
    form: Mapping[str, str],
    headers: tuple[tuple[str, str], ...],
    fetch: Fetch,
    now: float,
    allow_private: bool,
) -> Token:
    body = urlencode({name: value for name, value in form.items() if value}).encode()
    kinds = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))
    request = Outgoing("POST", url, (*kinds, *headers), body, FETCH_SECONDS, MAX_ANSWER_BYTES, allow_private)
    try:
        answer = await fetch.fetch(request)
    except Temporary as error:  # also Unanswered: the request that needs the token was not sent
        raise Temporary(error.code, f"no access token: {error.detail}") from error
    return _token(answer, url.split("/")[2], now)


def _token(answer: Fetched, host: str, now: float) -> Token:
    try:
        document: Json = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    fields = document if isinstance(document, dict) else {}
    if answer.status in (400, 401) and (error := fields.get("error")) in _REJECTIONS:
        raise Temporary("secret_unusable", f"{host} rejects the credentials ({error}): set the secret again")
    if answer.status != 200:
        raise Temporary("host_unavailable", f"{host} answered {answer.status} when asked for an access token")
    text = fields.get("access_token")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise Temporary("host_unavailable", f"the answer of {host} holds no access token")
    seconds = _seconds(fields.get("expires_in"))
    return Token(text, now + seconds - min(MARGIN_SECONDS, seconds / 2))


def _seconds(stated: Json) -> float:
    try:
        seconds = float(stated) if isinstance(stated, int | float | str) else UNSTATED_SECONDS
    except (ValueError, OverflowError):
        return UNSTATED_SECONDS
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else UNSTATED_SECONDS


@dataclass(frozen=True, slots=True)
class CloudIdentity:
    """This function's own identity on its platform; each is None if the platform has none. They raise Temporary.

    identity_token  returns a Google token that identifies this function to an audience (a URL)
    access_token    returns a Google token that permits what a scope names
    aws_role        returns the keys of this function's role on AWS
    """

    identity_token: Callable[[str], Awaitable[str]] | None = None
    access_token: Callable[[str], Awaitable[str]] | None = None
    aws_role: Callable[[], Credentials] | None = None


class Authenticator:
    """Authenticates requests by their schemes. It keeps access tokens until shortly before they expire.

    `tokens` are those that several of them share.
    """

    def __init__(
        self,
        secrets: Secrets,
        fetch: Fetch,
        cloud: CloudIdentity | None = None,
        now: Callable[[], float] = time.time,
        tokens: TokenCache | None = None,
    ) -> None:
        self._secrets = secrets
        self._fetch = fetch
        self._cloud = cloud or CloudIdentity()
        self._now = now
        self._tokens = tokens or TokenCache(now)

    async def send(self, schemes: "Sequence[AnyRequestAuth]", request: Outgoing) -> Fetched:
        """Authenticate and send a request. A 401 to a kept token has it sent once more, with a new token.

        Raises as Fetch does. Where no token is given it raises Temporary, and never Unanswered: nothing was sent.
        """
        authenticated = await self.authenticate(schemes, request)
        answer = await self._fetch.fetch(authenticated)
        if answer.status == 401 and self.forget_token(schemes, authenticated):
            return await self._fetch.fetch(await self.authenticate(schemes, request))
        return answer

    async def authenticate(self, schemes: "Sequence[AnyRequestAuth]", request: Outgoing) -> Outgoing:
        """Return the request with what authenticates it, by the newest value of each secret. Raises Temporary.

        A signature of the whole request is made last.
        """
        for scheme in sorted(schemes, key=lambda scheme: scheme.scheme == "aws"):
            request = await self._authenticated(scheme, request)
        return request

    def forget_token(self, schemes: "Sequence[AnyRequestAuth]", rejected: Outgoing) -> bool:
        """Forget the token that a request carried and that was rejected; return False if there was none.

        `rejected` is the request as `authenticate` returned it.
        """
        kept = [each for each in schemes if each.scheme in ("oauth2", "google_oauth") and each.secret]
        value = next((value for name, value in rejected.headers if name == "authorization"), "")
        for scheme in kept:
            self._tokens.forget((scheme, rejected.allow_private), value.removeprefix("Bearer "))
        return bool(kept)

    async def _authenticated(self, scheme: "AnyRequestAuth", request: Outgoing) -> Outgoing:
        if scheme.scheme == "google":
            return _with_bearer(request, await self._identity_token(scheme.audience or request.url.partition("?")[0]))
        if scheme.scheme == "google_oauth":
            return _with_bearer(request, await self._google_token(scheme, request.allow_private))
        if scheme.scheme == "aws":
            return _with_aws_signature(request, scheme, await self._aws_credentials(scheme), self._now())
        secret = (await self._secrets.values(scheme.secret))[0]
        if scheme.scheme == "oauth2":
            return _with_bearer(request, await self._client_token(scheme, secret, request.allow_private))
        if scheme.scheme == "bearer":
            return _with_bearer(request, secret)
        if scheme.scheme == "basic":
            pair = b64encode(f"{scheme.username}:{secret}".encode()).decode()
            return _with_header(request, "authorization", f"Basic {pair}")
        if scheme.scheme == "header":
            return _with_header(request, scheme.header, f"{scheme.prefix}{secret}")
        parameter = f"{quote(scheme.parameter, safe='')}={quote(secret, safe='')}"
        return request._replace(url=f"{request.url}{'&' if '?' in request.url else '?'}{parameter}")

    async def _identity_token(self, audience: str) -> str:
        if self._cloud.identity_token is None:
            raise Temporary("identity_missing", "this platform gives no Google identity token")
        return await self._cloud.identity_token(audience)

    async def _google_token(self, scheme: "GoogleOAuthRequestAuth", allow_private: bool) -> str:
        if scheme.secret is not None:
            key = (await self._secrets.values(scheme.secret))[0]
            fetch = partial(service_account_token, scheme.scope, key, self._fetch, self._now())
            return await self._tokens.token((scheme, allow_private), key, fetch)
        if self._cloud.access_token is None:
            detail = "this platform has no account of Google's: name the key of a service account in `secret`"
            raise Temporary("identity_missing", detail)
        return await self._cloud.access_token(scheme.scope)

    async def _client_token(self, scheme: "OAuth2RequestAuth", secret: str, allow_private: bool) -> str:
        fetch = partial(client_credentials_token, scheme, secret, self._fetch, self._now(), allow_private)
        return await self._tokens.token((scheme, allow_private), secret, fetch)

    async def _aws_credentials(self, scheme: "AwsRequestAuth") -> Credentials:
        if scheme.access_key_id is not None and scheme.secret is not None:
            return Credentials(scheme.access_key_id, (await self._secrets.values(scheme.secret))[0])
        if self._cloud.aws_role is None:
            detail = "this platform has no AWS role: set `access_key_id` and `secret`"
            raise Temporary("identity_missing", detail)
        return self._cloud.aws_role()


def _with_bearer(request: Outgoing, token: str) -> Outgoing:
    return _with_header(request, "authorization", f"Bearer {token}")


def _with_header(request: Outgoing, name: str, value: str) -> Outgoing:
    return request._replace(headers=(*request.headers, (name, value)))


def _with_aws_signature(request: Outgoing, scheme: "AwsRequestAuth", credentials: Credentials, now: float) -> Outgoing:
    """Return the request with its parameters in the order that AWS signs them in.

    Raises Permanent for a bad URL, and for a signed header that is not ASCII.
    """
    target = read_target(request.url, request.allow_private)
    path, _, query = target.path.partition("?")
    found = parse_qsl(query, keep_blank_values=True, encoding="latin-1")  # which keeps every byte as it is
    pairs = sorted((quote(k, "", "latin-1"), quote(v, "", "latin-1")) for k, v in found)
    signed_path = f"{path}?{'&'.join(map('='.join, pairs))}" if pairs else path
    covered = {name: value for name, value in request.headers if name.lower().startswith(("content-type", "x-amz-"))}
    place = (request.method, target.authority, signed_path)
    headers = signed_headers(place, covered, request.body, Scope(scheme.region, scheme.service), credentials, now)
    added = tuple((name, value) for name, value in headers.items() if name not in covered)
    origin = f"{'https' if target.secure else 'http'}://{target.authority}"
    return request._replace(url=f"{origin}{signed_path}", headers=(*request.headers, *added))
