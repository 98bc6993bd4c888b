"""The checks of a request before anything is parsed: its head, then its credentials.

Head: path, method, sizes, encoding, content type and the sender's address. Credentials: any of the source's schemes
will do. A password or token in the head is verified before the body is read, a signature over the raw body.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from functions.receive.source import Source, sender_address
from shared.errors import Rejected
from shared.http import MAX_HEADER_BYTES, Request
from shared.signatures.auth_scheme import AuthScheme, NeededKey, NotAttempted, UnusableSecret, verify_request
from shared.signatures.locations import RequestFields

MAX_QUERY_BYTES: Final = 65_536
"""The longest query that servers accept, however large the body of a source may be."""
MAX_HEADERS: Final = 256
"""The most header lines of a request. Each lookup of a header reads all of them, and 256 are more than any sender needs
and any platform passes on."""
ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_MAX_LENGTH_DIGITS: Final = 19
"""The number of digits of the largest signed 64-bit integer."""
_OTHER_PATH: Final = (
    "the path must be the source's name alone, without a slash after it, unless its `public_url` ends in a slash"
)


class MethodRejected(Rejected):
    """A 405, which names the methods that are allowed."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__("method_not_allowed", f"this source takes {', '.join(allowed)}")
        self.allowed = allowed


def source_name(path: str) -> str:
    """Return the first segment of the path, which names the source of a request."""
    return unquote(path.removeprefix("/").partition("/")[0])


def admit(head: Request, sources: Mapping[str, Source]) -> Source:
    """Return the source that the request is for, once its head has passed every check but authentication.

    Raises Rejected.
    """
    source = sources.get(source_name(head.path))
    if source is None:
        raise Rejected("unknown_source", "no source has this path; the configuration's `sources` lists them")
    _verify_path(head.path, source)
    if head.method not in source.answered_methods:
        raise MethodRejected(source.answered_methods)
    _verify_sizes(head, source)
    encoding = (head.header("content-encoding") or "").strip().lower()
    if encoding not in ENCODINGS:
        raise Rejected("unsupported_encoding", "the content encoding must be gzip or deflate")
    if source.content_types and head.method in source.methods and head.method != "GET":
        _verify_content_type(head.header("content-type") or "", source.content_types)
    if source.allow:
        source.allow.verify(sender_address(head, source.trusted_proxies))
    return source


def _verify_path(path: str, source: Source) -> None:
    """Reject a path that goes on after the source's name, unless a token stands there. Raises Rejected."""
    rest = path.removeprefix("/").partition("/")[2]
    if rest:
        path_fits = source.takes_path_token and "/" not in rest
    else:
        # An empty token gets its own rejection, and a sender may sign a URL with a slash at its end.
        may_end_in_slash = source.takes_path_token or source.public_url.endswith("/")
        path_fits = may_end_in_slash or not path.endswith("/")
    if not path_fits:
        raise Rejected("unknown_source", _OTHER_PATH)


def _verify_sizes(head: Request, source: Source) -> None:
    """Raise Rejected for more header lines or bytes, a larger body or a longer query than are accepted."""
    lines = len(head.headers)
    if lines > MAX_HEADERS:
        raise Rejected("headers_too_large", f"the request has {lines} header lines; at most {MAX_HEADERS} are accepted")
    header_bytes = sum([len(name) + len(value) for name, value in head.headers])
    if header_bytes > MAX_HEADER_BYTES:
        rule = f"the headers have {header_bytes} bytes; at most {MAX_HEADER_BYTES} are accepted"
        raise Rejected("headers_too_large", rule)
    length = head.header("content-length")
    if length is not None:
        is_number = length.isascii() and length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS
        if not is_number:
            raise Rejected("invalid_content_length", "content-length is not a whole number")
        if int(length) > source.max_request_bytes:
            raise Rejected("body_too_large", f"the body is larger than {source.max_request_bytes} bytes")
    max_query_bytes = min(source.max_body_bytes, MAX_QUERY_BYTES)
    if len(head.query) > max_query_bytes:
        rule = f"the query has {len(head.query)} bytes; this source accepts at most {max_query_bytes}"
        raise Rejected("query_too_large", rule)


def _verify_content_type(header: str, accepted: tuple[str, ...]) -> None:
    """Raise Rejected (`unsupported_content_type`) if the content type is none of those that are accepted."""
    name = header.partition(";")[0].strip().lower()
    if not any(type_fits(name, pattern) for pattern in accepted):
        raise Rejected("unsupported_content_type", f"this source accepts {', '.join(accepted)}")


def type_fits(name: str, pattern: str) -> bool:
    """Return whether a content type is one of the pattern: `application/json`, `text/*` or `*+json`."""
    if pattern.startswith("*"):
        suffix = pattern[1:]
        return name.endswith(suffix) and len(name) > len(suffix)
    if pattern.endswith("/*"):
        family = pattern[:-1]
        return name.startswith(family)
    return name == pattern


def requested_url(request: Request, source: Source) -> str:
    """Return the URL that the sender used and may have signed: the configured `public_url`, else the request's own.

    In both cases, a token in the path and the query are those of the request.
    """
    query = f"?{request.query}" if request.query else ""
    if source.public_url:
        token = request.path.removeprefix("/").partition("/")[2]
        url = f"{source.public_url.rstrip('/')}/{token}" if token else source.public_url
        return url + query
    scheme, host = "http", request.header("host") or ""
    if source.trusted_proxies:
        scheme = nearest_value(request, "x-forwarded-proto") or scheme
        host = nearest_value(request, "x-forwarded-host") or host
    return f"{scheme}://{host}{request.path}{query}"


def nearest_value(request: Request, name: str) -> str:
    """Return the nearest proxy's value of a header that each proxy adds to."""
    return (request.header(name) or "").rpartition(",")[2].strip()


SecretValues = Mapping[str, Sequence[str]]
"""The values of each secret by its name, the newest first."""

NO_KEYS: Final[Mapping[str, bytes]] = MappingProxyType({})
"""The fetched keys of a request whose schemes need none."""


def verify_head(request: Request, source: Source, secrets: SecretValues, now: float) -> bool:
    """Return True if the head authenticates the sender, and False if a signature still has to.

    Raises Rejected if no scheme in the head accepts the request, and the source has no scheme of signatures. A scheme
    whose `when` the request does not meet rejects it, as a wrong password does.
    """
    rejection: Rejected | None = None
    for auth in source.head_schemes:
        try:
            verify_request(request, auth, secrets.get(auth.secret, ()), NO_KEYS, now)
        except Rejected as error:
            rejection = rejection or error
        else:
            return True
    if rejection and not source.body_schemes:
        raise rejection
    return False


def needed_keys(fields: RequestFields, source: Source, now: float) -> set[NeededKey]:
    """Return the keys that have to be fetched before verify_body.

    Checks that need no key, such as the age of a signature, come first. If one fails, verify_body rejects the request
    for it, so its key is not fetched.
    """
    needed: set[NeededKey] = set()
    for auth in source.body_schemes:
        if auth.needs_key and fields.meets(auth.when):
            try:
                key = auth.needed_key(fields, now)
            except Rejected:
                continue
            if key:
                needed.add(key)
    return needed


def verify_body(
    fields: RequestFields,
    source: Source,
    secrets: SecretValues,
    now: float,
    keys: Mapping[str, bytes] = NO_KEYS,
) -> AuthScheme:
    """Return the scheme that authenticates the request.

    `keys` has, by its URL, each key that needed_keys returned. Every scheme whose `when` the request meets is tried.
    If none accepts it, raises the Rejected of the first one that found credentials, or UnusableSecret at once.
    """
    rejection: Rejected | None = None
    for auth in source.body_schemes:
        if auth.when and not fields.meets(auth.when):
            continue
        try:
            auth.verify(fields, secrets.get(auth.secret, ()), keys, now)
        except NotAttempted:
            continue
        except Rejected as error:
            rejection = rejection or error
        except UnusableSecret as error:
            if _accepts_one_value(auth, fields, secrets.get(auth.secret, ()), keys, now):
                return auth
            if not _is_password_too(source, auth):  # the operator must replace it, whatever another scheme says
                raise UnusableSecret(
                    f"secret {auth.secret!r}: {error.detail}" if auth.secret else error.detail
                ) from error
            rule = f"{error.detail}; it serves another of the source's schemes"
            rejection = rejection or Rejected("signature_mismatch", rule)
        else:
            return auth
    raise rejection or _no_credentials(source)


def _accepts_one_value(
    auth: AuthScheme, fields: RequestFields, values: Sequence[str], keys: Mapping[str, bytes], now: float
) -> bool:
    """Return whether the scheme accepts the request by one value of its secret alone.

    After a rotation, one of the values may be no key, which must not hide another value that is right.
    """
    is_accepted = False
    for value in values:  # all of them, so that the time taken does not reveal which one matches
        with suppress(Rejected, UnusableSecret):
            auth.verify(fields, (value,), keys, now)
            is_accepted = True
    return is_accepted


def _is_password_too(source: Source, auth: AuthScheme) -> bool:
    """Return whether the scheme's secret is also the password of a scheme in the head.

    Then it need not be a key: the sender has tried the wrong scheme, and the operator is not at fault.
    """
    return bool(auth.secret) and any(other.secret == auth.secret for other in source.head_schemes)


def _no_credentials(source: Source) -> Rejected:
    """Return the rejection of a request that has no signature for any scheme of the source."""
    locations = dict.fromkeys(auth.credentials_text for auth in source.body_schemes)
    if not locations:
        return Rejected("signature_mismatch", "the source takes no signature")
    return Rejected("signature_mismatch", f"the request has no signature: it is expected in {' or '.join(locations)}")
