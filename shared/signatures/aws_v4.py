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


def signed_headers(
    request: tuple[str, str, str],
    headers: Mapping[str, str],
    body: bytes,
    scope: Scope,
    credentials: Credentials,
    now: float,
) -> dict[str, str]:
    """Return the headers of a request with those that authenticate it.

    `request` is the method, the host, and the path with its query: each part percent-encoded already, the parameters
    sorted by name. `now` is in Unix seconds.

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
    moment = timestamp(int(now))
    digest = hashlib.sha256(body).hexdigest()
    signed = {**headers, "X-Amz-Date": moment}
    if scope.service == "s3":  # which verifies the digest, and wants it said
        signed["X-Amz-Content-Sha256"] = digest
    if credentials.session_token:
        signed["X-Amz-Security-Token"] = credentials.session_token
    canonical = sorted([("host", host), *((name.lower(), " ".join(value.split())) for name, value in signed.items())])
    names = ";".join([name for name, _ in canonical])
    lines = "".join([f"{name}:{value}\n" for name, value in canonical])
    canonical_request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    signed["Authorization"] = authorization(canonical_request, names, moment, scope, credentials)
    return signed


def authorization(canonical_request: str, names: str, moment: str, scope: Scope, credentials: Credentials) -> str:
    """Return the header that authenticates a request. `names` are the names of the signed headers."""
    where = f"{moment[:8]}/{scope.region}/{scope.service}/aws4_request"
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    signature = _keyed_hash(credentials.secret_access_key, moment[:8], scope).copy()
    signature.update(f"{ALGORITHM}\n{moment}\n{where}\n{digest}".encode())
    identity = f"Credential={credentials.access_key_id}/{where}"
    return f"{ALGORITHM} {identity}, SignedHeaders={names}, Signature={signature.hexdigest()}"


@lru_cache(maxsize=8)
def timestamp(now: int) -> str:
    """Return the time of a signature, as `20260301T120000Z`."""
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
