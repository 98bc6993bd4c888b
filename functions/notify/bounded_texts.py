"""Bounds of what a destination computes and sends: the time of templates and expressions, and the length of texts."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal

from shared import errors, time_bound

if TYPE_CHECKING:
    from shared.expressions import Expression

MARK: Final = "…"
"""The end of a text that was cut."""
Unit = Literal["characters", "utf-16", "bytes"]
"""Code points; code units of UTF-16, of which an emoji has two or more; bytes of UTF-8."""
_ENCODINGS: Final = {"characters": ("utf-32-le", 4), "utf-16": ("utf-16-le", 2), "bytes": ("utf-8", 1)}


class bounded_templates(time_bound.bounded):  # noqa: N801 as the class below it
    """A context manager: bounds the time that the code inside computes. Raises Permanent (`time_limit_exceeded`)."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        except time_bound.OutOfTime as late:  # the time was over at the last moment
            error = late
        if isinstance(error, time_bound.OutOfTime):
            reason = f"its templates compute for more than {time_bound.MAX_COMPUTING_SECONDS:g} s with this event"
            raise errors.Permanent("time_limit_exceeded", reason) from None


@lru_cache(maxsize=1_000)
def compiled_expression(text: str) -> "Expression":
    """Return the JMESPath expression over an event, compiled once."""
    # Imported here, because it imports jmespath, which few destinations need.
    from shared.expressions import over_event

    return over_event(text)


def bound_of(expressions: "Iterable[Expression]") -> type[AbstractContextManager[None]]:
    """Return what bounds the time that the expressions compute. Those that are paths compute nothing."""
    return nullcontext if all(each.is_path for each in expressions) else bounded_templates


def cut(text: str, limit: int, unit: Unit = "characters", tail: str = "") -> str:
    """Return the text and the tail; the text is cut, and ends with a mark, where both have more units than `limit`.

    Half a surrogate pair, which an event may hold, becomes a question mark.
    """
    if not tail and len(text) <= limit and text.isascii():  # most texts; a character is one unit of each kind
        return text
    encoding, width = _ENCODINGS[unit]
    content = text.encode(encoding, "replace")
    room = limit * width - len(tail.encode(encoding))
    if len(content) <= room:
        return content.decode(encoding) + tail
    room = max(0, room - len(MARK.encode(encoding)))
    return content[:room].decode(encoding, "ignore").rstrip() + MARK + tail
