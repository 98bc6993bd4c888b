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
from shared.outgoing import access_tokens, allowed_urls
from shared.signatures.aws_v4 import Credentials, RequestLine, Scope, signed_headers

if TYPE_CHECKING:
    from shared.outgoing.auth import AnyRequestAuth, AwsRequestAuth, GoogleOAuthRequestAuth, OAuth2RequestAuth


@dataclass(frozen=True, slots=True)
class CloudIdentity:
    """This function's own identity on its platform. A field is None if the platform does not have it. Each call raises
    Temporary if the platform gives none now.

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

        Raises as `authenticate` and Fetch do. If there is no token, it raises a Temporary that is not Unanswered,
        because nothing was sent.
        """
        authenticated = await self.authenticate(schemes, request)
        answer = await self._fetch.fetch(authenticated)
        if answer.status == 401 and self.forget_token(schemes, authenticated):
            return await self._fetch.fetch(await self.authenticate(schemes, request))
        return answer

    async def authenticate(self, schemes: "Sequence[AnyRequestAuth]", request: Outgoing) -> Outgoing:
        """Return the request with what authenticates it, by the newest value of each secret.

        A signature of the whole request is made last. Raises Temporary without a secret or a token, and Permanent if
        the request cannot be signed.
        """
        for scheme in sorted(schemes, key=lambda scheme: scheme.scheme == "aws"):
            request = await self._authenticated(scheme, request)
        return request

    def forget_token(self, schemes: "Sequence[AnyRequestAuth]", rejected: Outgoing) -> bool:
        """Forget the token that a rejected request carried. Return whether a scheme's tokens are kept here at all.

        If they are, authenticating the request again gets a new token. `rejected` is the request as `authenticate`
        returned it.
        """
        # A `google_oauth` without a secret is for the function's own account, whose tokens the platform keeps.
        schemes_with_token = [each for each in schemes if each.scheme in ("oauth2", "google_oauth") and each.secret]
        authorization = next((value for name, value in rejected.headers if name == "authorization"), "")
        token = authorization.removeprefix("Bearer ")
        for scheme in schemes_with_token:
            self._tokens.forget(_credential(scheme, rejected.allow_private), token)
        return bool(schemes_with_token)

    async def _authenticated(self, scheme: "AnyRequestAuth", request: Outgoing) -> Outgoing:
        match scheme.scheme:
            case "google":
                audience = scheme.audience or request.url.partition("?")[0]
                return _with_bearer(request, await self._identity_token(audience))
            case "google_oauth":
                return _with_bearer(request, await self._google_token(scheme, request.allow_private))
            case "oauth2":
                return _with_bearer(request, await self._client_token(scheme, request.allow_private))
            case "bearer":
                return _with_bearer(request, await self._newest(scheme.secret))
            case "basic":
                user_and_password = f"{scheme.username}:{await self._newest(scheme.secret)}"
                return _with_header(request, "authorization", f"Basic {b64encode(user_and_password.encode()).decode()}")
            case "header":
                return _with_header(request, scheme.header, f"{scheme.prefix}{await self._newest(scheme.secret)}")
            case "query":
                return _with_parameter(request, scheme.parameter, await self._newest(scheme.secret))
            case "aws":
                return _with_aws_signature(request, scheme, await self._aws_credentials(scheme), self._now())

    async def _newest(self, secret_name: str) -> str:
        return (await self._secrets.values(secret_name))[0]

    async def _identity_token(self, audience: str) -> str:
        if self._cloud.identity_token is None:
            detail = "this platform gives no Google identity token: only Cloud Run has one, so use another scheme here"
            raise errors.Temporary("identity_missing", detail)
        return await self._cloud.identity_token(audience)

    async def _google_token(self, scheme: "GoogleOAuthRequestAuth", allow_private: bool) -> str:
        if scheme.secret is not None:
            key = await self._newest(scheme.secret)
            name, now = scheme.secret, self._now()
            fetch = partial(access_tokens.service_account_token, scheme.scope, name, key, self._fetch, now)
            return await self._tokens.token(_credential(scheme, allow_private), key, fetch)
        if self._cloud.access_token is None:
            detail = "this platform has no account of Google's: name the key of a service account in `secret`"
            raise errors.Temporary("identity_missing", detail)
        return await self._cloud.access_token(scheme.scope)

    async def _client_token(self, scheme: "OAuth2RequestAuth", allow_private: bool) -> str:
        secret = await self._newest(scheme.secret)
        fetch = partial(access_tokens.client_credentials_token, scheme, secret, self._fetch, self._now(), allow_private)
        return await self._tokens.token(_credential(scheme, allow_private), secret, fetch)

    async def _aws_credentials(self, scheme: "AwsRequestAuth") -> Credentials:
        if scheme.access_key_id is not None and scheme.secret is not None:
            return Credentials(scheme.access_key_id, await self._newest(scheme.secret))
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

    The content type and AWS's own headers are signed. Raises Permanent for a URL to which nothing may be sent, and for
    a signed header that is not ASCII.
    """
    target = allowed_urls.read_target(request.url, request.allow_private, request.allow_http)
    path, _, query = target.path.partition("?")
    # Latin-1 has a character for each byte, so that a parameter in any encoding keeps its bytes.
    parameters = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    pairs = sorted((quote(name, "", "latin-1"), quote(value, "", "latin-1")) for name, value in parameters)
    signed_path = f"{path}?{'&'.join(map('='.join, pairs))}" if pairs else path
    signed = {name: value for name, value in request.headers if name.lower().startswith(("content-type", "x-amz-"))}
    request_line = RequestLine(request.method, target.authority, signed_path)
    scope = Scope(scheme.region, scheme.service)
    headers = signed_headers(request_line, signed, request.body, scope, credentials, now)
    added = tuple((name, value) for name, value in headers.items() if name not in signed)
    origin = f"{'https' if target.secure else 'http'}://{target.authority}"
    return request._replace(url=f"{origin}{signed_path}", headers=(*request.headers, *added))
