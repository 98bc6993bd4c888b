"""Lint: whether a document is what it should be."""

from base64 import b64decode
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PrivateAttr

from functions.transform.documents import content_of
from functions.transform.fields import ReadPath, WritePath, put, values_at
from functions.transform.kinds import Kind, parse_kind
from functions.transform.paths import Path, parse_path
from functions.transform.schemas import MAX_FAULTS, Schema
from functions.transform.step import Example, Noted, Step, StepContext, StepResult, Switch
from shared.errors import Permanent, Rejected
from shared.event import Event
from shared.formats.parse import parse_as
from shared.jsontext import Json


class Lint(BaseModel, Step):
    """Looks, and changes nothing. What is at `path` (default: all of `data`) is checked as far as the settings say.

    format    json, xml, yaml or plist: text or bytes must be well-formed; what was parsed when it came is
    schema    JSON Schema 2020-12, as a file's name or in place; of text, with `format`, what it says is checked
    types     `path: kind` of named fields: text, number, integer, boolean, list, object, null; `text or null` is
              either, `text?` may be absent
    on_fault  refuse (default): a dead letter; warn: the event goes on, the faults are journaled, and put into `into`,
              as a list, where that is said; switch: the event goes on in the chain `chain`
    """

    summary: ClassVar[str] = "Check JSON, XML, YAML or plist, a JSON Schema, or fields' types: refuse, warn or switch."
    example: ClassVar[Example] = Example(
        settings={"types": {"data.email": "text", "data.age": "integer?"}, "on_fault": "warn", "into": "data.faults"},
        before={"email": "ada@example.com", "age": "36"},
        after={"email": "ada@example.com", "age": "36", "faults": ["data.age is text, not integer"]},
    )
    extras: ClassVar[tuple[str, ...]] = ("schema", "yaml")
    file_keys: ClassVar[tuple[str, ...]] = ("schema",)
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: ReadPath = "data"
    format: Literal["json", "xml", "yaml", "plist"] | None = None
    schema_: JsonValue = Field(default=None, alias="schema")
    types: Annotated[dict[ReadPath, str], Field(min_length=1)] | None = None
    on_fault: Literal["refuse", "warn", "switch"] = "refuse"
    into: WritePath | None = None
    chain: str | None = Field(default=None, min_length=1)

    _path: Path = PrivateAttr()
    _into: Path | None = PrivateAttr()
    _schema: Schema | None = PrivateAttr(default=None)
    _kinds: list[tuple[Path, Kind]] = PrivateAttr()

    @property
    def schema_document(self) -> Json:
        """The schema itself, which the compiler leaves as a file's text; None where there is none."""
        return None if self.schema_ is None else _document(self.schema_)

    def model_post_init(self, _: object) -> None:
        if self.format is None and self.schema_ is None and self.types is None:
            raise ValueError("say what to check: `format`, `schema` or `types`")
        if (self.on_fault == "switch") is not (self.chain is not None):
            raise ValueError("`on_fault: switch` and `chain` go together")
        if self.into is not None and self.on_fault != "warn":
            raise ValueError("`into` is for `on_fault: warn`")
        self._path = parse_path(self.path)
        self._into = None if self.into is None else parse_path(self.into)
        self._schema = None if self.schema_ is None else Schema(self.schema_document)
        self._kinds = [(parse_path(path), parse_kind(words)) for path, words in (self.types or {}).items()]

    def needs(self) -> tuple[str, ...]:
        wanted = {"schema": self._schema is not None, "yaml": self.format == "yaml"}
        return tuple(extra for extra, is_wanted in wanted.items() if is_wanted)

    def chains(self) -> tuple[str, ...]:
        return () if self.chain is None else (self.chain,)

    def apply(self, event: Event, _: StepContext) -> StepResult:
        faults = [fault for fault, _ in zip(self._faults(event.data), range(MAX_FAULTS), strict=False)]
        if not faults:
            return event
        if self.chain is not None:
            return Switch(event, self.chain)
        if self.on_fault == "warn":
            return Noted(event if self._into is None else put(event, self._into, list(faults)), "; ".join(faults))
        raise Permanent("lint", "; ".join(faults))

    def _faults(self, data: Json) -> Iterator[str]:
        try:
            for place, value in values_at(data, self._path.parts):
                yield from self._faults_at(place, value)
        except Permanent as error:
            yield error.detail
        for path, kind in self._kinds:
            yield from kind.faults_at(data, path)

    def _faults_at(self, place: str, value: Json) -> Iterator[str]:
        try:
            value = self._read(value)
        except Rejected as error:
            yield f"{place}: {error.detail}"
            return
        if self._schema is not None:
            yield from self._schema.faults(value, place)

    def _read(self, value: Json) -> Json:
        content = content_of(value)
        if self.format is None or content is None:
            return value
        return parse_as(self.format, content, "; charset=utf-8" if isinstance(value, str) else None).data


def _document(settings: Json) -> Json:
    """The schema in place, or as the compiler leaves a file: its text, or its bytes in base64."""
    if isinstance(settings, dict) and settings.keys() == {"base64"}:
        content = b64decode(str(settings["base64"]))
    elif isinstance(settings, str):
        content = settings.encode()
    else:
        return settings
    try:
        return parse_as("json", content, None).data
    except Rejected as error:
        raise ValueError(f"the schema's file: {error.detail}") from error
