"""The operator's templates, filled from hostile events: Jinja2 in its sandbox, without a loader, with bounds on output.

Jinja renders a template, unless it consists of texts and fields only (`plain_pieces`): this module joins them itself.

https://jinja.palletsprojects.com/en/stable/sandbox/
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Final, TypeAlias
from urllib.parse import quote

from jinja2 import TemplateSyntaxError, Undefined, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError

from shared import did_you_mean, errors, event, missing_paths
from shared.jsontext import Json, JsonObject
from shared.templating import budget, costs, sandbox

MAX_TEMPLATE_CHARACTERS: Final = 256 * 1024
"""The longest template, before it is filled."""
KNOWN: Final = frozenset({*event.NAMES, "route", "destination", "count", "person"})
"""The names that a destination's templates can use. There is a `person` only if the destination's `to` names one."""
_FILE: Final = "<template>"
"""The name of a template's code in a traceback, as Jinja sets it for a template without a file."""

_DOTS: Final = frozenset({"", ".", ".."})
"""The segments of a path that would lead to another folder."""
_MARK: Final = "\0"
"""Stands behind a value of _DOTS. Quoted values do not contain it."""

MAX_PLAIN_KEYS: Final = 50
"""The most keys of one path in a template that is rendered without Jinja."""
MAX_ALL_PLAIN_KEYS: Final = 1_000
"""The most keys of all paths together in such a template. If a value is not text, an event has to wait until Jinja has
compiled the template, and Jinja compiles 1,000 keys within 50 ms."""
Path: TypeAlias = tuple[object, ...]
"""The constant keys that lead to a value: first a field of the event, then names, and indexes of list items."""
Pieces: TypeAlias = tuple[str | Path, ...]
"""The texts and the paths of a template that consists of nothing else."""


class TemplateFault(ValueError):
    """A fault of the template itself, found when the configuration is loaded."""


class UnknownVariable(TemplateFault):
    """A template that uses an undefined variable. `name` is the first one in alphabetical order."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(rule)
        self.name = name


@cache
def _encoder(encode: Callable[[str], str]) -> Callable[[object], object]:
    """Return the function through which Jinja passes each value. It is the same one each time for one `encode`, because
    sandbox.environment_of caches an environment for each function."""
    return lambda value: value if isinstance(value, Undefined) else encode(str(sandbox.as_shown(value)))


class Template:
    """A template that is ready to be rendered.

    name     the setting that holds the template, for messages
    html     values are escaped as HTML
    known    the names that the template may use
    encode   the text has each value as this function writes it. With `url_segment`, the text is a URL, in whose path no
             value may make a segment that is empty, `.` or `..`
    own_text changes the template's own text: what is outside of `{{ }}`, and the constants that are shown

    A template of only text and fields is rendered without Jinja where all values are text, in 1 µs instead of 12 µs.
    Jinja compiles such a template when a value is first missing or not text. Compiling it so late hides no fault of the
    template, because it has no expression that could fail to compile.

    _plain_pieces  the texts and paths of such a template; None if Jinja always renders it
    _compiled      the template as Jinja compiled it; None until Jinja has to render it
    """

    def __init__(
        self,
        name: str,
        source: str,
        html: bool = False,
        known: frozenset[str] = KNOWN,
        encode: Callable[[str], str] | None = None,
        own_text: Callable[[str], str] | None = None,
    ) -> None:
        """Compile the template. Raises TemplateFault."""
        self.name = name
        self._source = source
        self._own_text = own_text
        self._is_url = encode is url_segment
        if len(source) > MAX_TEMPLATE_CHARACTERS:
            raise TemplateFault(f"a template has at most {MAX_TEMPLATE_CHARACTERS} characters")
        finalize = _encoder(encode) if encode else sandbox.as_shown
        self._environment = environment = sandbox.environment_of(html, finalize)
        # Jinja computes constant expressions when it compiles. The next rendering has a budget of its own.
        budget.begin_rendering()
        try:
            tree = self._parsed()
            pieces = plain_pieces(tree)
            _verify(environment, tree, pieces, known, source)
            # Only Jinja escapes or encodes values. A source without a placeholder has none.
            needs_jinja = (html or encode) and is_template(source)
            self._plain_pieces = None if needs_jinja else pieces
            self._compiled = environment.from_string(tree) if self._plain_pieces is None else None
        except TemplateSyntaxError as error:
            raise TemplateFault(f"line {error.lineno}: {_syntax_message(error, environment)}") from error
        except TemplateFault:
            raise
        except RecursionError as error:
            raise TemplateFault("it is nested too deeply") from error
        except Exception as error:  # a constant expression can fail in any way
            raise TemplateFault(f"it can never be rendered: {_kind_of(error)}") from error

    @property
    def is_plain(self) -> bool:
        """Return whether the template consists of plain text and fields, and computes nothing."""
        return self._plain_pieces is not None

    def render(self, view: JsonObject) -> str:
        """Return the text. The detail of its errors quotes no part of the event.

        Raises Permanent: `undefined_field`, `output_too_large` or `template_failed`, and `invalid_url` for a value that
        a URL may not have in its path.
        """
        text = None if self._plain_pieces is None else _joined(self._plain_pieces, view)
        return self._render_in_sandbox(view) if text is None else text

    def _parsed(self) -> nodes.Template:
        tree = self._environment.parse(self._source)
        if self._own_text:
            for text in tree.find_all(nodes.TemplateData):
                text.data = self._own_text(text.data)
            for output in tree.find_all(nodes.Output):
                for constant in _printed_constants(output.nodes):
                    constant.value = self._own_text(constant.value)
        return tree

    def _render_in_sandbox(self, view: JsonObject) -> str:
        """Return the text that Jinja makes. Raises Permanent."""
        outputs: list[str] = []
        room = budget.MAX_OUTPUT_CHARACTERS
        if self._compiled is None:
            self._compiled = self._environment.from_string(self._parsed())
        budget.begin_rendering()
        try:
            for output in self._compiled.generate(view):
                room -= len(output) + 1
                if room < 0:
                    raise errors.Permanent(
                        "output_too_large",
                        f"template {self.name!r}: more than {budget.MAX_OUTPUT_CHARACTERS} characters",
                    )
                outputs.append(output)
        except UndefinedError as error:
            paths = paths_in(sandbox.environment_of(False, sandbox.as_shown).parse(self._source))
            detail = _missing_field_message(error, self._source, paths, view)
            raise errors.Permanent("undefined_field", f"{self._place(error)}: {detail}") from error
        except errors.Permanent:
            raise
        except Exception as error:
            # A template can fail in any way on a sender's data, such as adding a number to text or a range too large.
            is_too_large = isinstance(error, OverflowError | MemoryError)
            code: errors.PermanentCode = "output_too_large" if is_too_large else "template_failed"
            raise errors.Permanent(code, f"{self._place(error)}: {_kind_of(error)}") from error
        text = "".join(outputs)
        return _verified_url(text) if self._is_url else text

    def _place(self, error: Exception) -> str:
        """Return the template's name, and the line that failed if the traceback shows it."""
        line, trace = 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == _FILE:
                line = trace.tb_lineno
            trace = trace.tb_next
        return f"template {self.name!r}, line {line}" if line else f"template {self.name!r}"


def _joined(pieces: Pieces, view: JsonObject) -> str | None:
    """Return the texts and fields, joined; None if a field is missing or not text, or if the result is too big. Jinja
    then renders the template, or raises the error."""
    texts: list[str] = []
    room = budget.MAX_OUTPUT_CHARACTERS
    for piece in pieces:
        value: Json = view
        if isinstance(piece, str):
            value = piece
        else:
            for key in piece:
                value = value.get(key) if isinstance(value, dict) else None  # type: ignore[call-overload] # any key
            if not isinstance(value, str):
                return None
        room -= len(value) + 1
        if room < 0:
            return None
        texts.append(value)
    return "".join(texts)


def _printed_constants(expressions: Iterable[nodes.Expr]) -> Iterator[nodes.Const]:
    """Yield the texts in `{{ 'a' if data.b else 'c' }}` and `{{ 'a' ~ data.b }}`."""
    for node in expressions:
        match node:
            case nodes.Const(value=str()):
                yield node
            case nodes.CondExpr(expr1=first, expr2=second):
                yield from _printed_constants([first, second] if second else [first])
            case nodes.Concat(nodes=joined):
                yield from _printed_constants(joined)


def _verify(
    environment: sandbox.Sandbox, tree: nodes.Template, pieces: Pieces | None, known: frozenset[str], source: str
) -> None:
    """Raise TemplateFault or TemplateSyntaxError if the template uses what is not known here."""
    if any(True for _ in meta.find_referenced_templates(tree)):
        raise TemplateFault("include, import and extends are not supported: a template stands alone")
    for kind, name, line in _used_names(tree):
        if name not in environment.names_of(kind):
            raise TemplateSyntaxError(f"No {kind} named {name!r}", line)
    if pieces is None:
        variables = meta.find_undeclared_variables(tree)
    else:
        variables = {str(piece[0]) for piece in pieces if not isinstance(piece, str)}
    unknown_names = sorted(variables - known - environment.globals.keys())
    if unknown_names:
        name = unknown_names[0]
        raise UnknownVariable(name, f"there is no {name!r}; {did_you_mean.unknown_name_hint(name, source, known)}")


def _used_names(tree: nodes.Template) -> Iterator[tuple[str, str, int]]:
    """Yield each filter, test and method that the template names: its kind, its name and its line."""
    for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Call)):
        match node:
            case nodes.Filter(name=name, args=args):
                yield "filter", name, node.lineno
                position, kind = _NAMED_BY_ARGUMENT.get(name, (0, ""))
                argument = args[position] if kind and position < len(args) else None
                if isinstance(argument, nodes.Const):
                    yield kind, argument.value, node.lineno
            case nodes.Test(name=name):
                yield "test", name, node.lineno
            case nodes.Call(node=nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name)))):
                yield "method", name, node.lineno


_NAMED_BY_ARGUMENT: Final[Mapping[str, tuple[int, str]]] = {
    "map": (0, "filter"),
    "select": (0, "test"),
    "reject": (0, "test"),
    "selectattr": (1, "test"),
    "rejectattr": (1, "test"),
}
"""The filters that apply a filter or test to each item: the position of the argument that names it, and its kind."""


def one_line_template(name: str, source: str) -> Template:
    """Return a template whose source may have several lines and whose text has one. Raises TemplateFault."""
    return Template(name, " ".join(source.split()))


def url_segment(text: str) -> str:
    """Quote a value as a part of a URL, for `encode`. An empty text, `.` and `..` get a mark for `_verified_url`."""
    quoted = quote(text, safe="")
    return f"{quoted}{_MARK}" if quoted in _DOTS else quoted


def _verified_url(url: str) -> str:
    """Return the URL without marks. Raises Permanent if a value makes a segment of its path empty, `.` or `..`."""
    path = url.partition("?")[0]
    for segment in path.split("/") if _MARK in path else ():
        if _MARK in segment and segment.replace(_MARK, "") in _DOTS:
            raise errors.Permanent("invalid_url", "a value in the URL's path must not be empty, '.' or '..'")
    return url.replace(_MARK, "")


def is_template(text: Json) -> bool:
    return isinstance(text, str) and ("{{" in text or "{%" in text)


def paths_in(tree: nodes.Template) -> Iterator[str]:
    """Yield each path of constant names that the template reads, as `data.customer.name`."""
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if (path := path_of(node)) is not None:
            yield ".".join(map(str, path))


def path_of(node: nodes.Node) -> Path | None:
    """Return the path that the node reads; None if it is no path, or if a key is computed."""
    match node:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=owner, attr=key) | nodes.Getitem(node=owner, arg=nodes.Const(value=key)):
            owner_path = path_of(owner)
            return None if owner_path is None else (*owner_path, key)
    return None


def plain_pieces(tree: nodes.Template) -> Pieces | None:
    """Return the texts and the paths of fields that the template consists of.

    Return None if the template has anything else, or if Jinja should compile it at once: because Jinja's recursive
    compiler might fail at a long path, or because an event would have to wait long for the compiler.
    """
    output_nodes: list[nodes.Node] = []
    for node in tree.body:
        output_nodes += node.nodes if isinstance(node, nodes.Output) else [node]
    pieces = [node.data if isinstance(node, nodes.TemplateData) else path_of(node) for node in output_nodes]
    if None in pieces:
        return None
    lengths = [len(piece) for piece in pieces if isinstance(piece, tuple)]
    if max(lengths, default=0) > MAX_PLAIN_KEYS or sum(lengths) > MAX_ALL_PLAIN_KEYS:
        return None
    return tuple(piece for piece in pieces if piece is not None)


# Messages about the fault of a template: a missing field, wrong syntax, or an error while it is rendered. None has a
# value of the event.


def _missing_field_message(error: UndefinedError, source: str, paths: Iterable[str], view: JsonObject) -> str:
    """Name the path that the event lacks, and the path of the event that is most similar to it.

    `paths` are those in the template's source. For `{{ data.customer.nme }}`, the message is one of these:

    'data.customer.nme' is not in this event; did you mean 'data.customer.name'? Write {{ … | default('') }} where …
    'data.customer.nme' is not in this event, where 'data.customer' is text; write {{ … | default('') }} where …

    Jinja's error names only the last key, `nme`. The source may not spell out that key: in `{{ data[data.key] }}`, the
    template computes it. It may then be a part of the event, so the message does not have it.
    """
    hint = "write {{ … | default('') }} where it may be missing"
    quoted_names = re.findall(r"'([^']*)'", str(error))
    key = quoted_names[-1] if quoted_names and quoted_names[-1] in source else ""
    missing = [path for path in paths if missing_paths.is_missing(path, view)]
    # In a missing path such as `data.nme`, the first key is a field of the event, so Jinja's error names a later one.
    candidates = [path for path in missing if not key or f".{key}." in f"{path}."]
    path = max(candidates, key=len, default=key)
    if not path:
        return f"a field that it names is not in this event; {hint}"
    if path in view:  # the field of another value, such as a list's item
        return f"a value that it reads has no {path!r}; {hint}"
    if "-" in (missing_paths.likely_path(path, view) or ""):
        hint = f"{hint}; a name with a hyphen is written as in data['first-name']"
    return missing_paths.missing_path_message(path, view, hint)


def _syntax_message(error: TemplateSyntaxError, environment: sandbox.Sandbox) -> str:
    """Return Jinja's message, and what to write instead of a name or a sign of another language."""
    text = (error.message or "it does not parse").rstrip(".")
    if unknown := re.fullmatch(r"No (filter|test|method) named '(.+)'", text):
        kind, name = unknown.groups()
        near = _FILTERS_ELSEWHERE.get(name) or did_you_mean.nearest(name, environment.names_of(kind))
        return f"{text}; did you mean {near!r}?" if near else text
    message = re.sub(r" at \d+$", "", text)
    hint = next((hint for token, hint in _TOKENS_ELSEWHERE.items() if message.endswith(token)), "")
    return f"{text}; {hint}" if hint else text


_FILTERS_ELSEWHERE: Final[Mapping[str, str]] = {
    "upcase": "upper",
    "downcase": "lower",
    "size": "length",
    "json": "tojson",
    "to_json": "tojson",
    "strip": "trim",
}
"""Jinja's name of a filter of Liquid, Twig or Python."""
_LOOP: Final = "Jinja has {% for item in data.list %}…{% endfor %} and {% if … %}…{% endif %}"
_TOKENS_ELSEWHERE: Final[Mapping[str, str]] = {
    "'*'": f"[*] is JMESPath; {_LOOP}",
    "']'": f"[] is JMESPath; {_LOOP}",
    "'#'": _LOOP,
    "'/'": _LOOP,
    "'$'": "a path begins without $, as in {{ data.number }}",
    "'`'": "write a number, true or a text in quotes, without backticks",
    "'&'": "write `and`",
    "'!'": "write `not`",
    "'?'": "write {{ a if condition else b }}",
    "got '|'": "write `or`",
    "got ':'": "write a filter's arguments in parentheses, as in default('')",
    "got '='": "`==` compares",
}
"""What to write instead of a sign of another language, by the end of Jinja's message."""


def _kind_of(error: Exception) -> str:
    """Describe the kind of error. Its own message may hold a part of the event; this text does not."""
    name = type(error).__name__
    return next((f"{name}: {text}" for kind, text in _CAUSES.items() if isinstance(error, kind)), name)


_CAUSES: Final[Mapping[type[Exception], str]] = {
    costs.NotAValue: "the value is not text, a number, a list or an object: call it, or write `| list`",
    TypeError: "a value has the wrong type here; convert it with `| int`, `| float` or `| string`",
    SecurityError: "it uses an attribute that templates must not use",
    ZeroDivisionError: "it divides by zero",
    OverflowError: "the resulting text, list or number is too large",
}
