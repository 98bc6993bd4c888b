"""Conversion: turn documents from one format into another.

A writer is imported with its first document.
"""

from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, get_args

from functions.transform import paths, step
from shared.config.rules import limits
from shared.errors import Permanent, Rejected
from shared.event import Event
from shared.formats import media_type, parse
from shared.formats.text_body import binary
from shared.jsontext import Json
from shared.writers.writing import Location, Unwritable, verify_json

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
    format_name = media_type.named_format(bare)
    return next((name for name in FORMATS if name == format_name), None)


def read(content: bytes, value: Json, name: Format, message: "MessageKind | None") -> Json:
    """Return the value of a document; `content` is that of the text or the bytes in `value`. Raises Unwritable."""
    if name == "protobuf":
        assert message is not None
        return message.read(content)
    # Text is decoded already, whatever charset the document states.
    content_type = "; charset=utf-8" if isinstance(value, str) else paths.type_of(value) or ""
    try:
        return parse.parse_as("plist" if name == "binary-plist" else name, content, content_type).data
    except Rejected as error:
        raise Unwritable(None, f"cannot be read as {name}: {error.detail}") from None


def write(value: Json, name: Format, options: WriteOptions) -> Json:
    """Return the document as an event holds it. Raises Unwritable."""
    verify_json(value)
    written = _written(value, name, options)
    return binary(written, CONTENT_TYPES[name] or "") if isinstance(written, bytes) else written


def _written(value: Json, name: Format, options: WriteOptions) -> "Json | bytes":
    """Import each writer with its first document."""
    match name:
        case "json":
            return value
        case "xml":
            from shared.writers.xml_writer import write_xml

            return write_xml(value, options.root)
        case "yaml":
            from shared.writers.yaml_writer import write_yaml

            return write_yaml(value)
        case "plist" | "binary-plist":
            from functions.transform.writers.plist_writer import write_binary_plist, write_xml_plist

            write_plist = write_xml_plist if name == "plist" else write_binary_plist
            return write_plist(value, dates=options.dates, omit_nulls=options.omit_nulls)
        case "protobuf":
            assert options.message is not None
            return options.message.write(value)
    from shared.writers import text_writers

    match name:
        case "csv":
            return text_writers.write_csv(value, options.delimiter, keeps_formulas=options.keeps_formulas)
        case "ndjson":
            return text_writers.write_ndjson(value)
        case "form":
            return text_writers.write_form(value)
    return text_writers.write_text(value)


class Convert(paths.PathSettings, step.Step):
    """Write a document in another format. The document is text, bytes, or data that was parsed when it was received.

    to           json, xml, yaml, plist, binary-plist, csv, ndjson, form, text or protobuf; `json` is the value itself
    from         the format of text or bytes (default: the format that an earlier step wrote, or the type of the bytes)
    exact        reject a document that would not convert back to an equal value: XML, CSV and forms have only text
    root         XML: the name of the outermost element (default: the only key of the value)
    nulls        property lists: `refuse` (default) or `omit`
    dates        property lists: write texts that are RFC 3339 times as dates (default: false)
    delimiter    CSV: a comma (default), a semicolon or a tab
    formulas     CSV: `escape` (default) puts an apostrophe before a text that a spreadsheet would run, or `keep` it
    message      Protobuf: a message of the file `descriptors` (default: google.protobuf.Struct)
    descriptors  Protobuf: a file that `protoc --include_imports --descriptor_set_out=FILE` writes
    proto_names  Protobuf: name fields in JSON as in the .proto file, not in camelCase (default: false)
    """

    summary: ClassVar[str] = "Turn a document into another format: JSON, XML, YAML, plist, CSV, Protobuf and more."
    example: ClassVar[step.Example] = step.Example(
        settings={"to": "yaml"},
        before={"answer": "no", "code": "012", "tags": ["a", "b"], "seats": 3},
        after='answer: "no"\ncode: "012"\ntags:\n  - a\n  - b\nseats: 3\n',
        attributes={"datatype": "application/yaml"},
    )
    extras: ClassVar[tuple[str, ...]] = ("yaml", "protobuf")
    file_keys: ClassVar[tuple[str, ...]] = ("descriptors",)

    to: Format
    from_: Format | None = None
    exact: bool = False
    root: Annotated[str, limits(min_length=1)] | None = None
    nulls: Literal["refuse", "omit"] = "refuse"
    dates: bool = False
    delimiter: Literal[",", ";", "\t"] = ","
    formulas: Literal["escape", "keep"] = "escape"
    message: Annotated[str, limits(min_length=1)] | None = None
    descriptors: step.JsonSetting = None
    proto_names: bool = False

    def prepare(self) -> None:
        super().prepare()
        self._message = self._message_kind()
        if self.root is not None:
            self._verify_root(self.root)
        keeps_formulas = self.formulas == "keep"
        self._options = WriteOptions(
            self.root, self.nulls == "omit", self.dates, self.delimiter, keeps_formulas, self._message
        )

    def _verify_root(self, root: str) -> None:
        from shared.writers.xml_writer import NAME_RULE, is_xml_name

        if not is_xml_name(root):
            raise ValueError(f"`root: {root}` is not a name for an XML element: {NAME_RULE}")
        if self.exact and self.to == "xml":
            raise ValueError(
                "`root` adds an element, so no document converts back exactly: leave out `root` or `exact`"
            )

    def _message_kind(self) -> "MessageKind | None":
        if "protobuf" in (self.to, self.from_):
            from functions.transform.writers.protobuf import MessageKind

            return MessageKind(_descriptors(self.descriptors), self.message, keeps_names=self.proto_names)
        if self.message is not None or self.descriptors is not None:
            raise ValueError("`message` and `descriptors` require `to: protobuf` or `from: protobuf`")
        return None

    def needs(self) -> tuple[str, ...]:
        wanted = {"yaml": self.from_ in (None, "yaml") or self.exact, "protobuf": self._message is not None}
        return tuple(extra for extra, is_wanted in wanted.items() if is_wanted)

    def removes(self) -> tuple[str, ...]:
        return (self.into or self.path,)

    def apply(self, event: Event, _: step.StepContext) -> Event:
        datatype = None if self._path.parts else event.datatype

        def convert(value: Json, place: str) -> Json:
            try:
                return self._convert(value, datatype)
            except Unwritable as fault:
                raise Permanent("conversion_failed", fault.message(place)) from None

        converted = self.change(event, convert, CONTENT_TYPES[self.to])
        target = self._path if self._into is None else self._into
        is_json_text = self.to == "json" and isinstance(converted.data, str)
        if is_json_text and target.root == "data" and not target.parts:
            return converted.with_data(converted.data, paths.JSON_TYPE)
        return converted

    def _convert(self, value: Json, datatype: str | None) -> Json:
        value = self._read(value, datatype)
        written = write(value, self.to, self._options)
        if self.exact and self.to != "json":
            self._verify_converts_back(value, written)
        return written

    def _read(self, value: Json, datatype: str | None) -> Json:
        content = paths.content_of(value)
        if content is None or (self.to == "text" and isinstance(value, str)):
            return value
        if isinstance(value, str) and datatype == paths.JSON_TYPE:  # it is parsed already
            return value
        name = self.from_ or format_of_type(paths.type_of(value) or datatype)
        if name is None:
            what = "text" if isinstance(value, str) else "bytes whose type names no format"
            raise Unwritable(None, f"is {what}: state its format, such as `from: yaml` or `from: text`")
        if name == "protobuf" and self._message is None:
            raise Unwritable(None, "is Protobuf: set `from: protobuf`")
        return read(content, value, name, self._message)

    def _verify_converts_back(self, value: Json, written: Json) -> None:
        content = paths.content_of(written)
        assert content is not None
        try:
            _verify_equal(value, read(content, written, self.to, self._message))
        except _Difference as difference:
            raise Unwritable(difference.location, f"would not convert back from {self.to} to an equal value") from None


def _descriptors(settings: Json) -> bytes | None:
    """Return the content of the file, which the compiler stores as text or as base64."""
    if settings is None:
        return None
    if isinstance(settings, str):
        return settings.encode()
    if isinstance(settings, dict) and isinstance(settings.get("base64"), str):
        return b64decode(str(settings["base64"]))
    raise ValueError("`descriptors` must name a file that `protoc --descriptor_set_out` wrote")


class _Difference(Exception):
    def __init__(self, location: Location) -> None:
        super().__init__()
        self.location = location


def _verify_equal(one: Json, other: Json, location: Location = None) -> None:
    """Raises _Difference at the first place where the values differ. Kinds count: 1 does not equal true."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key, item in one.items():
            _verify_equal(item, other[key], (location, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            _verify_equal(first, second, (location, number))
    elif isinstance(one, bool) is not isinstance(other, bool) or one != other:
        raise _Difference(location)
