"""The formats between which `convert` goes: how each is read and written, and its content type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from functions.transform.documents import type_of
from functions.transform.writers.csv_writer import write_csv
from functions.transform.writers.faults import Unwritable, verify_json
from functions.transform.writers.line_writers import write_form, write_ndjson, write_text
from functions.transform.writers.plist_writer import write_binary_plist, write_xml_plist
from functions.transform.writers.xml_writer import write_xml
from functions.transform.writers.yaml_writer import write_yaml
from shared.errors import Rejected
from shared.formats.bytes_body import binary
from shared.formats.media_type import named_format
from shared.formats.parse import parse_as
from shared.jsontext import Json

if TYPE_CHECKING:
    from functions.transform.protobuf.messages import MessageKind

Format = Literal["json", "xml", "yaml", "plist", "binary-plist", "csv", "ndjson", "form", "text", "protobuf"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

CONTENT_TYPES: Final[dict[Format, str | None]] = {
    "json": None,  # the value itself: an event's data is JSON
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
class Writing:
    """What may be said about how a format is written; see the step's settings."""

    root: str | None = None
    omit_nulls: bool = False
    dates: bool = False
    delimiter: str = ","
    message: "MessageKind | None" = None


def named(type_name: str | None) -> Format | None:
    """The format of a content type; None for JSON, and where it says nothing."""
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
    """`content` is that of the text or the bytes in `value`. Raises Unwritable (it is the place that is at fault)."""
    if name == "protobuf":
        assert message is not None
        return message.read(content)
    # Text has left the charset that it came in behind, whatever the document says of itself.
    content_type = "; charset=utf-8" if isinstance(value, str) else type_of(value) or ""
    try:
        return parse_as("plist" if name == "binary-plist" else name, content, content_type).data
    except Rejected as error:
        raise Unwritable(None, f"cannot be read as {name}: {error.detail}") from None


def write(value: Json, name: Format, writing: Writing) -> Json:
    """The document as an event holds it. Raises Unwritable."""
    verify_json(value)
    written = _WRITERS[name](value, writing)
    return binary(written, CONTENT_TYPES[name] or "") if isinstance(written, bytes) else written


def _xml_plist(value: Json, writing: Writing) -> str:
    return write_xml_plist(value, dates=writing.dates, omit_nulls=writing.omit_nulls)


def _binary_plist(value: Json, writing: Writing) -> bytes:
    return write_binary_plist(value, dates=writing.dates, omit_nulls=writing.omit_nulls)


def _protobuf(value: Json, writing: Writing) -> bytes:
    assert writing.message is not None
    return writing.message.write(value)


_WRITERS: Final[dict[Format, Callable[[Json, Writing], "Json | bytes"]]] = {
    "json": lambda value, _: value,
    "xml": lambda value, writing: write_xml(value, writing.root),
    "yaml": lambda value, _: write_yaml(value),
    "plist": _xml_plist,
    "binary-plist": _binary_plist,
    "csv": lambda value, writing: write_csv(value, writing.delimiter),
    "ndjson": lambda value, _: write_ndjson(value),
    "form": lambda value, _: write_form(value),
    "text": lambda value, _: write_text(value),
    "protobuf": _protobuf,
}
