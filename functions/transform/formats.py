"""The formats that `convert` reads and writes, and their content types.

A writer is imported with its first document.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from functions.transform.documents import type_of
from shared.errors import Rejected
from shared.formats.bytes_body import binary
from shared.formats.media_type import named_format
from shared.formats.parse import parse_as
from shared.jsontext import Json
from shared.writers.writing import Unwritable, verify_json

if TYPE_CHECKING:
    from functions.transform.writers.protobuf import MessageKind

Format = Literal["json", "xml", "yaml", "plist", "binary-plist", "csv", "ndjson", "form", "text", "protobuf"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

CONTENT_TYPES: Final[dict[Format, str | None]] = {
    "json": None,  # the value itself, since an event's data is JSON
    "xml": "application/xml",
    "yaml": "application/yaml",
    "plist": "application/x-plist",
    "binary-plist": "application/x-bplist",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain",
    "protobuf": "application/x-protobuf",
}
_PROTOBUF_TYPES: Final = frozenset(
    {"application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"}
)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of the writers; see the settings of `convert`."""

    root: str | None = None
    omit_nulls: bool = False
    dates: bool = False
    delimiter: str = ","
    keeps_formulas: bool = False
    message: "MessageKind | None" = None


def format_of_type(type_name: str | None) -> Format | None:
    """Return the format of a content type; None for JSON and for types that name no format."""
    if type_name is None:
        return None
    bare = type_name.partition(";")[0].strip().lower()
    if bare in _PROTOBUF_TYPES:
        return "protobuf"
    if bare == "text/plain":
        return "text"
    found = named_format(bare)
    return next((name for name in FORMATS if name == found), None)


def read(content: bytes, value: Json, name: Format, message: "MessageKind | None") -> Json:
    """Return the value of a document; `content` is that of the text or the bytes in `value`. Raises Unwritable."""
    if name == "protobuf":
        assert message is not None
        return message.read(content)
    # Text is decoded already, whatever charset the document states.
    content_type = "; charset=utf-8" if isinstance(value, str) else type_of(value) or ""
    try:
        return parse_as("plist" if name == "binary-plist" else name, content, content_type).data
    except Rejected as error:
        raise Unwritable(None, f"cannot be read as {name}: {error.detail}") from None


def write(value: Json, name: Format, options: WriteOptions) -> Json:
    """Return the document as an event holds it. Raises Unwritable."""
    verify_json(value)
    written = _WRITERS[name](value, options)
    return binary(written, CONTENT_TYPES[name] or "") if isinstance(written, bytes) else written


def _xml(value: Json, options: WriteOptions) -> str:
    from shared.writers.xml_writer import write_xml

    return write_xml(value, options.root)


def _yaml(value: Json, _: WriteOptions) -> str:
    from shared.writers.yaml_writer import write_yaml

    return write_yaml(value)


def _xml_plist(value: Json, options: WriteOptions) -> str:
    from functions.transform.writers.plist_writer import write_xml_plist

    return write_xml_plist(value, dates=options.dates, omit_nulls=options.omit_nulls)


def _binary_plist(value: Json, options: WriteOptions) -> bytes:
    from functions.transform.writers.plist_writer import write_binary_plist

    return write_binary_plist(value, dates=options.dates, omit_nulls=options.omit_nulls)


def _csv(value: Json, options: WriteOptions) -> str:
    from shared.writers.text_writers import write_csv

    return write_csv(value, options.delimiter, keeps_formulas=options.keeps_formulas)


def _ndjson(value: Json, _: WriteOptions) -> str:
    from shared.writers.text_writers import write_ndjson

    return write_ndjson(value)


def _form(value: Json, _: WriteOptions) -> str:
    from shared.writers.text_writers import write_form

    return write_form(value)


def _text(value: Json, _: WriteOptions) -> str:
    from shared.writers.text_writers import write_text

    return write_text(value)


def _protobuf(value: Json, options: WriteOptions) -> bytes:
    assert options.message is not None
    return options.message.write(value)


_WRITERS: Final[dict[Format, Callable[[Json, WriteOptions], "Json | bytes"]]] = {
    "json": lambda value, _: value,
    "xml": _xml,
    "yaml": _yaml,
    "plist": _xml_plist,
    "binary-plist": _binary_plist,
    "csv": _csv,
    "ndjson": _ndjson,
    "form": _form,
    "text": _text,
    "protobuf": _protobuf,
}
