"""Messages about the fault of a template: a missing field, wrong syntax, or an error while it is rendered.

No message has a value of the event.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError

from shared import did_you_mean
from shared.jsontext import JsonObject
from shared.templating import costs, sandbox


def missing_field_message(error: UndefinedError, source: str, paths: Iterable[str], view: JsonObject) -> str:
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
    missing_paths = [path for path in paths if did_you_mean.is_missing(path, view)]
    # A missing path begins with a field that the event has, so the key that the event lacks is never the first.
    candidates = [path for path in missing_paths if not key or f".{key}." in f"{path}."]
    path = max(candidates, key=len, default=key)
    if not path:
        return f"a field that it names is not in this event; {hint}"
    if path in view:  # the field of another value, such as a list's item
        return f"a value that it reads has no {path!r}; {hint}"
    if "-" in (did_you_mean.likely_path(path, view) or ""):
        hint = f"{hint}; a name with a hyphen is written as in data['first-name']"
    return did_you_mean.missing_path(path, view, hint)


def syntax_message(error: TemplateSyntaxError, environment: sandbox.Sandbox) -> str:
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


def kind_of(error: Exception) -> str:
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
