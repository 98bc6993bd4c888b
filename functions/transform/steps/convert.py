"""The step `convert`, which turns documents from one format into another.

A document is a text, bytes as an event holds them (`{"type": …, "size": …, "base64": …}`), or parsed JSON. `Convert`
finds out the format of the document, reads it with `read_document` and writes the value with `write_document`. Both
raise FormatFault, whose sentence `Convert` completes with the place of the document.
"""

from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, get_args

from functions.transform import documents, paths, step
from shared.config.rules import limits
from shared.errors import Permanent, Rejected
from shared.event import Event
from shared.formats import parse
from shared.formats.text_body import binary
from shared.jsontext import Json
from shared.writers.writing import FormatFault, Location, verify_json

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
_CHARSET_ALONE: Final = "; charset=utf-8"
"""A content type that states the charset and no format: the format is known from elsewhere."""
_PROTOBUF_TYPES: Final = frozenset(
    {"application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"}
)


def format_of_type(type_name: str | None) -> Format | None:
    """Return the format of a content type; None for JSON and for types that name no format."""
    if type_name is None:
        return None
    bare = type_name.partition(";")[0].strip().lower()
    if bare in _PROTOBUF_TYPES:
        return "protobuf"
    if bare == "text/plain":
        return "text"
    format_name = parse.named_format(bare)
    return next((name for name in FORMATS if name == format_name), None)


def read_document(document: Json, format_name: Format, message: "MessageKind | None") -> Json:
    """Return the value of a document that is a text or bytes. `message` is needed for Protobuf. Raises FormatFault."""
    content = documents.content_of(document)
    assert content is not None
    if format_name == "protobuf":
        assert message is not None
        return message.read(content)
    # A text was decoded when it was received, so its content is UTF-8 now, whatever charset the document states.
    content_type = _CHARSET_ALONE if isinstance(document, str) else documents.type_of(document)
    parser_name = "plist" if format_name == "binary-plist" else format_name
    try:
        return parse.parse_as(parser_name, content, content_type or "").data
    except Rejected as error:
        raise FormatFault(None, f"cannot be read as {format_name}: {error.detail}") from None


def write_document(value: Json, settings: "Convert") -> Json:
    """Return the value as a document in the format `to`: text, bytes, or for `json` the value itself.

    Raises FormatFault.
    """
    verify_json(value)
    written = _written(value, settings)
    if isinstance(written, bytes):
        return binary(written, CONTENT_TYPES[settings.to] or "")
    return written


def _written(value: Json, settings: "Convert") -> "Json | bytes":
    """Return the value as a text or bytes, or for `json` as it is. Raises FormatFault."""
    omits_nulls = settings.nulls == "omit"
    # Each writer is imported with its first document, because most deployments use one or none.
    match settings.to:
        case "json":
            return value
        case "xml":
            from shared.writers.xml_writer import write_xml

            return write_xml(value, settings.root)
        case "yaml":
            from shared.writers.yaml_writer import write_yaml

            return write_yaml(value)
        case "plist":
            from functions.transform.writers.plist_writer import write_xml_plist

            return write_xml_plist(value, dates=settings.dates, omit_nulls=omits_nulls)
        case "binary-plist":
            from functions.transform.writers.plist_writer import write_binary_plist

            return write_binary_plist(value, dates=settings.dates, omit_nulls=omits_nulls)
        case "protobuf":
            assert settings.message_kind is not None
            return settings.message_kind.write(value)
        case "csv":
            from shared.writers.text_writers import write_csv

            return write_csv(value, settings.delimiter, keeps_formulas=settings.formulas == "keep")
        case "ndjson":
            from shared.writers.text_writers import write_ndjson

            return write_ndjson(value)
        case "form":
            from shared.writers.text_writers import write_form

            return write_form(value)
        case "text":
            from shared.writers.text_writers import write_text

            return write_text(value)


_FORMAT_OF_START: Final = {"{": ("json", "JSON"), "[": ("json", "JSON"), "<": ("xml", "XML")}
"""The format of a document that begins with this character, and its name in messages."""


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
        self.message_kind = self._read_message_kind()
        if self.root is not None:
            self._verify_root(self.root)

    def _verify_root(self, root: str) -> None:
        from shared.writers.xml_writer import NAME_RULE, is_xml_name

        if not is_xml_name(root):
            raise ValueError(f"`root: {root}` is not a name for an XML element: {NAME_RULE}")
        if self.exact and self.to == "xml":
            raise ValueError(
                "`root` adds an element, so no document converts back exactly: leave out `root` or `exact`"
            )

    def _read_message_kind(self) -> "MessageKind | None":
        if "protobuf" in (self.to, self.from_):
            from functions.transform.writers.protobuf import MessageKind

            return MessageKind(_descriptors(self.descriptors), self.message, keeps_names=self.proto_names)
        if self.message is not None or self.descriptors is not None:
            raise ValueError("`message` and `descriptors` require `to: protobuf` or `from: protobuf`")
        return None

    def needs(self) -> tuple[str, ...]:
        # Only reading YAML needs a library. Without `from`, a document can turn out to be YAML; with `exact`, what was
        # written is read again.
        reads_yaml = self.from_ in (None, "yaml") or (self.exact and self.to == "yaml")
        is_needed = {"yaml": reads_yaml, "protobuf": self.message_kind is not None}
        return tuple(extra for extra in self.extras if is_needed[extra])

    def removes(self) -> tuple[str, ...]:
        # Where a text or bytes are written, the fields of the value are not there any more.
        return (self.into or self.path,)

    def apply(self, event: Event, _: step.StepContext) -> Event | step.Noted:
        """Return the event with the documents at `path` converted. Raises Permanent (`conversion_failed`)."""
        # The event's `datatype` is the content type of its data as a whole, so it says nothing of a part of the data.
        is_part_of_data = bool(self._path.parts)
        datatype = None if is_part_of_data else event.datatype

        def convert_value(value: Json, place: str) -> Json:
            try:
                return self._convert(value, datatype)
            except FormatFault as fault:
                raise Permanent("conversion_failed", fault.message(place)) from None

        converted = self.change(event, convert_value, CONTENT_TYPES[self.to])
        target = self._path if self._into is None else self._into
        is_all_of_data = target.root == "data" and not target.parts
        if self.to == "json" and is_all_of_data and isinstance(converted.data, str):
            # This text is a JSON value. Its type tells later steps and destinations not to parse it again.
            return converted.with_data(converted.data, documents.JSON_TYPE)
        if converted is event and self.from_ is not None:  # `change` returns the event itself if nothing changes
            return step.Noted(event, f"{self.path} is not a text to read as {self.from_}, and stays as it is")
        return converted

    def _convert(self, document: Json, datatype: str | None) -> Json:
        """Return the document in the format `to`. `datatype` is its content type, if that is known."""
        value = document if self._is_parsed(document, datatype) else self._read(document, datatype)
        converted = write_document(value, self)
        if self.exact and self.to != "json":
            self._verify_converts_back(value, converted)
        return converted

    def _is_parsed(self, document: Json, datatype: str | None) -> bool:
        """Return whether the document is the value to write, and not a text or bytes from which to read the value."""
        if documents.content_of(document) is None:
            return True
        if not isinstance(document, str):
            return False
        # A text that is to become text needs no parsing, whatever its format is.
        return self.to == "text" or datatype == documents.JSON_TYPE

    def _read(self, document: Json, datatype: str | None) -> Json:
        """Return the value of a document that is a text or bytes. Raises FormatFault."""
        format_name = self.from_ or format_of_type(documents.type_of(document) or datatype)
        if format_name is None:
            kind = "text" if isinstance(document, str) else "bytes whose type names no format"
            raise FormatFault(None, f"is {kind}: state its format, such as `from: yaml` or `from: text`")
        if format_name == "protobuf" and self.message_kind is None:
            raise FormatFault(None, "is Protobuf: set `from: protobuf`")
        start = document.lstrip()[:1] if isinstance(document, str) else ""
        if format_name in ("json", "xml") and start in _FORMAT_OF_START:
            likely_format, its_name = _FORMAT_OF_START[start]
            if likely_format != format_name:
                raise FormatFault(None, f"cannot be read as {format_name}: it begins as {its_name} does")
        return read_document(document, format_name, self.message_kind)

    def _verify_converts_back(self, value: Json, converted: Json) -> None:
        """Raise FormatFault, with the place of the first difference, if the converted document has another value."""
        value_read_back = read_document(converted, self.to, self.message_kind)
        try:
            _verify_equal(value, value_read_back)
        except _Difference as difference:
            raise FormatFault(difference.location, f"would not convert back from {self.to} to an equal value") from None


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
    """Two values differ at a location."""

    def __init__(self, location: Location) -> None:
        super().__init__()
        self.location = location


def _verify_equal(one: Json, other: Json, location: Location = None) -> None:
    """Raise _Difference with the first place where the values differ. 1 and true differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key, item in one.items():
            _verify_equal(item, other[key], (location, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            _verify_equal(first, second, (location, number))
    elif isinstance(one, bool) is not isinstance(other, bool) or one != other:  # to Python, 1 and True are equal
        raise _Difference(location)
