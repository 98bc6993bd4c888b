"""Conversion: turn documents from one format into another."""

from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from functions.transform.documents import JSON_TYPE, content_of, type_of
from functions.transform.fields import PathSettings
from functions.transform.formats import CONTENT_TYPES, Format, WriteOptions, format_of_type, read, write
from functions.transform.settings import JsonSetting
from functions.transform.step import Example, Step, StepContext
from shared.config.rules import limits
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json
from shared.writers.writing import Location, Unwritable

if TYPE_CHECKING:
    from functions.transform.writers.protobuf import MessageKind


class Convert(PathSettings, Step):
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
    example: ClassVar[Example] = Example(
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
    descriptors: JsonSetting = None
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

    def apply(self, event: Event, _: StepContext) -> Event:
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
            return converted.with_data(converted.data, JSON_TYPE)
        return converted

    def _convert(self, value: Json, datatype: str | None) -> Json:
        value = self._read(value, datatype)
        written = write(value, self.to, self._options)
        if self.exact and self.to != "json":
            self._verify_converts_back(value, written)
        return written

    def _read(self, value: Json, datatype: str | None) -> Json:
        content = content_of(value)
        if content is None or (self.to == "text" and isinstance(value, str)):
            return value
        if isinstance(value, str) and datatype == JSON_TYPE:  # it is parsed already
            return value
        name = self.from_ or format_of_type(type_of(value) or datatype)
        if name is None:
            what = "text" if isinstance(value, str) else "bytes whose type names no format"
            raise Unwritable(None, f"is {what}: state its format, such as `from: yaml` or `from: text`")
        if name == "protobuf" and self._message is None:
            raise Unwritable(None, "is Protobuf: set `from: protobuf`")
        return read(content, value, name, self._message)

    def _verify_converts_back(self, value: Json, written: Json) -> None:
        content = content_of(written)
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
