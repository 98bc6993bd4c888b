"""The sandbox in which templates are rendered: Jinja2's, without a loader, and with bounds on the size of values.

https://jinja.palletsprojects.com/en/stable/sandbox/
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache, wraps
from typing import Final

from jinja2 import StrictUndefined, Undefined
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import do_indent, sync_do_slice
from jinja2.nodes import Concat, EvalContext, Getitem, Slice
from jinja2.runtime import Context, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared import event, jsontext
from shared.templating import budget, costs

_METHODS: Final = costs.METHODS.keys() | costs.OBJECT_METHODS


class _Callable:
    """A method, as a template gets it: it can be called, and nothing else.

    To show it as text is an error, because Python's own text of a method has an address in memory.
    """

    __slots__ = ("call",)

    def __init__(self, call: costs.Called) -> None:
        self.call = call

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self.call(*args, **kwargs)

    def __repr__(self) -> str:
        raise costs.NotAValue


class _Items:
    """The items that a lazy filter makes. A template can only iterate over them, as it can only call a _Callable."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[object]) -> None:
        self._items = iter(items)

    def __iter__(self) -> "_Items":
        return self

    def __next__(self) -> object:
        return next(self._items)

    def __repr__(self) -> str:
        raise costs.NotAValue


def _callable(value: object) -> object:
    """Return a method as a _Callable, and any other value as it is."""
    if isinstance(value, Undefined) or not callable(value):  # a missing value is callable, but it is not a method
        return value
    return _Callable(value)


class _BoundedCode(CodeGenerator):
    """Jinja's compiler, which turns a template into Python. The Python calls the Sandbox where a text could grow.

    Jinja's own code would join and slice values itself, without a bound on their size. Each method here writes the
    Python for one kind of node, piece by piece: `self.write` adds a text, and `self.visit` adds the Python of a node.
    """

    def visit_Concat(self, node: Concat, frame: Frame) -> None:  # noqa: N802 Jinja's
        """Write a call of Sandbox.concatenated for the operator `~`.

        `a ~ b` becomes `environment.concatenated(context.eval_ctx, (a, b, ))`.
        """
        self.write("environment.concatenated(context.eval_ctx, (")
        for operand in node.nodes:
            self.visit(operand, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: Getitem, frame: Frame) -> None:  # noqa: N802 Jinja's
        """Write a call of Sandbox.sliced for a slice: `a[1:]` becomes `environment.sliced(a, 1, None, None)`."""
        if not isinstance(node.arg, Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.sliced(")
        self.visit(node.node, frame)
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            if bound is None:
                self.write("None")
            else:
                self.visit(bound, frame)
        self.write(")")

    def buffer(self, frame: Frame) -> None:
        """Write the beginning of a macro or block, whose pieces of text a budget.Buffer gathers."""
        frame.buffer = self.temporary_identifier()
        self.writeline(f"{frame.buffer} = environment.new_buffer()")


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox. An event's keys come before Python's methods, so that `data.items` is the sender's field.

    A field of a missing value is that missing value, as with Jinja's ChainableUndefined, so that the `default` in
    `data.customer.name | default('')` also applies if `customer` is missing. A missing value that is shown, compared or
    computed with is an error.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})
    code_generator_class = _BoundedCode
    new_buffer = budget.Buffer

    def getattr(self, obj: object, attribute: str) -> object:
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return _callable(super().getattr(obj, attribute))

    def getitem(self, obj: object, argument: object) -> object:
        return obj if isinstance(obj, Undefined) else _callable(super().getitem(obj, argument))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        budget.charge(costs.binop_size(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: object, *args: object, **kwargs: object) -> object:  # noqa: N805 Jinja's
        # The first names have underscores, as in Jinja, so that a template can pass an argument named `self` or `obj`.
        called = __obj.call if isinstance(__obj, _Callable) else __obj
        costs.charge_call(called, args, kwargs)
        return super().call(__context, called, *args, **kwargs)

    def concatenated(self, context: EvalContext, values: tuple[object, ...]) -> str:
        """Return the result of the operator `~`."""
        budget.charge(costs.joined_size("", values))
        return markup_join(values) if context.autoescape else str_join(values)

    def sliced(self, value: Sequence[object], start: int | None, stop: int | None, step: int | None) -> object:
        """Return `value[start:stop:step]`."""
        if isinstance(value, Undefined):
            return value
        budget.charge(costs.sliced_size(value, start, stop, step))
        return value[start:stop:step]

    def names_of(self, kind: str) -> Collection[str]:
        """Return the names of all filters, tests or methods that a template can use."""
        if kind == "filter":
            return self.filters
        return self.tests if kind == "test" else _METHODS

    def wrap_str_format(self, value: object) -> costs.Called | None:  # type: ignore[override] # it makes text, as Jinja's does
        safe_format = super().wrap_str_format(value)
        if safe_format is None:  # the value is not the method `format` of a text
            return None
        text = str(getattr(value, "__self__", ""))
        return costs.bounded_format(safe_format, text)


def as_shown(value: object) -> object:
    """Return the value as templates show it: null as nothing, and lists, objects and booleans as JSON.

    Raises NotAValue.
    """
    if isinstance(value, str | Undefined):
        return value
    if value is None:
        return ""
    budget.charge(costs.text_size(value))
    return jsontext.to_json(value) if isinstance(value, bool | list | dict) else value


def _indented(text: object, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Indent the text. Jinja's own filter, applied to a list, would add to the event's list."""
    return do_indent(text if isinstance(text, str) else str(as_shown(text)), width, first, blank)


_LAZY_FILTERS: Final = ("map", "select", "selectattr", "reject", "rejectattr", "unique", "batch", "slice")
"""The filters that return a generator."""


def _hidden(lazy: Callable[..., Iterable[object]]) -> costs.Called:  # type: ignore[explicit-any] # each takes others
    """Return the filter with its generator wrapped in an _Items."""

    @wraps(lazy)  # keeps Jinja's attributes, which say whether the filter gets the environment
    def hidden(*args: object, **kwargs: object) -> object:
        return _Items(lazy(*args, **kwargs))

    return hidden


@cache
def environment_of(autoescape: bool, finalize: Callable[[object], object]) -> Sandbox:
    """Return the environment of templates. Jinja passes each value through `finalize` before it is part of the text."""
    environment = Sandbox(undefined=StrictUndefined, autoescape=autoescape, finalize=finalize)
    del environment.globals["lipsum"]  # makes a text of any length
    environment.filters |= {"indent": _indented, "oneline": event.oneline}
    # Jinja's own filter `slice` also serves asynchronous templates, and so takes one argument more than its signature
    # says. Templates here are not asynchronous, so they have the function behind it.
    environment.filters["slice"] = sync_do_slice
    environment.filters |= {name: _hidden(environment.filters[name]) for name in _LAZY_FILTERS}
    environment.filters = costs.bounded_filters(environment.filters)  # last, so that it bounds those above too
    environment.tests = {name: environment.tests[name] for name in costs.TESTS}
    return environment
