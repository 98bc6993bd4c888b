"""Bounds for destinations: of the time that templates and expressions compute, and of the length of texts."""

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
"""The units in which a service counts the length of a text: code points, code units of UTF-16 (an emoji has two or
more), or bytes of UTF-8."""
_ENCODINGS: Final = {"characters": ("utf-32-le", 4), "utf-16": ("utf-16-le", 2), "bytes": ("utf-8", 1)}
"""For each unit, an encoding in which it has a fixed number of bytes, and that number."""


class bounded_templates(time_bound.bounded):  # noqa: N801 as the class below it
    """A context manager that bounds the time that the code in it computes. Raises Permanent (`time_limit_exceeded`)."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        except time_bound.OutOfTime as late:  # the time was over at the last moment
            error = late
        if isinstance(error, time_bound.OutOfTime):
            reason = f"its templates or code compute for over {time_bound.MAX_COMPUTING_SECONDS:g} s with this event"
            raise errors.Permanent("time_limit_exceeded", reason) from None


@lru_cache(maxsize=1_000)
def compiled_expression(text: str) -> "Expression":
    """Return the JMESPath expression, compiled once. The configuration's checks have verified the names in it."""
    # Imported here, because it imports jmespath, which few destinations need.
    from shared.expressions import Expression

    return Expression(text)


def bound_of(expressions: "Iterable[Expression]") -> type[AbstractContextManager[None]]:
    """Return the context manager in which the expressions must be applied. It has no bound if all of them are paths,
    which compute nothing.
    """
    return nullcontext if all(each.is_path for each in expressions) else bounded_templates


def cut(text: str, limit: int, unit: Unit = "characters", tail: str = "") -> str:
    """Return the text followed by the tail. If both have more than `limit` units, cut the text and end it with MARK.

    The tail is never cut.
    Half a surrogate pair, which an event may contain, becomes a question mark.
    """
    if not tail and len(text) <= limit and text.isascii():  # most texts; each character is one unit of any kind
        return text
    encoding, bytes_per_unit = _ENCODINGS[unit]
    content = text.encode(encoding, "replace")
    bytes_left = limit * bytes_per_unit - len(tail.encode(encoding))
    if len(content) <= bytes_left:
        return content.decode(encoding) + tail
    bytes_before_mark = max(0, bytes_left - len(MARK.encode(encoding)))
    # "ignore" drops a character of which only some bytes are left.
    return content[:bytes_before_mark].decode(encoding, "ignore").rstrip() + MARK + tail
