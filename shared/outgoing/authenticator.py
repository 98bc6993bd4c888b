"""Authentication of requests to other systems: headers, query parameters and signatures."""

import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from shared import errors, ports
from shared.fetch import Fetch, Fetched, Outgoing
from shared.outgoing import access_tokens, allowed_requests
from shared.signatures.aws_v4 import Credentials, Scope, signed_headers

if TYPE_CHECKING:
    from shared.outgoing.auth import AnyRequestAuth, AwsRequestAuth, GoogleOAuthRequestAuth, OAuth2RequestAuth


@dataclass(frozen=True, slots=True)
class CloudIdentity:
    """This function's own identity on its platform. Each field is None if the platform does not have it. They raise
    Temporary.

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
        secrets: ports.Secrets,
        fetch: Fetch,
        cloud: CloudIdentity | None = None,
        now: Callable[[], float] = time.time,
        tokens: access_tokens.TokenCache | None = None,
    ) -> None:
        self._secrets = secrets
        self._fetch = fetch
        self._cloud = cloud or CloudIdentity()
        self._now = now
        self._tokens = tokens or access_tokens.TokenCache(now)

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
        schemes_with_token = [each for each in schemes if each.scheme in ("oauth2", "google_oauth") and each.secret]
        authorization = next((value for name, value in rejected.headers if name == "authorization"), "")
        token = authorization.removeprefix("Bearer ")
        for scheme in schemes_with_token:
            self._tokens.forget(_credential(scheme, rejected.allow_private), token)
        return bool(schemes_with_token)

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
        return _with_parameter(request, scheme.parameter, secret)

    async def _identity_token(self, audience: str) -> str:
        if self._cloud.identity_token is None:
            detail = "this platform gives no Google identity token: only Cloud Run has one, so use another scheme here"
            raise errors.Temporary("identity_missing", detail)
        return await self._cloud.identity_token(audience)

    async def _google_token(self, scheme: "GoogleOAuthRequestAuth", allow_private: bool) -> str:
        if scheme.secret is not None:
            key = (await self._secrets.values(scheme.secret))[0]
            name, now = scheme.secret, self._now()
            fetch = partial(access_tokens.service_account_token, scheme.scope, name, key, self._fetch, now)
            return await self._tokens.token(_credential(scheme, allow_private), key, fetch)
        if self._cloud.access_token is None:
            detail = "this platform has no account of Google's: name the key of a service account in `secret`"
            raise errors.Temporary("identity_missing", detail)
        return await self._cloud.access_token(scheme.scope)

    async def _client_token(self, scheme: "OAuth2RequestAuth", secret: str, allow_private: bool) -> str:
        fetch = partial(access_tokens.client_credentials_token, scheme, secret, self._fetch, self._now(), allow_private)
        return await self._tokens.token(_credential(scheme, allow_private), secret, fetch)

    async def _aws_credentials(self, scheme: "AwsRequestAuth") -> Credentials:
        if scheme.access_key_id is not None and scheme.secret is not None:
            return Credentials(scheme.access_key_id, (await self._secrets.values(scheme.secret))[0])
        if self._cloud.aws_role is None:
            detail = "this platform has no AWS role: set `access_key_id` and `secret`"
            raise errors.Temporary("identity_missing", detail)
        return self._cloud.aws_role()


def _credential(scheme: "OAuth2RequestAuth | GoogleOAuthRequestAuth", allow_private: bool) -> Hashable:
    """Return what a token belongs to. A token that came from a private address is not used for requests that must not
    go to a private address."""
    return scheme, allow_private


def _with_bearer(request: Outgoing, token: str) -> Outgoing:
    return _with_header(request, "authorization", f"Bearer {token}")


def _with_header(request: Outgoing, name: str, value: str) -> Outgoing:
    return request._replace(headers=(*request.headers, (name, value)))


def _with_parameter(request: Outgoing, name: str, value: str) -> Outgoing:
    separator = "&" if "?" in request.url else "?"
    return request._replace(url=f"{request.url}{separator}{quote(name, safe='')}={quote(value, safe='')}")


def _with_aws_signature(request: Outgoing, scheme: "AwsRequestAuth", credentials: Credentials, now: float) -> Outgoing:
    """Return the request with its parameters in the order that AWS signs them in.

    Raises Permanent for a bad URL, and for a signed header that is not ASCII.
    """
    target = allowed_requests.read_target(request.url, request.allow_private)
    path, _, query = target.path.partition("?")
    # Latin-1 keeps every byte as it is.
    found = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    pairs = sorted((quote(k, "", "latin-1"), quote(v, "", "latin-1")) for k, v in found)
    signed_path = f"{path}?{'&'.join(map('='.join, pairs))}" if pairs else path
    covered = {name: value for name, value in request.headers if name.lower().startswith(("content-type", "x-amz-"))}
    place = (request.method, target.authority, signed_path)
    headers = signed_headers(place, covered, request.body, Scope(scheme.region, scheme.service), credentials, now)
    added = tuple((name, value) for name, value in headers.items() if name not in covered)
    origin = f"{'https' if target.secure else 'http'}://{target.authority}"
    return request._replace(url=f"{origin}{signed_path}", headers=(*request.headers, *added))
