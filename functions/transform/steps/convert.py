"""Convert: documents from one format to another."""

from base64 import b64decode
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue, PrivateAttr

from functions.transform.differences import Differs, verify_equal
from functions.transform.documents import JSON_TYPE, content_of, type_of
from functions.transform.fields import Placed
from functions.transform.formats import CONTENT_TYPES, Format, Writing, named, read, write
from functions.transform.step import Example, Step, StepContext
from functions.transform.writers.writing import Unwritable
from functions.transform.writers.xml_writer import NAME_RULE, is_xml_name
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json

if TYPE_CHECKING:
    from functions.transform.writers.protobuf import MessageKind


class Convert(Placed, Step):
    """What is at `path` (default: all of `data`), written in the format `to`.

    from         the format of text or bytes; default: what a step before left, or what the bytes say. What was parsed
                 when it came is taken as it is. `to: json` is the value itself
    into         where the document goes; default: the same place
    exact        refuse what would not come back equal: XML, CSV and forms know text only
    root         XML: the element around it all; default: the one key that there is
    nulls, dates property lists: leave out what is null; make times of RFC 3339 dates
    delimiter    CSV
    message      Protobuf: a message of the file `descriptors`; default: google.protobuf.Struct
    proto_names  Protobuf: in JSON, fields go by their names in the .proto file, not in camelCase
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
    from_: Format | None = Field(default=None, alias="from")
    exact: bool = False
    root: str | None = Field(default=None, min_length=1)
    nulls: Literal["refuse", "omit"] = "refuse"
    dates: bool = False
    delimiter: Literal[",", ";", "\t"] = ","
    message: str | None = Field(default=None, min_length=1)
    descriptors: JsonValue = None
    proto_names: bool = False

    _message: "MessageKind | None" = PrivateAttr(default=None)
    _writing: Writing = PrivateAttr()

    def model_post_init(self, context: object) -> None:
        super().model_post_init(context)
        if "protobuf" in (self.to, self.from_):
            from functions.transform.writers.protobuf import MessageKind

            self._message = MessageKind(_descriptors(self.descriptors), self.message, keeps_names=self.proto_names)
        elif self.message is not None or self.descriptors is not None:
            raise ValueError("`message` and `descriptors` go with `to: protobuf` or `from: protobuf`")
        if self.root is not None and not is_xml_name(self.root):
            raise ValueError(f"`root: {self.root}` is no name for an XML element: {NAME_RULE}")
        if self.root is not None and self.exact and self.to == "xml":
            raise ValueError("`root` adds an element, so nothing comes back as it was: leave out `root` or `exact`")
        self._writing = Writing(self.root, self.nulls == "omit", self.dates, self.delimiter, self._message)

    def needs(self) -> tuple[str, ...]:
        wanted = {"yaml": self.from_ in (None, "yaml") or self.exact, "protobuf": self._message is not None}
        return tuple(extra for extra, is_wanted in wanted.items() if is_wanted)

    def apply(self, event: Event, _: StepContext) -> Event:
        said = None if self._path.parts else event.datatype

        def convert(value: Json, place: str) -> Json:
            try:
                return self._converted(value, said)
            except Unwritable as fault:
                raise Permanent("convert", fault.words(place)) from None

        converted = self.changed(event, convert, CONTENT_TYPES[self.to])
        target = self._path if self._into is None else self._into
        is_json_text = self.to == "json" and isinstance(converted.data, str)
        if is_json_text and target.root == "data" and not target.parts:
            return converted.with_data(converted.data, JSON_TYPE)
        return converted

    def _converted(self, value: Json, datatype: str | None) -> Json:
        value = self._read(value, datatype)
        written = write(value, self.to, self._writing)
        if self.exact and self.to != "json":
            self._verify_return(value, written)
        return written

    def _read(self, value: Json, datatype: str | None) -> Json:
        content = content_of(value)
        if content is None or (self.to == "text" and isinstance(value, str)):
            return value
        if isinstance(value, str) and datatype == JSON_TYPE:  # parsed already
            return value
        name = self.from_ or named(type_of(value) or datatype)
        if name is None:
            what = "text" if isinstance(value, str) else "bytes whose type names no format"
            raise Unwritable(None, f"is {what}: say what it is, as in `from: yaml`, or `from: text`")
        if name == "protobuf" and self._message is None:
            raise Unwritable(None, "is Protobuf: say `from: protobuf`")
        return read(content, value, name, self._message)

    def _verify_return(self, value: Json, written: Json) -> None:
        content = content_of(written)
        assert content is not None
        try:
            verify_equal(value, read(content, written, self.to, self._message))
        except Differs as difference:
            raise Unwritable(difference.trail, f"would not come back from {self.to} as it is") from None


def _descriptors(settings: Json) -> bytes | None:
    """As the compiler leaves a file: its text, or its bytes in base64."""
    if settings is None:
        return None
    if isinstance(settings, str):
        return settings.encode()
    if isinstance(settings, dict) and isinstance(settings.get("base64"), str):
        return b64decode(str(settings["base64"]))
    raise ValueError("`descriptors` names a file that `protoc --descriptor_set_out` wrote")
