"""The sandbox that templates are filled in: Jinja2's, without a loader and with bounds on what values become.

https://jinja.palletsprojects.com/en/stable/sandbox/
"""

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Final
from urllib.parse import quote

from jinja2 import StrictUndefined, Undefined
from jinja2.filters import do_indent, sync_do_slice
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.errors import Permanent
from shared.event import oneline
from shared.jsontext import to_json
from shared.template_costs import MAX_OUTPUT_CHARACTERS, Called, binop_cost, bounded_filters, bounded_format, call_cost


class NotAValue(TypeError):
    """A value that is not data: as text it would show an address in this process's memory."""


class _Callable:
    """A method that a template can only call."""

    __slots__ = ("call",)

    def __init__(self, call: Called) -> None:
        self.call = call

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self.call(*args, **kwargs)

    def __repr__(self) -> str:
        raise NotAValue


class _Items:
    """The items of a lazy filter, which a template can only iterate over."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[object]) -> None:
        self._items = iter(items)

    def __iter__(self) -> "_Items":
        return self

    def __next__(self) -> object:
        return next(self._items)

    def __repr__(self) -> str:
        raise NotAValue


def _callable(value: object) -> object:
    return _Callable(value) if callable(value) and not isinstance(value, Undefined) else value


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox. An event's keys come before Python's methods, so that `data.items` is the sender's field."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def getattr(self, obj: object, attribute: str) -> object:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return _callable(super().getattr(obj, attribute))

    def getitem(self, obj: object, argument: object) -> object:
        return _callable(super().getitem(obj, argument))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        if binop_cost(operator, left, right) > MAX_OUTPUT_CHARACTERS:
            raise OverflowError
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: object, *args: object, **kwargs: object) -> object:  # noqa: N805 Jinja's
        if isinstance(__obj, _Callable):
            __obj = __obj.call
        if call_cost(__obj, (*args, *kwargs.values())) > MAX_OUTPUT_CHARACTERS:
            raise OverflowError
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: object) -> Called | None:  # type: ignore[override] # it makes text, as Jinja's does
        wrapped = super().wrap_str_format(value)
        return wrapped and bounded_format(wrapped, str(getattr(value, "__self__", "")))


def shown(value: object) -> object:
    """Return the value as templates show it: null is empty; lists, objects and booleans are JSON. Raises NotAValue."""
    if isinstance(value, str | Undefined):
        return value
    if isinstance(value, bool | list | dict):
        return to_json(value)
    if value is None:
        return ""
    if not isinstance(value, int | float | tuple | range):
        raise NotAValue
    return value


def quoted(value: object) -> object:
    """Return the value quoted as one segment of a URL. Raises Permanent for an empty value, `.` and `..`."""
    if isinstance(value, Undefined):
        return value
    text = quote(str(shown(value)), safe="")
    if text in {"", ".", ".."}:
        raise Permanent("invalid_url", "a value in the URL must not be empty, '.' or '..'")
    return text


def _indented(text: object, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Indent the text. Jinja's own filter, applied to a list, would add to the event's list."""
    return do_indent(text if isinstance(text, str) else str(shown(text)), width, first, blank)


_LAZY: Final = ("map", "select", "selectattr", "reject", "rejectattr", "unique", "batch", "slice")


def _hidden(lazy: Callable[..., Iterable[object]]) -> Called:  # type: ignore[explicit-any] # each takes others
    """Return the filter with its generator wrapped in an _Items."""

    @wraps(lazy)  # keeps Jinja's attributes, which say whether the filter gets the environment
    def hidden(*args: object, **kwargs: object) -> object:
        return _Items(lazy(*args, **kwargs))

    return hidden


@cache
def environment_of(autoescape: bool, finalize: Callable[[object], object]) -> Sandbox:
    environment = Sandbox(undefined=StrictUndefined, autoescape=autoescape, finalize=finalize)
    del environment.globals["lipsum"]
    del environment.filters["random"]
    environment.filters |= {"indent": _indented, "oneline": oneline}
    environment.filters["slice"] = sync_do_slice  # the other one takes one argument more than its signature has
    environment.filters |= {name: _hidden(environment.filters[name]) for name in _LAZY}
    environment.filters |= bounded_filters(environment.filters)
    return environment
