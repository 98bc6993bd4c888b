"""The settings of steps: what declares them, and the values that some of them have.

Settings are verified with pydantic when a configuration is compiled, and only assigned afterwards: importing pydantic
and building the models of ten steps takes a quarter of transform's start. So a plain class declares settings, and its
annotations become a model where settings are verified (functions/transform/verifying.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeVar, dataclass_transform

from shared.config.rules import Rule
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Kind = TypeVar("Kind", bound=type)

WHOLE: Final = "whole"
"""The only setting of a step whose settings are one value, such as those of `drop: [data.a]`."""


class SettingsFault(ValueError):
    """Settings that a step does not accept, with a reason for each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass_transform(kw_only_default=True, eq_default=False)
class Settings:
    """The base of settings: each annotated attribute is one, with its default. `from_` is written `from`.

    short_form        the setting that a text sets in place of the settings
    short_form_lists  true if a list means that setting too
    """

    short_form: ClassVar[str] = ""
    short_form_lists: ClassVar[bool] = False

    def __init__(self, **settings: Json) -> None:
        vars(self).update(settings)
        self._given: JsonObject = settings
        self.prepare()

    def prepare(self) -> None:
        """Compute once what each event needs. Raises ValueError for settings that do not go together."""

    def given(self) -> JsonObject:
        """Return the settings that were given, without the defaults of others."""
        return self._given


def build(kind: type[Settings], compiled: Json) -> Settings:
    """Return the settings; `compiled` is what `compile_settings` returned. Raises ValueError and TypeError."""
    names = set(setting_names(kind))
    if WHOLE in names:
        return kind(whole=compiled)
    if not isinstance(compiled, dict):
        raise TypeError("settings are an object")
    return kind(**{name if name in names else f"{name}_": value for name, value in compiled.items()})


def setting_names(kind: type[Settings]) -> Iterator[str]:
    for base in reversed(kind.__mro__):
        if issubclass(base, Settings) and base is not Settings:
            yield from base.__annotations__  # those of class variables too, which nobody can set


def shown_as(schema: Mapping[str, object]) -> Rule:
    """Return the rule that gives the value this schema in the JSON Schema of the configuration."""

    def make() -> Iterable[object]:
        from pydantic import WithJsonSchema

        return [WithJsonSchema(dict(schema))]

    return Rule(make)


def closed(kind: Kind) -> Kind:
    """Forbid other keys in objects of this TypedDict: a class decorator."""
    setattr(kind, "__pydantic_config__", {"extra": "forbid"})  # noqa: B010 it has no such attribute yet
    return kind


class _AnyJson:
    def __get_pydantic_core_schema__(self, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic import JsonValue

        return handler.generate_schema(JsonValue)


if TYPE_CHECKING:
    JsonSetting = Json
else:
    JsonSetting = Annotated[object, _AnyJson()]
"""Any JSON value."""
