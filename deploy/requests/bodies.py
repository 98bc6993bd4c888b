"""The body that `hookchain send` posts: from fields, a text, a file or standard input."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from deploy.client.hookchain.formats import FORMATS, xml_text
from shared.formats.parse import parse_body
from shared.jsontext import Json, JsonObject
from shared.limits import DEFAULT

_SUFFIXES: Final = {".json": "json", ".xml": "xml", ".yaml": "yaml", ".yml": "yaml", ".form": "form"}
_FIRST_CHARACTERS: Final = {"{": "json", "[": "json", "<": "xml"}


def body_of(options: argparse.Namespace, stdin: TextIO) -> "tuple[Json | bytes, str]":
    """The value to write in a format, or the bytes that go as they are, which hold the extra fields already.

    Raises ValueError, OSError, and Rejected for a text that is not what it should be.
    """
    if options.field:
        if options.data is not None or options.file is not None:
            raise ValueError("give the body as fields, or by --data, or by --file; not by two of them")
        return fields_of(options.field), options.format or "json"
    content, kind = _content(options, stdin)
    form = options.format or kind
    if kind is None or form is None:
        kind = form = _named(form)
    if kind == form and not options.extra:
        return content, form
    value = parse_body(content, FORMATS[kind][1], DEFAULT).data
    if kind == form == "xml":
        return _with_extra_in_root(value, fields_of(options.extra)), form
    return value, form


def fields_of(pairs: Iterable[str]) -> JsonObject:
    return dict(_field(pair) for pair in pairs)


def _field(pair: str) -> tuple[str, Json]:
    name, equals, text = pair.partition("=")
    if not equals or not name.removesuffix(":"):
        raise ValueError(f"{pair!r} is no field: write name=text, or name:=JSON")
    if not name.endswith(":"):
        return name, text
    try:
        value: Json = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the field {name[:-1]!r} is not JSON; for a text write {name[:-1]}=…") from error
    return name[:-1], value


def _content(options: argparse.Namespace, stdin: TextIO) -> tuple[bytes, str | None]:
    """The bytes, and their format where it can be told."""
    if options.data is not None and options.file is not None:
        raise ValueError("give the body by --data or by --file; not by both")
    if options.data is not None:
        return options.data.encode(), _sniffed(options.data)
    if options.file not in {None, "-"}:
        path = Path(options.file)
        content = path.read_bytes()
        return content, _SUFFIXES.get(path.suffix.lower()) or _sniffed(content.decode("utf-8", "replace"))
    if options.secret_stdin or stdin.isatty():
        raise ValueError("there is nothing to send: write fields (name=text), or use --data or --file")
    content = stdin.buffer.read()
    return content, _sniffed(content.decode("utf-8", "replace"))


def _sniffed(text: str) -> str | None:
    return _FIRST_CHARACTERS.get(text.removeprefix("\ufeff").lstrip()[:1])


def _named(form: str | None) -> str:
    if form is None:
        raise ValueError(f"which format is this? Say --format with one of: {', '.join(FORMATS)}")
    return form


def _with_extra_in_root(document: Json, extra: JsonObject) -> bytes:
    """An XML document with more elements in its root, which keeps its name."""
    assert isinstance(document, dict)
    [(root, content)] = document.items()
    fields = content if isinstance(content, dict) else {"#text": content}
    return xml_text({**fields, **extra}, root).encode()
