"""Requests to the subscribers' API: JSON in and out, problems as exceptions, repeated attempts, and lists by page."""

import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeAlias, TypedDict, TypeVar, cast
from urllib.parse import quote, urlencode

from .formats import Json, depth_as_value_error
from .http import NoResponse, Response, make_request, parse_url

MAX_RESPONSE_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of an answer that are read. A longer one cannot be parsed: SubscribersError (`cut`)."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""The longest `Retry-After` that is waited for. After a longer one, the answer is the last."""
_IN_PROGRESS: Final = "request_in_progress"
"""Another request with the same idempotency key is not answered yet."""
_NOT_SENT: Final = frozenset({"unreachable"})
"""The codes of NoResponse after which any request is made again, because it has not arrived."""
_AFTER_ANY_END: Final = frozenset({"unreachable", "timeout", "cut"})
"""Those after which a request is made again that changes nothing if it had arrived."""

Item = TypeVar("Item")
Headers: TypeAlias = tuple[tuple[str, str], ...]
Transport: TypeAlias = Callable[[str, str, Headers, bytes], Response | NoResponse]
"""Makes one request: method, path with query, headers and body."""


class ValueFault(NamedTuple):
    """A value that breaks a rule. `path` is a JSON pointer into the request's body, or `?name` in its query."""

    path: str
    rule: str


class SubscribersError(Exception):
    """A request that failed, or got no answer.

    status  the HTTP status; None if there is no answer
    code    the stable code of the problem, such as `not_found`; without an answer `unreachable` or `untrusted` (not
            sent), or `timeout`, `cut`, `not_http` (it may have been done)
    detail  what is wrong, in words
    errors  the values that are at fault
    """

    def __init__(self, status: int | None, code: str, detail: str, errors: tuple[ValueFault, ...] = ()) -> None:
        super().__init__(f"{detail} ({code})" if status is None else f"{detail} ({status} {code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of a request, at most `most`: again after 429 and 503, or without an answer if a repeat is safe.

    The wait doubles from `first_wait_seconds` on, unless the answer has `Retry-After`.
    """

    most: int = 4
    first_wait_seconds: float = 0.5
    sleep: Callable[[float], None] = time.sleep


class Answer(NamedTuple):
    """The JSON object of an answer, None for one without a body, and the value of its header ETag, None without one."""

    value: dict[str, Json] | None
    etag: str | None


def http_transport(base_url: str, token: str, timeout_seconds: float) -> Transport:
    """Return a transport to the API at a URL. Raises ValueError."""
    if not 0 < timeout_seconds < math.inf:
        raise ValueError(f"timeout_seconds: must be a number above 0; got {timeout_seconds}")
    if not token.isascii() or not token.isprintable() or not token.strip():
        raise ValueError("token: must be an API key (hck_…) or a portal token (hpt_…)")
    base = base_url.rstrip("/")
    parse_url(base)

    def send(method: str, path: str, headers: Headers, body: bytes) -> Response | NoResponse:
        own = (("User-Agent", "hookchain"), ("Authorization", f"Bearer {token.strip()}"), *headers)
        response = make_request(method, parse_url(base + path), own, body, timeout_seconds, MAX_RESPONSE_BYTES)
        if isinstance(response, Response) and response.status < 300 and not response.is_whole:
            return NoResponse("cut", "the connection closed before the whole answer had arrived")
        return response

    return send


def _segment(text: str) -> str:
    """Return the id as a path segment. Raises ValueError for one that would change the path."""
    if text in {"", ".", ".."}:
        raise ValueError(f"an id must not be empty, '.' or '..'; got {text!r}")
    return quote(text, safe="")


def _answer(response: Response | NoResponse) -> Answer:
    """Return the answer of a successful response. Raises SubscribersError for any other one, and for none."""
    if isinstance(response, NoResponse):
        raise SubscribersError(None, response.code, f"no answer: {response.reason or response.code}")
    if not 200 <= response.status < 300:
        raise _problem(response)
    if response.status == 204:
        return Answer(None, None)
    try:
        value: Json = json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise SubscribersError(response.status, "cut", "the answer is incomplete, or is not JSON") from error
    if not isinstance(value, dict):
        raise _not_of_the_api(response.status, "a JSON object", type(value).__name__)
    return Answer(value, response.header("etag"))


def _not_of_the_api(status: int, expected: str, found: str) -> SubscribersError:
    return SubscribersError(
        status, "http", f"the answer must be {expected}; got {found}. Does the URL lead to the API?"
    )


def _problem(response: Response) -> SubscribersError:
    """Return the error that the body describes, as RFC 9457 has it; the code is `http` if something else answered."""
    fields = response.document
    listed = fields.get("errors")
    errors = tuple(
        ValueFault(str(each.get("path")), str(each.get("rule")))
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict)
    )
    detail = str(fields.get("detail") or fields.get("title") or "the API gives no reason")
    return SubscribersError(response.status, str(fields.get("code") or "http"), detail, errors)


class Page(TypedDict, Generic[Item]):
    """A page of a list. `next` is the cursor of the page after it; None after the last one."""

    items: list[Item]
    next: str | None


class Listing(Generic[Item]):
    """A list that is read page by page while you go through it. Each iteration reads it again from its beginning.

    An iteration raises SubscribersError if a page cannot be read.
    """

    def __init__(self, read: Callable[[str], Page[Item]], cursor: str) -> None:
        self._read = read
        self._cursor = cursor

    def pages(self) -> Iterator[Page[Item]]:
        cursor: str | None = self._cursor
        while cursor is not None:
            page = self._read(cursor)
            yield page
            cursor = page["next"]

    def __iter__(self) -> Iterator[Item]:
        for page in self.pages():
            yield from page["items"]


class Calls:
    """The requests that all operations are made of."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_seconds: float = 30.0,
        attempts: Attempts | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Take the URL of the API and an API key or a portal token. Nothing is sent yet.

        `timeout_seconds` is for each attempt. `transport` makes the requests in place of HTTP to `base_url`. Raises
        ValueError for a URL, a token or a timeout that cannot be used.
        """
        self._transport = transport or http_transport(base_url, token, timeout_seconds)
        self._attempts = attempts or Attempts()

    def _get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        return self._request("GET", path, query=query).value

    def _post(self, *path: str, body: Mapping[str, object] | None = None, idempotency_key: str | None = None) -> Json:
        return self._request("POST", path, body=body or {}, idempotency_key=idempotency_key).value

    def _delete(self, *path: str, if_match: str | None = None) -> None:
        self._request("DELETE", path, if_match=if_match)

    def _listing(
        self, *path: str, query: Mapping[str, str | None] | None = None, limit: int, cursor: str
    ) -> Listing[Item]:
        def read(after: str) -> Page[Item]:
            fields = {**(query or {}), "limit": limit, "cursor": after}
            page = self._request("GET", path, query=fields).value or {}
            if not (isinstance(page.get("items"), list) and isinstance(page.get("next", 0), str | None)):
                raise _not_of_the_api(200, "a page with `items` and `next`", f"an object with the fields {[*page]}")
            return cast(Page[Item], page)

        return Listing(read, cursor)

    def _request(
        self,
        method: str,
        path: Sequence[str],
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Answer:
        """Return the answer. Values that are None are left out. A POST has a key of its own if it is given none.

        Raises SubscribersError, and ValueError for a value that JSON cannot hold.
        """
        fields = [(name, value) for name, value in (query or {}).items() if value not in (None, "")]
        url_path = "/v1/" + "/".join(map(_segment, path))
        if fields:
            url_path += "?" + urlencode(fields)
        headers: list[tuple[str, str]] = [("Accept", "application/json")]
        content = b""
        if body is not None:
            given = {name: value for name, value in body.items() if value is not None}
            with depth_as_value_error():
                content = json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
            headers.append(("Content-Type", "application/json"))
        if method == "POST":
            headers.append(("Idempotency-Key", idempotency_key or uuid.uuid4().hex))
        if if_match is not None:
            headers.append(("If-Match", if_match))
        return _answer(self._attempted(method, url_path, tuple(headers), content, is_repeatable=if_match is None))

    def _attempted(
        self, method: str, path: str, headers: Headers, body: bytes, is_repeatable: bool
    ) -> Response | NoResponse:
        """Return the response to the last attempt. `is_repeatable`: a request that was done already does no harm."""
        wait = self._attempts.first_wait_seconds
        last = max(1, self._attempts.most) - 1
        for number in range(last + 1):
            response = self._transport(method, path, headers, body)
            if isinstance(response, NoResponse):
                is_tried_again = response.code in (_AFTER_ANY_END if is_repeatable else _NOT_SENT)
                retry_after = None
            elif method == "DELETE" and number and response.status == 404:
                return Response(204, b"")  # an earlier attempt deleted it
            else:
                is_tried_again = _is_tried_again(response, is_repeatable)
                retry_after = response.retry_after_seconds
            if not is_tried_again or number == last or (retry_after or 0.0) > LONGEST_WAIT_SECONDS:
                break
            self._attempts.sleep(wait if retry_after is None else retry_after)
            wait *= 2
        return response


def _is_tried_again(response: Response, is_repeatable: bool) -> bool:
    """Return whether to make the request again. After a 503, it may have been done: then its `If-Match` fails."""
    if response.status == 503:
        return is_repeatable
    return response.status == 429 or (response.status == 409 and _problem(response).code == _IN_PROGRESS)


def with_etag(answer: Answer) -> Json:
    """Return the document with the ETag of the answer, if it has one."""
    return {**answer.value, "etag": answer.etag} if answer.etag and answer.value else answer.value
