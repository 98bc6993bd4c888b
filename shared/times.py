"""Times: Unix seconds inside, RFC 3339 in UTC on the wire."""

from datetime import UTC, datetime


def rfc3339(unix_seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00.250Z`: UTC, milliseconds."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_seconds(text: str) -> float:
    """Read an RFC 3339 time. Raises ValueError for what is not one with a zone."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; add Z or an offset")
    return when.timestamp()
