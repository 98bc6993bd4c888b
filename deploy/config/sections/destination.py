"""The section `destinations`: the options that every kind has, and the settings of one kind, by the model of this kind.

The models of the kinds are in functions/notify/destinations/. In this destination, `email` is the kind, and `retry` and
`rate` are options:

    sales: {email: {to: [sales@example.com], subject: "{{ type }}"}, retry: [1m, 1h], rate: 10/m}

The module reads the settings and finds their faults (`read_destination_settings`), finds the faults of the options
(`option_faults`, `waiting_faults`), and compiles both for notify (`compiled_destination`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, unreadable
from deploy.config.model_faults import expression_faults, fault_at, keys_at, model_faults, setting_name, unknown_names
from deploy.config.sections.kinds import destination_kinds, no_person_rule, settings_model, speaks_http, suggested_kinds
from deploy.config.sections.own_files import KINDS_SECTION, own_kinds
from deploy.config.sections.route import RouteConfig
from functions.notify.digests.settings import DEFAULT_MAX_EVENTS
from functions.notify.kind_settings import LineTemplate
from functions.notify.own_kinds import OwnKinds
from functions.notify.recipients.to_person import is_person_path
from functions.notify.registry import ACTOR
from functions.notify.success_when import SuccessCondition
from functions.notify.waiting.schedule import DEFAULT_RETRY_SECONDS, DIGEST_RETRY_SECONDS
from shared.config.rules import Name, Seconds, rate_of
from shared.config.values import Model
from shared.did_you_mean import did_you_mean
from shared.expressions import ExpressionFault
from shared.jsontext import Json, JsonObject
from shared.templating.template import TemplateFault, is_template, one_line_template
from shared.times import duration_text

MAX_DIGEST_EVENTS: Final = 200
"""The most events that a digest can list."""
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def _time_of_day(value: object) -> object:
    """Accept a time of day. YAML reads 22:00 without quotes as a number in base 60, which is 1320."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError(f'must be a time of day from 00:00 to 23:59, such as "22:00"; got {value!r}')
    return value


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        rule = "must be the name of a time zone in the IANA database, such as Europe/Berlin or UTC"
        raise ValueError(f"{rule}; got {name!r}") from None
    return name


TimeOfDay = Annotated[str, BeforeValidator(_time_of_day), Field(examples=["22:00"])]
TimeZone = Annotated[str, AfterValidator(_timezone), Field(examples=["Europe/Berlin"])]


class CoalesceConfig(Model):
    """A burst of events on one key becomes one delivery.

    by        a JMESPath expression over the event for the key; an event without a key is delivered by itself
    wait      the burst ends if no event of its key comes for this time
    max_wait  the burst ends after this time, even if more events come
    keep      `last` or `first` delivers this event of the burst, `all` delivers the data of all of them
    """

    by: str
    wait: Annotated[Seconds, Field(ge=1, le=3_600)] = 30.0
    max_wait: Annotated[Seconds, Field(ge=1, le=86_400)] = 300.0
    keep: Literal["last", "first", "all"] = "last"

    @model_validator(mode="after")
    def _burst_can_end(self) -> "CoalesceConfig":
        if self.max_wait < self.wait:
            found = f"got wait {duration_text(self.wait)} and max_wait {duration_text(self.max_wait)}"
            raise ValueError(f"max_wait: must not be less than wait; {found}. Raise the first or lower the other")
        return self

    def compiled(self) -> JsonObject:
        return {"by": self.by, "wait_seconds": self.wait, "max_wait_seconds": self.max_wait, "keep": self.keep}


class DigestConfig(Model):
    """Events go out together.

    every  the time from one digest to the next
    by     a JMESPath expression over the event: each value that it returns gets a digest of its own
    max    the most events that a digest lists; it counts all of them
    line   a template for an event's line
    """

    every: Annotated[Seconds, Field(ge=1, le=7 * 86_400)] = 900.0
    by: str | None = None
    max: Annotated[int, Field(ge=1, le=MAX_DIGEST_EVENTS)] = DEFAULT_MAX_EVENTS
    line: LineTemplate | None = None


class QuietHoursConfig(Model):
    """Nothing goes out between two times of the day. The events of this time go out together at its end.

    tz  the time zone; default: the recipient's, or UTC
    """

    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay
    tz: TimeZone | None = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> "QuietHoursConfig":
        if minute_of(self.from_) == minute_of(self.to):
            rule = f"to: must be another time than from; got {self.to!r} for both"
            raise ValueError(f"{rule}. Choose an end, or remove quiet_hours")
        return self

    def compiled(self) -> JsonObject:
        """Return the minutes of the day, and the zone."""
        return {"begin": minute_of(self.from_), "end": minute_of(self.to), "timezone": self.tz}


def minute_of(time: str) -> int:
    """Return the minute of the day of a valid `TimeOfDay`."""
    hour, _, minute = time.partition(":")
    return int(hour) * 60 + int(minute)


def _verified_rate(value: object) -> object:
    rate_of(value)
    return value


RateText = Annotated[str, BeforeValidator(_verified_rate), Field(examples=["10/s", "100/m", "20/h"])]
InFlight = Annotated[int, Field(ge=1, le=1_000)]


class BreakerConfig(Model):
    """The circuit breaker of a destination.

    failures   the number of failed attempts in a row that open the breaker: the deliveries then wait
    pause      the time after which one delivery is attempted; it doubles each time that this attempt fails
    max_pause  the longest pause
    """

    failures: Annotated[int, Field(ge=1, le=1_000)] = 5
    pause: Annotated[Seconds, Field(ge=1)] = 60.0
    max_pause: Annotated[Seconds, Field(ge=1)] = 3_600.0

    @model_validator(mode="after")
    def _pauses_grow(self) -> "BreakerConfig":
        if self.pause > self.max_pause:
            found = f"got pause {duration_text(self.pause)} and max_pause {duration_text(self.max_pause)}"
            raise ValueError(f"pause: must not exceed max_pause; {found}. Lower the first or raise the other")
        return self

    def compiled(self) -> JsonObject:
        return {"failures": self.failures, "pause_seconds": self.pause, "max_pause_seconds": self.max_pause}


def _breaker_or_off(value: object) -> object:
    return None if value in (False, "off") else value  # YAML reads `off` without quotation marks as false


class DestinationConfig(BaseModel):
    """A destination. One key names its kind and has the settings of that kind; the others are the same for every kind.

    retry        the waits between attempts
    timeout      how long one attempt may take
    on_unknown   what follows an attempt that was sent but not answered: `resend` waits for minutes and sends again,
                 `hold` keeps the delivery until `hookchain release`
    expires_after  the event's age at which it becomes the dead letter `expired`
    otherwise      another destination, which gets each event that ends as a dead letter here
    success_when   a JMESPath condition over `status`, `headers` and `body` that a 2xx must meet; for kinds that speak
                   HTTP
    breaker        `off`, or how many failures in a row make the deliveries wait, and how long
    rate           how often an attempt may begin, over all instances
    in_flight      how many attempts may be under way, over all instances
    per            a JMESPath expression over the event: `rate` and `in_flight` apply to each key that it returns
    coalesce       a burst of events on one key becomes one delivery
    digest         events go out together, for mail and messages
    quiet_hours    nothing goes out at these times of the day, for mail and messages
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    retry: list[Seconds] | None = Field(default=None, max_length=50)
    timeout: Seconds = Field(15.0, ge=1, le=60)
    on_unknown: Literal["resend", "hold"] = "resend"
    expires_after: Annotated[Seconds, Field(ge=1)] | None = None
    otherwise: Name | None = None
    success_when: str | None = None
    breaker: Annotated[BreakerConfig | None, BeforeValidator(_breaker_or_off)] = BreakerConfig()
    rate: RateText | None = None
    in_flight: InFlight | None = None
    per: str | None = None
    coalesce: CoalesceConfig | None = None
    digest: DigestConfig | None = None
    quiet_hours: QuietHoursConfig | None = None

    @property
    def kind(self) -> str:
        [name] = self.model_extra or {}
        return name

    def settings_of(self, kind: str) -> Json:
        """Return the settings as they are written, if the destination has this kind; None if it has another."""
        return (self.model_extra or {}).get(kind)

    @model_validator(mode="after")
    def _one_kind(self) -> "DestinationConfig":
        other_keys = self.model_extra or {}
        if len(other_keys) != 1:
            found = ", ".join(sorted(other_keys)) or "none"
            raise ValueError(f"must have one key that names its kind, such as `email`; got {found}")
        return self

    @model_validator(mode="after")
    def _per_has_a_cap(self) -> "DestinationConfig":
        if self.per is not None and self.rate is None and self.in_flight is None:
            raise ValueError("per: needs `rate` or `in_flight`; got neither. Add one, or remove `per`")
        return self

    @model_validator(mode="after")
    def _gathers_in_one_way(self) -> "DestinationConfig":
        if self.coalesce is not None and self.digest is not None:
            raise ValueError("digest: must not be combined with `coalesce`; got both. Remove one of them")
        return self


COMMON_KEYS: Final = DestinationConfig.model_fields.keys()
"""The keys of a destination besides the key that names its kind."""
LINES: Final = ("subject", "title", "text")
"""The settings of kinds whose first line serves as an event's line in a digest, in the order of preference."""
RECIPIENTS: Final = ("to", "cc", "bcc", "topic", "token", "fid", "channel", "urls")
"""The settings of kinds that say who gets a message."""


def kind_of(file: ConfigFile, name: str) -> str:
    """Return the kind of the destination in the file; empty if it has none, and the first of several kinds."""
    return min(file.mapping("destinations", name).keys() - COMMON_KEYS, default="")


class Unresolved(ValueError):
    """A setting names a list or a file that does not exist, or a list with an entry that is not an address.

    `at` is the path of this entry; empty if the setting itself is at fault.
    """

    def __init__(self, rule: str, at: DocumentPath = ()) -> None:
        super().__init__(rule)
        self.at = at


def read_destination_settings(file: ConfigFile) -> tuple[dict[str, BaseModel], list[Fault]]:
    """Return the valid settings by the destination's name, and the faults of all destinations' settings.

    If a setting names a list or a file that cannot be read, this is a fault, and the rest is validated without it.
    """
    own = own_kinds(file)
    known = [*destination_kinds(), *own]
    # If the file with the operator's own kinds does not load, that is a fault by itself, and any key could be a kind.
    may_be_own_kind = bool(file.value(KINDS_SECTION)) and not own
    by_name: dict[str, BaseModel] = {}
    faults: list[Fault] = []
    for name, written in file.mappings("destinations").items():
        for kind in written.keys() - COMMON_KEYS:
            if kind in known:
                settings, setting_faults = _read_settings(file, ("destinations", name, kind), own)
                faults += setting_faults
                if settings is not None:
                    by_name[name] = settings
            elif not may_be_own_kind:
                line = file.line(("destinations", name, kind))
                rule = _unknown_key_rule(kind, written, known, own)
                faults.append(Fault(line, setting_name(file, ("destinations", name)), rule))
    return by_name, faults


def _unknown_key_rule(key: str, written: JsonObject, known: Sequence[str], own: OwnKinds) -> str:
    """Return the rule for a key that is neither a kind nor an option of every kind."""
    for kind in written:
        if kind in known:
            return _misplaced_rule(key, kind, own)
    if written.get("type") in known:
        return f"write the kind as a key that has the settings: `{written['type']}: {{…}}`, without `type`"
    return f"there is no kind of destination {key!r}{suggested_kinds(key, known)}"


def _misplaced_rule(key: str, kind: str, own: OwnKinds) -> str:
    """Return the rule for a key beside the kind that is neither a kind nor a setting of every kind."""
    if key in keys_at(settings_model(kind, own), ()):
        return f"{key} is a setting of `{kind}`: write it in there, as `{kind}: {{{key}: …}}`"
    if key in RouteConfig.model_fields or key in {"from", "else"}:
        return f"{key} is a key of a route: write it in the route that leads here"
    return f"there is no such key {key!r}{did_you_mean(key, COMMON_KEYS)}"


def _read_settings(file: ConfigFile, at: tuple[str, str, str], own: OwnKinds) -> tuple[BaseModel | None, list[Fault]]:
    """Return the settings at the path, such as ("destinations", "sales", "email"), and their faults.

    The settings are None if the model of the kind rejects them.
    """
    _, _, kind = at
    model = settings_model(kind, own)
    settings = file.value(*at)
    resolved: JsonObject = {}
    faults: list[Fault] = []
    reported: set[DocumentPath] = set()  # settings with a fault, which the model must not report as missing
    for key, value in settings.items() if isinstance(settings, dict) else ():
        if key == "to" and "to" not in model.model_fields:
            faults.append(fault_at(file, (*at, key), no_person_rule(kind)))
            continue
        try:
            resolved[key] = _resolved_value(file, kind, key, value)
        except Unresolved as fault:
            reported.add((*at, key))
            line = file.line(fault.at or (*at, key))
            faults.append(Fault(line, setting_name(file, fault.at or at), str(fault)))
    try:
        return model.model_validate(resolved if isinstance(settings, dict) else settings), faults
    except ValidationError as error:
        return None, [*faults, *model_faults(error, file, at, model, reported, COMMON_KEYS)]


def _resolved_value(file: ConfigFile, kind: str, key: str, value: Json) -> Json:
    """Return the value of a setting, with the text in place of `{file: …}`, and addresses in place of a mail's lists.

    Raises Unresolved.
    """
    if isinstance(value, dict) and value.keys() == {"file"}:
        name = str(value["file"])
        try:
            return (file.folder / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # ValueError: the content is not UTF-8, or the name has a NUL
            raise Unresolved(unreadable(name)) from error
    if kind == "email" and key in {"to", "cc", "bcc"} and not isinstance(value, dict):
        return _addresses(value, file.mapping("lists"))
    return value


def _addresses(value: Json, lists: JsonObject) -> list[Json]:
    """Return the addresses. An entry without @ is the name of a list, or the path of a person in the event.

    Raises Unresolved.
    """
    addresses: list[Json] = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str) or "@" in entry or "{{" in entry:
            addresses.append(entry)
        elif isinstance(members := lists.get(entry), list):
            for position, member in enumerate(members):
                _verify_member(member, ("lists", entry, position))
            addresses += members
        elif is_person_path(entry):
            addresses.append(entry)
        else:
            rule = f"must be an address or the name of a list; got {entry!r}"
            names = [name for name, members in lists.items() if isinstance(members, list)]
            hint = did_you_mean(entry, [*names, ACTOR])
            if entry.isidentifier() and "did you mean" not in hint:
                hint += f". A person whom the event names is at a path such as `to: data.{entry}`"
            raise Unresolved(f"{rule}{hint}")
    return addresses


def _verify_member(member: Json, at: DocumentPath) -> None:
    """Raise Unresolved if the entry of a list is a text that cannot be an address.

    A template, the actor and a path in the data stand for an address that each event has. The model of the kind reports
    an entry that is not a text.
    """
    if not isinstance(member, str) or "@" in member:
        return
    is_in_event = "{{" in member or member == ACTOR or member.startswith("data.")
    if not is_in_event:
        raise Unresolved(f"must be a mail address, such as anna@example.com; got {member!r}", at)


def option_faults(file: ConfigFile) -> Iterator[Fault]:
    """Yield those faults of the options that the model does not report."""
    for name, written in file.mappings("destinations").items():
        at: DocumentPath = ("destinations", name)
        yield from _otherwise_faults(file, name)
        yield from _success_faults(file, (*at, "success_when"), written)
        yield from expression_faults(file, (*at, "per"))
        yield from expression_faults(file, (*at, "coalesce", "by"))
        yield from expression_faults(file, (*at, "digest", "by"))


def _otherwise_faults(file: ConfigFile, name: str) -> Iterator[Fault]:
    at: DocumentPath = ("destinations", name, "otherwise")
    yield from unknown_names(file, at, "destination")
    path = [name]
    following = file.value(*at)
    while isinstance(following, str) and following not in path:
        path.append(following)
        following = file.value("destinations", following, "otherwise")
    if following == name:  # if the path ends in a circle without this destination, its members report it
        found = " → ".join([*path, name])
        yield fault_at(file, at, f"must not lead back to {name!r}; got {found}. Take one of them out")


def _success_faults(file: ConfigFile, at: DocumentPath, settings: JsonObject) -> Iterator[Fault]:
    condition = settings.get("success_when")
    if not isinstance(condition, str):
        return
    try:
        SuccessCondition(condition)
    except ExpressionFault as fault:
        yield fault_at(file, at, f"must be a JMESPath expression over the response; got {condition!r}: {fault}")
    for kind in settings.keys() & set(destination_kinds()):
        if not speaks_http(kind):
            yield fault_at(file, at, f"must be a condition over an HTTP response, which {kind!r} does not get")


def waiting_faults(
    file: ConfigFile, destinations: Mapping[str, DestinationConfig], settings: Mapping[str, BaseModel]
) -> Iterator[Fault]:
    """Yield the faults of options that make deliveries wait: the kind cannot deliver them, or events expire first.

    `settings` are the valid settings by the destination's name.
    """
    for name, model in settings.items():
        destination = destinations[name]
        at: DocumentPath = ("destinations", name)
        for option in ("digest", "quiet_hours"):
            if getattr(destination, option) is not None and (rule := _unfit_rule(destination, model)):
                yield fault_at(file, (*at, option), rule)
        if rule := _expiry_rule(destination):
            yield fault_at(file, (*at, "expires_after"), rule)


def _unfit_rule(destination: DestinationConfig, settings: BaseModel) -> str:
    """Return why the destination cannot deliver several events together; empty if it can."""
    if not can_digest(type(settings)):
        rule = "needs a kind that can deliver a digest, such as `email` or `slack`"
        return f"{rule}; got `{destination.kind}`. Remove it"
    if recipients := event_recipients(settings):
        rule = f"must not be combined with recipients that each event names; got a template in `{recipients[0]}`"
        advice = "Write the recipients out, or name them by `people`"
        return f"{rule}: the events of a digest may name several. {advice}"
    return ""


def _expiry_rule(destination: DestinationConfig) -> str:
    """Return the rule that an event must not expire while it waits for others; empty if it is met."""
    expiry = destination.expires_after
    if expiry is None:
        return ""
    waits = {
        "digest.every": destination.digest.every if destination.digest else 0.0,
        "coalesce.max_wait": destination.coalesce.max_wait if destination.coalesce else 0.0,
    }
    for option, wait in waits.items():
        if expiry <= wait:
            rule = f"must be longer than {option}, or events expire while they wait"
            return (
                f"{rule}; got expires_after {duration_text(expiry)} and {option} {duration_text(wait)}. "
                "Raise the first or lower the other"
            )
    return ""


def can_digest(model: type[BaseModel]) -> bool:
    """Return whether the kind can deliver a digest: its model declares `digests`, as the kinds for people do."""
    return getattr(model, "digests", False) is True


def event_recipients(settings: BaseModel) -> list[str]:
    """Return the settings with a template for the recipients. The events of one digest might name different ones."""
    templates: list[str] = []
    for name in RECIPIENTS:
        value = getattr(settings, name, None)
        texts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(text, str) and is_template(text) for text in texts):
            templates.append(name)
    return templates


def compiled_destination(destination: DestinationConfig, settings: BaseModel) -> JsonObject:
    """Return the destination as notify gets it."""
    # The retries of a digest end sooner, because all later events wait until it is delivered.
    default_retry = DIGEST_RETRY_SECONDS if destination.digest else DEFAULT_RETRY_SECONDS
    optional: JsonObject = {
        "expires_after_seconds": destination.expires_after,
        "otherwise": destination.otherwise,
        "success_when": destination.success_when,
        "breaker": destination.breaker.compiled() if destination.breaker else None,
        "rate": [*rate_of(destination.rate)] if destination.rate else None,
        "in_flight": destination.in_flight,
        "per": destination.per,
        "gather": _compiled_gathering(destination, settings),
        "recipient": getattr(settings, "recipient", None),
    }
    return {
        "kind": destination.kind,
        "settings": settings.model_dump(mode="json", by_alias=True),
        "retry_seconds": list(default_retry if destination.retry is None else destination.retry),
        "timeout_seconds": destination.timeout,
        "on_unknown": destination.on_unknown,
        **_without_none(optional),
    }


def _compiled_gathering(destination: DestinationConfig, settings: BaseModel) -> Json:
    """Return the settings by which deliveries wait for others; None for a destination that does not gather."""
    # Deliveries over the rate wait and go out as one digest, if the kind can deliver a digest.
    is_rated = destination.rate is not None and can_digest(type(settings)) and not event_recipients(settings)
    coalesce, digest = destination.coalesce, destination.digest
    if not (coalesce or digest or destination.quiet_hours or is_rated):
        return None
    gathering: JsonObject = {
        "coalesce": coalesce.compiled() if coalesce else None,
        "digest": {"every_seconds": digest.every, "by": digest.by} if digest else None,
        "quiet_hours": destination.quiet_hours.compiled() if destination.quiet_hours else None,
        "is_rated": True if is_rated else None,
        "line": digest.line if digest and digest.line else _first_line(settings),
        "max_events": digest.max if digest else DEFAULT_MAX_EVENTS,
    }
    return _without_none(gathering)


def _first_line(settings: BaseModel) -> str | None:
    """Return the first line of the message's subject, title or text, for a digest without `line`.

    Returns None if the operator wrote none of these, or if their first lines are not templates by themselves.
    """
    for name in LINES:
        text = getattr(settings, name, None)
        if name not in settings.model_fields_set or not isinstance(text, str):
            continue
        line = text.strip().partition("\n")[0]
        if not line:
            continue
        try:
            one_line_template("line", line)
        except TemplateFault:  # such as `{% if data.urgent %}`, which ends in a later line
            continue
        return line
    return None


def _without_none(settings: JsonObject) -> JsonObject:
    return {name: value for name, value in settings.items() if value is not None}
