"""What a reader asks for, from the query part of a URL."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from deploy.history.journal_view import STATUSES, EventQuery
from shared.times import unix_seconds

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500


def bad_request(rule: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=rule + "\n")


def limit_of(query: Mapping[str, str]) -> int:
    """Raises HTTPBadRequest, as all of these do."""
    limit = _whole(query, "limit")
    if limit is None:
        return DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise bad_request(f"limit is a whole number from 1 to {MAX_LIMIT}")
    return limit


def before_of(query: Mapping[str, str]) -> int | None:
    return _whole(query, "before")


def event_query(query: Mapping[str, str]) -> EventQuery:
    status = query.get("status") or None
    if status is not None and status not in STATUSES:
        raise bad_request(f"there is no status {status!r}; there are: {', '.join(STATUSES)}")
    return EventQuery(
        source=query.get("source") or None,
        type=query.get("type") or None,
        status=status,
        text=query.get("text", ""),
        since=_time(query, "since"),
        until=_time(query, "until"),
        limit=limit_of(query),
        before=before_of(query),
    )


def _time(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return unix_seconds(text)
    except ValueError as error:
        raise bad_request(f"{name} is a time such as 2026-03-01T12:00:00Z; found {text!r}") from error


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise bad_request(f"{name} is a whole number; found {text!r}")
    return int(text)
