"""The step `lint`: check that a document is well-formed, fits a JSON Schema, and has fields of the expected kinds."""

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from functions.transform.documents import content_of
from functions.transform.paths import DataPath, Path, SinglePath, iterate_values, parse_path, put
from functions.transform.step import Example, JsonSetting, Noted, Settings, Step, StepContext, StepResult, Switch
from shared import errors
from shared.config.rules import limits
from shared.event import Event
from shared.formats.parse import parse_as
from shared.jsontext import Json, kind_of

if TYPE_CHECKING:
    from shared.schema import Schema


MAX_FAULTS: Final = 10
"""The most faults of a document that are found and shown."""
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """The kinds that a field may have, as the operator writes them: `text`, `integer or null`, `list?`.

    text         the kinds as they are written, without the `?`
    names        each kind's key in _KINDS
    is_optional  the field may be missing, because a `?` was written
    """

    text: str
    names: tuple[str, ...]
    is_optional: bool

    def find_faults(self, data: Json, path: Path) -> Iterator[str]:
        """Yield a fault for each value at the path that is of no such kind."""
        try:
            for place, value in iterate_values(data, path.parts):
                if not any(_is_kind(value, name) for name in self.names):
                    yield f"{place} is {kind_of(value)}, not {self.text}"
        except errors.Permanent as error:
            if not self.is_optional:
                yield error.detail


def _parse_kind(text: str) -> Kind:
    """Parse the kinds of a field as the operator writes them. Raises ValueError."""
    kinds = text.removesuffix("?")
    names = tuple(kinds.split(" or "))
    for name in names:
        if name not in _KINDS:
            raise ValueError(
                f"there is no kind {name!r}; there are: {', '.join(_KINDS)}; a `?` after it means optional"
            )
    return Kind(kinds, names, is_optional=text.endswith("?"))


def _is_kind(value: Json, name: str) -> bool:
    if isinstance(value, bool):  # to Python, it is an int too
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[name])


class Lint(Settings, Step):
    """Check a document or fields, without changing them.

    path      the value to check (default: all of `data`)
    format    json, xml, yaml or plist: text or bytes must be well-formed. Data that was parsed when it was received
              always is
    schema    a JSON Schema 2020-12, in place or as the name of a file. With `format`, it applies to what the text
              contains. Of its own formats, date, date-time, email, idn-email, ipv4, ipv6, regex and uuid are checked
    types     `path: kind` for fields: text, number, integer, boolean, list, object or null; `text or null` is either,
              `text?` may be missing
    on_fault  refuse (default): the event becomes a dead letter; warn: the event continues and the faults are
              journaled; switch: the event continues in another chain
    into      with `on_fault: warn`, where the list of faults goes (default: nowhere)
    chain     with `on_fault: switch`, the name of the chain
    """

    summary: ClassVar[str] = (
        "Check JSON, XML, YAML or plist, a JSON Schema, or the types of fields: reject, warn or switch."
    )
    example: ClassVar[Example] = Example(
        settings={"types": {"data.email": "text", "data.age": "integer?"}, "on_fault": "warn", "into": "data.faults"},
        before={"email": "ada@example.com", "age": "36"},
        after={"email": "ada@example.com", "age": "36", "faults": ["data.age is text, not integer"]},
    )
    extras: ClassVar[tuple[str, ...]] = ("schema", "yaml")
    file_keys: ClassVar[tuple[str, ...]] = ("schema",)
    path: DataPath = "data"
    format: Literal["json", "xml", "yaml", "plist"] | None = None
    schema_: JsonSetting = None  # `schema` in the configuration: pydantic's models have a method of that name
    types: Annotated[dict[DataPath, str], limits(min_length=1)] | None = None
    on_fault: Literal["refuse", "warn", "switch"] = "refuse"
    into: SinglePath | None = None
    chain: Annotated[str, limits(min_length=1)] | None = None

    @property
    def schema_document(self) -> Json:
        """The schema, which the compiler stores as a file's text; None if there is none."""
        return None if self.schema_ is None else _document(self.schema_)

    def prepare(self) -> None:
        if self.format is None and self.schema_ is None and self.types is None:
            raise ValueError("set `format`, `schema` or `types`")
        switches_chain = self.on_fault == "switch"
        has_chain = self.chain is not None
        if switches_chain != has_chain:
            raise ValueError("`on_fault: switch` and `chain` require each other")
        if self.into is not None and self.on_fault != "warn":
            raise ValueError("`into` requires `on_fault: warn`")
        self._path = parse_path(self.path)
        self._into = None if self.into is None else parse_path(self.into)
        self._schema = None if self.schema_ is None else _ready_schema(self.schema_document)
        self._kinds = [(parse_path(path), _parse_kind(kind)) for path, kind in (self.types or {}).items()]

    def needs(self) -> tuple[str, ...]:
        is_needed = {"schema": self._schema is not None, "yaml": self.format == "yaml"}
        return tuple(extra for extra in self.extras if is_needed[extra])

    def chains(self) -> tuple[str, ...]:
        return () if self.chain is None else (self.chain,)

    def apply(self, event: Event, _: StepContext) -> StepResult:
        faults = list(islice(self._find_faults(event.data), MAX_FAULTS))
        if not faults:
            return event
        if self.on_fault == "switch":
            assert self.chain is not None  # `prepare` verifies it
            return Switch(event, self.chain)
        if self.on_fault == "warn":
            warned = event if self._into is None else put(event, self._into, list(faults))
            return Noted(warned, "; ".join(faults))
        raise errors.Permanent("lint_failed", "; ".join(faults))

    def _find_faults(self, data: Json) -> Iterator[str]:
        try:
            for place, value in iterate_values(data, self._path.parts):
                yield from self._document_faults(place, value)
        except errors.Permanent as error:
            yield error.detail
        for path, kind in self._kinds:
            yield from kind.find_faults(data, path)

    def _document_faults(self, place: str, value: Json) -> Iterator[str]:
        try:
            document = self._read(value)
        except errors.Rejected as error:
            yield f"{place}: {error.detail}"
            return
        if self._schema is not None:
            yield from self._schema.find_faults(document, place)

    def _read(self, value: Json) -> Json:
        """Return what a text or bytes in `format` contain, and any other value as it is. Raises Rejected."""
        content = content_of(value)
        if self.format is None or content is None:
            return value
        # A text was decoded when it was received, so its content is UTF-8 now, whatever charset the document states.
        content_type = "; charset=utf-8" if isinstance(value, str) else None
        return parse_as(self.format, content, content_type).data


def _ready_schema(document: Json) -> "Schema":
    # Imported here, because jsonschema is slow to import, and few steps have a schema.
    from shared.schema import Schema

    try:
        return Schema(document)
    except ValueError as error:
        raise ValueError(f"schema: {error}") from error


def _document(setting: Json) -> Json:
    """Return the schema of the setting `schema`. Raises ValueError.

    The operator writes the schema itself, or the name of a file. In place of the name, the compiler stores the file's
    content: as text, or as `{"base64": …}` if it is no text.
    """
    if isinstance(setting, dict) and setting.keys() == {"base64"}:
        content = b64decode(str(setting["base64"]))
    elif isinstance(setting, str):
        content = setting.encode()
    else:
        return setting
    try:
        return parse_as("json", content, None).data
    except errors.Rejected as error:
        raise ValueError(f"the schema's file: {error.detail}") from error
