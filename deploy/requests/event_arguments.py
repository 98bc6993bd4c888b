"""An event given on the command line: as fields, a text, a file or standard input."""

import argparse
import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TextIO

from deploy.client.hookchain.formats import FORMATS, xml_text
from functions.receive.query_body import BODY, document_in
from shared.formats.parse import parse_body
from shared.jsontext import Json, JsonObject, to_json
from shared.limits import DEFAULT
from shared.signatures.links import OWN, Pairs

_LINK_BODY: Final = BODY.decode()
_SUFFIX_FORMATS: Final = {".json": "json", ".xml": "xml", ".yaml": "yaml", ".yml": "yaml", ".form": "form"}
_FIRST_CHARACTERS: Final = {"{": "json", "[": "json", "<": "xml"}


def read_body(options: argparse.Namespace, stdin: TextIO) -> "tuple[Json | bytes, str]":
    """Return a value and the format to write it in, or bytes to send unchanged, which have the extra fields already.

    Raises ValueError, OSError, and Rejected for a text that does not parse.
    """
    if options.field:
        if options.data is not None or options.file is not None:
            raise ValueError("the body must come from fields, --data or --file; got two of them")
        return parse_fields(options.field), options.format or "json"
    content, kind = _read_content(options, stdin)
    form = options.format or kind
    if kind is None or form is None:
        kind = form = _require_format(form)
    if kind == form and not options.extra:
        return content, form
    value = parse_body(content, FORMATS[kind][1], DEFAULT).data
    if kind == form == "xml":
        return _with_extra_in_root(value, parse_fields(options.extra)), form
    return value, form


def parse_fields(pairs: Iterable[str]) -> JsonObject:
    """Read `name=text` and `name:=JSON`. Raises ValueError."""
    return dict(_parse_field(pair) for pair in pairs)


def _parse_field(pair: str) -> tuple[str, Json]:
    name, equals, text = pair.partition("=")
    if not equals or not name.removesuffix(":"):
        raise ValueError(f"{pair!r} is not a field. Write name=text, or name:=JSON.")
    if not name.endswith(":"):
        return name, text
    try:
        value: Json = json.loads(text)
    except ValueError as error:
        raise ValueError(f"field {name[:-1]!r}: must be JSON. For a text write {name[:-1]}=…") from error
    return name[:-1], value


def _read_content(options: argparse.Namespace, stdin: TextIO) -> tuple[bytes, str | None]:
    """Return the bytes, and their format where the file name or the first character shows it."""
    if options.data is not None and options.file is not None:
        raise ValueError("the body must come from --data or --file; got both")
    if options.data is not None:
        return options.data.encode(), _guess_format(options.data)
    if options.file not in {None, "-"}:
        path = Path(options.file)
        content = path.read_bytes()
        return content, _SUFFIX_FORMATS.get(path.suffix.lower()) or _guess_format(content.decode("utf-8", "replace"))
    if options.secret_stdin or stdin.isatty():
        raise ValueError("the body is missing. Write fields (name=text), or use --data or --file.")
    content = stdin.buffer.read()
    return content, _guess_format(content.decode("utf-8", "replace"))


def _guess_format(text: str) -> str | None:
    return _FIRST_CHARACTERS.get(text.removeprefix("\ufeff").lstrip()[:1])


def _require_format(form: str | None) -> str:
    if form is None:
        raise ValueError(f"the body's format is unknown. Give --format with one of: {', '.join(FORMATS)}")
    return form


def _with_extra_in_root(document: Json, extra: JsonObject) -> bytes:
    """Return an XML document with more elements in its root, which keeps its name."""
    assert isinstance(document, dict)
    [(root, content)] = document.items()
    fields = content if isinstance(content, dict) else {"#text": content}
    return xml_text({**fields, **extra}, root).encode()


def make_link_parameters(fields: Sequence[str], data: str | None) -> Pairs:
    """Return an event as parameters of a link: plain fields where all are texts, else one document.

    Raises ValueError.
    """
    if bool(fields) is (data is not None):
        raise ValueError("the event must come from fields (name=text) or from --data, and not from both")
    if data is not None:
        return [(_LINK_BODY, _encode_document(data))]
    named = parse_fields(fields)
    if reserved := sorted(named.keys() & OWN):
        raise ValueError(f"the field {reserved[0]!r} is reserved for the link. Give the event with --data.")
    are_texts = all(isinstance(value, str) for value in named.values())
    if are_texts and len(named) == len(fields) and _LINK_BODY not in named:
        return [(name, str(value)) for name, value in named.items()]
    return [(_LINK_BODY, _encode_document(to_json(named)))]


def _encode_document(data: str) -> str:
    """Return a spelling that receive decodes to the same bytes: base64url, else the text. Raises ValueError."""
    content = data.encode()
    short = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    for text in (short, data):
        if document_in(text.encode()).content == content:
            return text
    raise ValueError("--data: receive would read this text as something else. Write it as JSON.")
