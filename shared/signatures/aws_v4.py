"""Signature Version 4, by which AWS authenticates a request.

    Authorization: AWS4-HMAC-SHA256 Credential=AKIA…/20260301/eu-central-1/sqs/aws4_request, SignedHeaders=host;…,
    Signature=…

It is not left to botocore, because importing botocore takes 150 ms, as long as the rest of a function's start.
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


class Credentials(NamedTuple):
    """The keys of a role or a user. `session_token` is empty for a user's own keys."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


def credentials_in(environ: Mapping[str, str]) -> Credentials:
    """Return the credentials that Lambda puts into a function's environment. Raises KeyError if there are none."""
    return Credentials(
        environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN", "")
    )


class RequestLine(NamedTuple):
    """The method, the host, and the path with its query: percent-encoded, with the parameters sorted by name."""

    method: str
    host: str
    target: str


class Scope(NamedTuple):
    """The region and the service (`sqs`, `dynamodb`, `s3` …) that a signature is valid for."""

    region: str
    service: str


def signed_headers(
    request: RequestLine,
    headers: Mapping[str, str],
    body: bytes,
    scope: Scope,
    credentials: Credentials,
    now: float,
) -> dict[str, str]:
    """Return the headers of a request, with those that authenticate it added. `now` is in Unix seconds.

    Raises Permanent (`invalid_header`) for a value that is not ASCII. AWS does not say how it decodes such a value, so
    the signature might not match.
    """
    for name, value in headers.items():
        if not value.isascii():
            rule = f"the header {name!r} is signed for AWS and must be ASCII: encode it, as with `| urlencode`"
            raise Permanent("invalid_header", rule)
    path, _, query = request.target.partition("?")
    if scope.service != "s3":  # all services but S3 sign the path percent-encoded once more
        path = quote(_normalized(path), safe="/~")
    moment = timestamp(int(now))
    digest = hashlib.sha256(body).hexdigest()
    signed = {**headers, "X-Amz-Date": moment}
    if scope.service == "s3":  # S3 requires this header, and verifies the body by it
        signed["X-Amz-Content-Sha256"] = digest
    if credentials.session_token:
        signed["X-Amz-Security-Token"] = credentials.session_token
    canonical_headers = [(name.lower(), " ".join(value.split())) for name, value in signed.items()]
    canonical_headers.append(("host", request.host))
    canonical_headers.sort()
    names = ";".join([name for name, _ in canonical_headers])
    lines = "".join([f"{name}:{value}\n" for name, value in canonical_headers])
    canonical_request = f"{request.method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    signed["Authorization"] = authorization(canonical_request, names, moment, scope, credentials)
    return signed


def authorization(canonical_request: str, names: str, moment: str, scope: Scope, credentials: Credentials) -> str:
    """Return the Authorization header. `names` are the names of the signed headers, `moment` is a `timestamp`."""
    day = moment[:8]  # such as 20260301
    scope_text = f"{day}/{scope.region}/{scope.service}/aws4_request"
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    signature = _keyed_hash(credentials.secret_access_key, day, scope).copy()
    signature.update(f"{ALGORITHM}\n{moment}\n{scope_text}\n{digest}".encode())
    identity = f"Credential={credentials.access_key_id}/{scope_text}"
    return f"{ALGORITHM} {identity}, SignedHeaders={names}, Signature={signature.hexdigest()}"


@lru_cache(maxsize=8)
def timestamp(now: int) -> str:
    """Return the time of a signature, as `20260301T120000Z`."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _normalized(path: str) -> str:
    """Return the path as AWS signs it: without empty segments, `.` and `..` (RFC 3986, 5.2.4)."""
    if "//" not in path and "/." not in path:
        return path
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return f"/{'/'.join(segments)}{end}"


@lru_cache(maxsize=16)
def _keyed_hash(secret: str, day: str, scope: Scope) -> hmac.HMAC:
    """Return an HMAC without content, with the key for one day.

    It is cached, because deriving the key takes four HMACs, and at one request a second it would be derived 86,400
    times a day. Copy it before you add content.
    """
    key = f"AWS4{secret}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod=hashlib.sha256)
