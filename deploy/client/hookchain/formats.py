"""An event's body in the four formats that `send` writes. Raises ValueError for what a format cannot say."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlencode
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape, quoteattr

from shared.jsontext import Json, JsonObject, to_json

_MAYBE_NAME: Final = re.compile(r"[^\W\d][\w.-]*")
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(value: object) -> Json:
    """The caller's mappings and sequences as JSON's."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"a field's name is text; found {type(key).__name__}")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise ValueError(f"the data holds a {type(value).__name__}, which JSON has no way to write; make it text first")


def encode(value: Json, form: str) -> tuple[bytes, str]:
    """The body and its content type."""
    if form not in FORMATS:
        raise ValueError(f"there is no format {form!r}; there are: {', '.join(FORMATS)}")
    write, content_type = FORMATS[form]
    return write(value).encode("utf-8"), content_type


def _yaml(value: Json) -> str:
    try:
        import yaml
    except ImportError as error:
        raise ValueError("the format yaml needs the package PyYAML: pip install PyYAML") from error
    return yaml.safe_dump(value, sort_keys=False)


def _form(value: Json) -> str:
    pairs = [(name, _scalar(name, item)) for name, field in _top(value, "form").items() for item in _each(field)]
    return urlencode(pairs)


def xml_text(value: Json, root: str = "event") -> str:
    """A field `@name` is an attribute, `#text` the text, a list the same element again."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(_element(root, _top(value, "xml"))) + "\n"


def _element(name: str, value: Json) -> Iterator[str]:
    fields = value if isinstance(value, dict) else {"#text": value}
    attributes = {key[1:]: field for key, field in fields.items() if key.startswith("@")}
    yield f"<{_xml_name(name)}"
    for key, field in attributes.items():
        yield f" {_xml_name(key)}={quoteattr(_xml_value(key, field))}"
    yield ">"
    for key, field in fields.items():
        if key == "#text":
            yield escape(_xml_value(name, field), {"\r": "&#13;"})
        elif not key.startswith("@"):
            for item in _each(field):
                yield from _element(key, item)
    yield f"</{name}>"


def _xml_name(name: str) -> str:
    if not _MAYBE_NAME.fullmatch(name) or not (name.isascii() or _is_xml_name(name)):
        raise ValueError(f"{name!r} is no name for an XML element: a letter, then letters, digits, '_', '-' and '.'")
    return name


def _is_xml_name(name: str) -> bool:
    """Which letters beyond ASCII make a name is a long table, and the parser has it."""
    try:
        return ParserCreate("utf-8").Parse(f"<{name}/>".encode(), True) == 1
    except (ExpatError, UnicodeEncodeError):
        return False


def _xml_value(name: str, value: Json) -> str:
    text = _scalar(name, value)
    if _NOT_XML.search(text):
        raise ValueError(f"the field {name!r} holds a control character, which XML cannot carry; send it as json")
    return text


def _top(value: Json, form: str) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError(f"the format {form} needs an object, with names for its fields; send this as json")
    return value


def _each(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _scalar(name: str, value: Json) -> str:
    if isinstance(value, dict | list):
        raise ValueError(
            f"the field {name!r} holds a nested {type(value).__name__} where only text fits; send it as json"
        )
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value)


FORMATS: Final[Mapping[str, tuple[Callable[[Json], str], str]]] = {
    "json": (to_json, "application/json"),
    "xml": (xml_text, "application/xml"),
    "yaml": (_yaml, "application/yaml"),
    "form": (_form, "application/x-www-form-urlencoded"),
}
