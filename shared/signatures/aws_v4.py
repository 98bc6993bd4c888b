"""Signature Version 4: how a request to AWS proves who sends it.

Own code: botocore, which has it too, takes 150 ms to import, as much as the rest of a function's start.
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

from shared.errors import Permanent

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_DATE: Final = "X-Amz-Date"
_DIGEST: Final = "X-Amz-Content-Sha256"
_TOKEN: Final = "X-Amz-Security-Token"  # noqa: S105 a name


class Credentials(NamedTuple):
    """The keys of a role or a user. `session_token` is empty for a user's own keys."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


def credentials_in(environ: Mapping[str, str]) -> Credentials:
    """Return the credentials that Lambda puts into a function's environment. Raises KeyError where it has none."""
    return Credentials(
        environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN", "")
    )


class Scope(NamedTuple):
    """The region and the service (`sqs`, `dynamodb`, `s3` …) that a signature is valid for."""

    region: str
    service: str


class SignedHead(NamedTuple):
    """The head of a request to AWS, as far as it depends on neither the time, the keys nor the body.

    headers    those that the request has anyway
    names      of all that are signed
    canonical  the canonical request as a template of `%`
    """

    scope: Scope
    headers: Mapping[str, str]
    names: str
    canonical: str


def signed_headers(
    request: tuple[str, str, str],
    headers: Mapping[str, str],
    body: bytes,
    scope: Scope,
    credentials: Credentials,
    now: float,
) -> dict[str, str]:
    """Return the headers of a request with those that authenticate it. The arguments are as in the two below."""
    head = signed_head(request, headers, scope, has_token=bool(credentials.session_token))
    return head_headers(head, body, credentials, now)


def signed_head(
    request: tuple[str, str, str], headers: Mapping[str, str], scope: Scope, *, has_token: bool
) -> SignedHead:
    """Return what all requests with this head have in common.

    `request` is the method, the host, and the path with its query: each part percent-encoded already, the parameters
    sorted by name. `has_token`: the credentials have a session token.

    Raises Permanent for a value that is not ASCII: AWS does not say how it reads one, so the signature might not match.
    """
    for name, value in headers.items():
        if not value.isascii():
            rule = f"the header {name!r} is signed for AWS and must be ASCII: encode it, as with `| urlencode`"
            raise Permanent("invalid_header", rule)
    method, host, target = request
    path, _, query = target.partition("?")
    if scope.service != "s3":  # all others sign the path encoded once more
        path = quote(_normalized(path), safe="/~")
    values = {name: _literal(" ".join(value.split())) for name, value in headers.items()}
    values[_DATE] = "%(moment)s"
    if scope.service == "s3":  # which verifies the digest, and wants it said
        values[_DIGEST] = "%(digest)s"
    if has_token:
        values[_TOKEN] = "%(token)s"
    lines = sorted([("host", _literal(host)), *((name.lower(), value) for name, value in values.items())])
    names = ";".join([name for name, _ in lines])
    canonical = "".join([f"{_literal(name)}:{value}\n" for name, value in lines])
    begin = _literal(f"{method}\n{path}\n{query}\n")
    return SignedHead(scope, headers, names, f"{begin}{canonical}\n{_literal(names)}\n%(digest)s")


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def head_headers(head: SignedHead, body: bytes, credentials: Credentials, now: float) -> dict[str, str]:
    """Return the headers of one request with this head. `now` is in Unix seconds."""
    scope, token = head.scope, credentials.session_token
    moment = _moment(int(now))
    day = moment[:8]
    digest = hashlib.sha256(body).hexdigest()
    signed = {**head.headers, _DATE: moment}
    if scope.service == "s3":
        signed[_DIGEST] = digest
    if token:
        signed[_TOKEN] = token
    canonical = head.canonical % {"moment": moment, "digest": digest, "token": token}
    where = f"{day}/{scope.region}/{scope.service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{moment}\n{where}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = _keyed_hash(credentials.secret_access_key, day, scope).copy()
    signature.update(to_sign.encode())
    signed["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{where}, SignedHeaders={head.names}, "
        f"Signature={signature.hexdigest()}"
    )
    return signed


@lru_cache(maxsize=8)
def _moment(now: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _normalized(path: str) -> str:
    """Return the path as AWS signs it: without empty segments, `.` and `..` (RFC 3986, 5.2.4)."""
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return f"/{'/'.join(kept)}{end}"


@lru_cache(maxsize=16)
def _keyed_hash(secret: str, day: str, scope: Scope) -> hmac.HMAC:
    """Return the hash with the key of one day: a request a second would otherwise derive it 86,400 times."""
    key = f"AWS4{secret}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod=hashlib.sha256)
