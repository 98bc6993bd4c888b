"""Calls of the subscribers' API, and lists that are read page by page."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypedDict, TypeVar, cast

from .formats import Json
from .subscribers_api import Answer, Attempts, SubscribersApi, Transport, http_transport

Item = TypeVar("Item")


class Page(TypedDict, Generic[Item]):
    """A page of a list. `next` is the cursor of the page after it; None after the last one."""

    items: list[Item]
    next: str | None


class Listing(Generic[Item]):
    """A list that is read page by page while you go through it."""

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
        """Raises ValueError. `transport` makes the requests in place of HTTP to `base_url`."""
        made = transport or http_transport(base_url, token, timeout_seconds)
        self._api = SubscribersApi(made, attempts or Attempts())

    def _get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        return self._api.request("GET", *path, query=query).value

    def _post(self, *path: str, body: Mapping[str, object] | None = None, idempotency_key: str | None = None) -> Json:
        return self._api.request("POST", *path, body=body or {}, idempotency_key=idempotency_key).value

    def _listing(
        self, *path: str, query: Mapping[str, str | None] | None = None, limit: int, cursor: str
    ) -> Listing[Item]:
        def read(after: str) -> Page[Item]:
            fields = {**(query or {}), "limit": limit, "cursor": after}
            return cast(Page[Item], self._api.request("GET", *path, query=fields).value)

        return Listing(read, cursor)


def with_etag(answer: Answer) -> Json:
    """Return the document with the ETag of the answer, if it has one."""
    return {**answer.value, "etag": answer.etag} if answer.etag and isinstance(answer.value, dict) else answer.value
