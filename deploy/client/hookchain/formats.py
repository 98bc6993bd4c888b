"""Encode an event's data as a body in JSON, XML, YAML or a form. A value that does not fit raises ValueError.

{"order": {"@id": "7", "item": ["a", "b"]}}    in XML, within the element `event`:
<order id="7"><item>a</item><item>b</item></order>
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlencode
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape, quoteattr

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_MAYBE_NAME: Final = re.compile(r"[^\W\d][\w.-]*")
"""The form of an XML name, such as `order-id`. Beyond ASCII, XML allows only some of these characters."""
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that an XML document must not contain, even escaped, such as a control character."""


def as_json(value: object) -> Json:
    """Return the value with mappings as objects, and with lists and tuples as arrays.

    Raises ValueError for anything else, such as a date or a set, at any depth.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"data: a field's name must be a string; got {type(key).__name__}")
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    raise ValueError(f"data: must hold only what JSON can; got {type(value).__name__}. Convert it to a string first.")


@contextmanager
def depth_as_value_error() -> Iterator[None]:
    """Raise ValueError, in any format, for data that contains itself or is nested too deeply for Python."""
    try:
        yield
    except RecursionError as error:
        raise ValueError("data: must not contain itself, and must not be nested so deeply") from error


def encode_body(value: Json, format: str) -> tuple[bytes, str]:
    """Return the body in one of FORMATS, and its content type.

    Raises ValueError for another format, and for a value that the format cannot hold.
    """
    if format not in FORMATS:
        raise ValueError(f"format: must be one of {', '.join(FORMATS)}; got {format!r}")
    encoding = FORMATS[format]
    return encoding.write(value).encode("utf-8"), encoding.content_type


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _yaml(value: Json) -> str:
    try:
        import yaml
    except ImportError as error:
        raise ValueError("format: yaml needs the package PyYAML. Run: pip install PyYAML") from error
    try:
        return yaml.safe_dump(value, sort_keys=False)
    except yaml.representer.RepresenterError as error:  # for instance of a subclass of str, int or float
        # The error itself contains the value, which may be a secret.
        raise ValueError(f"data: must hold only what YAML can; got {type(error.args[-1]).__name__}") from None


def _form(value: Json) -> str:
    pairs: list[tuple[str, str]] = []
    for name, field in _fields(value, "form").items():
        pairs += [(name, _scalar(name, item)) for item in _items(field)]
    return urlencode(pairs)


def xml_text(value: Json, root: str = "event") -> str:
    """Return an XML document with the value in the element `root`.

    A field `@name` becomes an attribute, a field `#text` becomes the element's text, and each item of a list becomes an
    element. Raises ValueError for a name or a character that XML cannot carry.
    """
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(_element(root, _fields(value, "xml"))) + "\n"


def _element(name: str, value: Json) -> Iterator[str]:
    fields = value if isinstance(value, dict) else {"#text": value}
    attributes = {key[1:]: field for key, field in fields.items() if key.startswith("@")}
    yield f"<{_xml_name(name)}"
    for key, field in attributes.items():
        yield f" {_xml_name(key)}={quoteattr(_xml_value(key, field))}"
    yield ">"
    for key, field in fields.items():
        if key == "#text":
            yield escape(_xml_value(name, field), {"\r": "&#13;"})  # a parser would read a plain \r as \n
        elif not key.startswith("@"):
            for item in _items(field):
                yield from _element(key, item)
    yield f"</{name}>"


def _xml_name(name: str) -> str:
    if not _MAYBE_NAME.fullmatch(name) or not (name.isascii() or _is_xml_name(name)):
        raise ValueError(
            f"data: {name!r} is not a name for an XML element: a letter, then letters, digits, '_', '-' and '.'"
        )
    return name


def _is_xml_name(name: str) -> bool:
    """Return whether the parser accepts the name. It has the long table of the letters that XML allows."""
    try:
        return ParserCreate("utf-8").Parse(f"<{name}/>".encode(), True) == 1
    except (ExpatError, UnicodeEncodeError):
        return False


def _xml_value(name: str, value: Json) -> str:
    text = _scalar(name, value)
    if _NOT_XML.search(text):
        raise ValueError(f"data: the field {name!r} has a control character, which XML cannot carry. Send it as json.")
    return text


def _fields(value: Json, format: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ValueError(
            f"data: must be an object for the format {format}; got {type(value).__name__}. Send it as json."
        )
    return value


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _scalar(name: str, value: Json) -> str:
    """Return the value as text, and null as an empty text. Raises ValueError for an object or an array."""
    if isinstance(value, dict | list):
        raise ValueError(
            f"data: the field {name!r} has a nested {type(value).__name__} where only text fits. Send it as json."
        )
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value)


class Format(NamedTuple):
    write: Callable[[Json], str]
    content_type: str


FORMATS: Final[Mapping[str, Format]] = {
    "json": Format(_json, "application/json"),
    "xml": Format(xml_text, "application/xml"),
    "yaml": Format(_yaml, "application/yaml"),
    "form": Format(_form, "application/x-www-form-urlencoded"),
}
