"""The interface of steps: a step has settings, takes an event and returns the next one.

A family is one module of `functions.transform.steps`. Each class in it that is Settings and a Step is found, and is
named by its class: `Drop` is the step `drop`. A step that needs a slow library imports it in a function.

Settings are verified with pydantic when a configuration is compiled, and only assigned afterwards: importing pydantic
and building the models of ten steps takes a quarter of transform's start. So a plain class declares settings, and its
annotations become a model where settings are verified (verifying.py). An operator's own step is a pydantic model in
place of Settings.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias, TypeVar, dataclass_transform

from shared.config.rules import Rule
from shared.errors import Temporary, TemporaryCode
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.ports import Blobs, Owners, Secrets

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from functions.transform.hosts import StepHosts
    from shared.fetch import Fetch
    from shared.outgoing.authenticator import Authenticator, CloudIdentity


Kind = TypeVar("Kind", bound=type)

MAX_STEPS: Final = 32
"""The most steps of a chain, and the most steps that one event takes through several chains."""

WHOLE: Final = "whole"
"""The only setting of a step whose settings are one value, such as those of `drop: [data.a]`."""


@dataclass(frozen=True, slots=True)
class Example:
    """An example of a step, printed by `hookchain steps` and run as a test.

    before      the data of the event before the step
    after       the data after it; a list of data for a step that makes several events
    attributes  the event's attributes after the step, such as `type`
    secrets     the values of the secrets that the settings name
    varies      true if the result differs each time; `after` is then one of the results
    answers     the answers of other systems, by URL
    stops       the reason, for a step that ends the event
    leads_to    the chain, for a step that leads to one
    """

    settings: Json
    before: Json
    after: Json
    attributes: dict[str, str | None] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    varies: bool = False
    answers: dict[str, Json] = field(default_factory=dict)
    stops: str | None = None
    leads_to: str | None = None


# Not frozen, because a frozen dataclass takes twice as long to create. Nothing changes it.
@dataclass(slots=True)
class StepContext:
    """The surroundings of a step: the route's name, and the event as it entered the route.

    An event can come again, and its steps must then return the same. A step that needs a random value or the time
    derives it from the `id` and the `receivedat` of the original.
    """

    original: Event
    route: str = ""


@dataclass(eq=False, repr=False)
class Services:
    """The services that an AskingStep may use.

    fetch   returns the port of requests to other systems. It is called at the first request, because few processes need
            what it imports
    blobs   None on a platform without blobs
    cloud   returns this function's identity on its platform; None if it has none
    now     returns the time in Unix seconds
    hosts   decides when a host is asked; None if each is asked at once
    """

    secrets: Secrets
    fetch: "Callable[[], Fetch]"
    owners: Owners
    blobs: Blobs | None
    cloud: "Callable[[], CloudIdentity] | None" = None
    now: Callable[[], float] = time.time
    hosts: "StepHosts | None" = None

    @cached_property
    def authenticator(self) -> "Authenticator":
        """Return what authenticates and sends requests to other systems."""
        from shared.outgoing.authenticator import Authenticator

        return Authenticator(self.secrets, self.fetch(), self.cloud() if self.cloud else None, self.now)


class SystemUnavailable(Temporary):
    """The system that a step asks is unavailable, so the route waits and runs again. The other routes are not affected.

    retry_seconds  the waits between tries; None for the default
    until          the time, in Unix seconds, before which the system is not asked; None if it was asked
    was_asked      the system was asked, so that the attempt counts as a try
    """

    def __init__(
        self,
        code: TemporaryCode,
        detail: str,
        retry_seconds: Sequence[float] | None = None,
        until: float | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.retry_seconds = retry_seconds
        self.until = until
        self.was_asked = until is None


UNAVAILABLE_CODES: Final[frozenset[TemporaryCode]] = frozenset({"host_unavailable", "host_unreachable", "step_timeout"})
"""The codes of failures of another system, and not of a part of ours. A step that asks others and is not done in time
(`step_timeout`) waits for its system."""


@dataclass(frozen=True, slots=True)
class Many:
    """A result: several events, each of which continues through the rest of the chain. A note is journaled."""

    events: tuple[Event, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """A result: the event ends here on purpose. The reason is journaled and logged, and nothing is delivered.

    `missing` names the fields that the event lacks, and similar ones. It follows the reason in the journal, and is not
    logged.
    """

    reason: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """A result: the event continues, and the note is journaled. The note must not quote values of the event."""

    event: Event
    note: str


@dataclass(frozen=True, slots=True)
class Switch:
    """A result: the event continues in the named chain instead of the rest of this one."""

    event: Event
    chain: str


@dataclass(frozen=True, slots=True)
class Through:
    """A result: the event goes through the named chain, then through the rest of this one."""

    event: Event
    chain: str


StepResult: TypeAlias = Event | Noted | Many | Stop | Switch | Through


def step_name(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


class Step(ABC):
    """The base of all steps, mixed into their settings.

    summary       one line for people who choose a step
    extras        the extras of pyproject.toml that the step may need; a bundle gets what `needs` returns
    file_keys     the settings that name a file beside the configuration. The compiler replaces the name with the
                  file's text, or with `{"base64": …}` if the file is not UTF-8. `{file: NAME}` does the same in any
                  setting
    only_removes  true for a step that adds nothing to the data, so that its result is not measured
    asks_others   true for an AskingStep that waits for another system, not for a part of ours alone. An operator's own
                  AskingStep counts as one in any case: see NamedStep
    """

    summary: ClassVar[str]
    example: ClassVar[Example]
    extras: ClassVar[tuple[str, ...]] = ()
    file_keys: ClassVar[tuple[str, ...]] = ()
    only_removes: ClassVar[bool] = False
    asks_others: ClassVar[bool] = False

    def needs(self) -> tuple[str, ...]:
        """Return the extras that the step needs with these settings."""
        return self.extras

    @classmethod
    def step_name(cls) -> str:
        return step_name(cls.__name__)

    def removes(self) -> tuple[str, ...]:
        """Return the paths of the values in which a field may be missing, or be elsewhere, after this step; `data` for
        all of the data. A step that writes a value may remove the fields that were there."""
        return ()

    def chains(self) -> tuple[str, ...]:
        """Return the names of the chains that a Switch or Through of this step may name."""
        return ()

    @abstractmethod
    def apply(self, event: Event, context: StepContext) -> StepResult:
        """Return the result for an event, which stays as it is. Raises Permanent if this event can never pass."""


class AskingStep(Step):
    """A step that needs a secret, the answer of another system, or a memory: it has `ask` in place of `apply`."""

    def apply(self, _: Event, __: StepContext) -> StepResult:
        raise TypeError(f"{self.step_name()} has `ask`, not `apply`")

    @abstractmethod
    async def ask(self, event: Event, context: StepContext, services: Services) -> StepResult:
        """Return the result for an event. Raises Permanent as `apply` does, and Temporary if the event should come
        again."""


@dataclass(frozen=True, slots=True)
class NamedStep:
    """A step at its place in a chain.

    number        its number in the chain, from 1
    chain         the name of the chain; None for the steps of a route
    is_own        true for an operator's own step
    asks          true for an AskingStep
    asks_others   true for `call`, `fetch` and an operator's own AskingStep
    only_removes  as in Step; false for an operator's own step, which is always measured
    label         its name in messages
    """

    number: int
    name: str
    step: Step
    chain: str | None = None
    is_own: bool = False
    asks: bool = field(init=False)
    asks_others: bool = field(init=False)
    only_removes: bool = field(init=False)
    label: str = field(init=False)

    def __post_init__(self) -> None:
        place = f"chain {self.chain!r} " if self.chain else ""
        object.__setattr__(self, "asks", isinstance(self.step, AskingStep))
        object.__setattr__(self, "asks_others", self.asks and (self.is_own or self.step.asks_others))
        object.__setattr__(self, "only_removes", self.step.only_removes and not self.is_own)
        object.__setattr__(self, "label", f"{place}step {self.number} {self.name!r}")

    @property
    def retry_seconds(self) -> Sequence[float] | None:
        """The schedule of the step's `retry`, by which a route waits for another system; None for the default one.

        An operator's own step may mean another thing by `retry`.
        """
        return None if self.is_own else getattr(self.step, "retry", None)


def removals_of(steps: Iterable[NamedStep]) -> dict[str, list[str]]:
    """Return the paths that each of the steps may have removed, by the step's label."""
    removals = {named.label: ["data"] if named.is_own else list(named.step.removes()) for named in steps}
    return {label: paths for label, paths in removals.items() if paths}


# The settings of steps, and the values that some of them have


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


def settings_from(kind: type[Settings], compiled: Json) -> Settings:
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
