"""Previews of deliveries: what a delivery would send and to whom, and when it would go out if not at once."""

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import ModuleType
from typing import Final, NamedTuple, TypeAlias, cast
from urllib.parse import parse_qsl, quote, urlsplit

from deploy.config.config_file import texts_in
from deploy.explain import report
from deploy.terminal.output import count_of
from functions.notify import http_kind, registry
from functions.notify.destination import Attempt, read_settings
from functions.notify.destinations.email.email import MailSettings, MailWriter
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.digests import arrival, settings as gathering
from functions.notify.digests.settings import Coalesce, GatherSettings, QuietHours
from functions.notify.http_kind import OutgoingRequest
from functions.notify.notifier import read_removals
from functions.notify.recipients.people import MAX_ALIAS_CHARACTERS, Person
from functions.notify.recipients.recipient import NoRecipient, compiled_recipients, masked
from functions.notify.registry import read_destinations
from shared import errors, expressions, ledger, secrets, store_ports, times
from shared.delivery import Delivery, delivery_message
from shared.did_you_mean import is_missing, missing_path, removal_hint
from shared.event import Event, event_json, view_of
from shared.jsontext import Json, JsonObject, mapping_at, to_json, value_at
from shared.secrets import secret_names
from shared.subscribers.directory import TENANTS, Directory
from shared.subscribers.model import Endpoint, Tenant

EMAIL: Final = "email"
_PATH: Final = re.compile(r"data(?:\.\w+)+")
SQL: Final = "sql"
SUBSCRIBERS: Final = "subscribers"
SENDER: Final = Address("sender@example.com")
MAX_LINES: Final = 60

ReadEndpoints: TypeAlias = Callable[[str], Sequence[Endpoint] | None]
"""From a tenant's id to its endpoints; to None if there is no such tenant."""


@dataclass(frozen=True, slots=True)
class DeliveryPreview:
    check: report.Check
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """The time of a preview in Unix seconds, and what is known of the destinations' states and tenants' endpoints."""

    now: float
    states: Mapping[str, ledger.DestinationState] = field(default_factory=dict)
    endpoints: ReadEndpoints | None = None


class Shown(NamedTuple):
    """A delivery as it is shown: a summary, and lines below a title. Without a title, the destination's settings."""

    summary: str
    title: str = ""
    lines: Sequence[str] = ()


def preview_delivery(
    delivery: Delivery, notify: JsonObject, environ: Mapping[str, str], situation: Situation
) -> DeliveryPreview:
    """Preview the delivery. Of a secret in the environment, no more than the scheme of a URL is shown."""
    entry = destination_entry(notify, delivery.destination)
    name = f"{delivery.destination} (route {delivery.route!r})"
    removals = read_removals(notify).get(delivery.route, {})
    person: Person | None = None
    try:
        if text := unread_recipient(delivery, notify):
            check = report.Check(name, "passed", text)
            lines: list[str] = []
        else:
            recipient = asyncio.run(previewed_recipient(delivery, notify))
            if isinstance(recipient, NoRecipient):
                reason = nobody_text(recipient, delivery, notify)
                return DeliveryPreview(report.Check(name, "failed", f"{reason}{removal_hint(reason, removals)}"))
            person = recipient
            shown = _shown(delivery, notify, person, environ)
            check = report.Check(name, "passed", shown.summary)
            lines = list(_indented(shown.title, shown.lines) if shown.title else _settings(entry))
    except (errors.Permanent, errors.Temporary) as error:
        hint = removal_hint(error.detail, removals)
        return DeliveryPreview(report.Check(name, "failed", f"{error.code}: {error.detail}{hint}"))
    lines += _missing_lines(delivery, entry)
    lines += _without_answer(delivery.destination, entry)
    if entry.get("kind") == SUBSCRIBERS and situation.endpoints is not None:
        plan = plan_of(delivery, entry)
        known = {tenant: situation.endpoints(tenant) for tenant in plan.tenants}
        endpoints = list(endpoint_lines(plan, delivery.event, known, notify))
        lines += _indented(f"The endpoints of {delivery.destination!r} on this machine", endpoints)
    if text := timing_text(delivery, notify, person, situation.now, situation.states):
        check = replace(check, text=f"{check.text}; {text}")
    return DeliveryPreview(check, tuple(lines))


def _missing_lines(delivery: Delivery, entry: JsonObject) -> Iterator[str]:
    """Yield the paths in the destination's settings, such as those of columns, that the event lacks."""
    view = view_of(delivery.event)
    for path in dict.fromkeys(text for text in texts_in(entry) if _PATH.fullmatch(text)):
        if is_missing(path, view):
            yield missing_path(path, view, "it counts as null")


def _shown(delivery: Delivery, notify: JsonObject, person: Person | None, environ: Mapping[str, str]) -> Shown:
    """Return what the destination would get. Raises Permanent and Temporary, as an attempt would."""
    entry = destination_entry(notify, delivery.destination)
    kind = entry.get("kind")
    target = f"{delivery.destination!r} by route {delivery.route!r}"
    alone = _if_alone(delivery, notify)
    if preview := _preview(delivery, notify):
        return Shown(preview[0], f"The delivery to {target}", preview[1:])
    if (request := rendered_request(delivery, notify, person)) is not None:
        to = f"to {recipient_text(person, delivery, notify)}: " if person else ""
        summary = f"{kind}: {to}{request.method} {request.url}"
        return Shown(summary, f"The request to {target}{alone}", list(request_lines(request)))
    if (mail := rendered_mail(delivery, notify, person)) is not None:
        people = recipient_text(person, delivery, notify) if person else ", ".join(each.address for each in mail.to)
        return Shown(f"a mail to {people}: {mail.subject}", f"The mail to {target}{alone}", list(mail_lines(mail)))
    match kind:
        case "apprise":
            summary, *lines = _message(delivery, entry, environ)
            return Shown(summary, f"The message to {target}{alone}", lines)
        case "sql":
            summary, *lines = _row(delivery, entry)
            return Shown(summary, f"The row for {target}", lines)
        case "subscribers":
            return Shown(f"subscribers: {plan_text(plan_of(delivery, entry))}")
    return Shown(f"a delivery by {kind}")


def mail_lines(mail: Mail) -> Iterator[str]:
    """Yield the mail as lines. The sender is left out: it depends on the platform."""
    yield f"To: {', '.join(address.address for address in mail.to)}"
    for name, addresses in (("Cc", mail.cc), ("Bcc", mail.bcc)):
        if addresses:
            yield f"{name}: {', '.join(address.address for address in addresses)}"
    if mail.reply_to:
        yield f"Reply-To: {mail.reply_to.address}"
    yield f"Subject: {mail.subject}"
    for attachment in mail.attachments:
        yield f"Attachment: {attachment.filename}, {attachment.media_type}, {len(attachment.content)} bytes"
    yield ""
    yield from (mail.text or "(HTML only)").split("\n")


def _if_alone(delivery: Delivery, notify: JsonObject) -> str:
    """Return that a digest would be another mail or request, where the destination may make one."""
    configured = _configured(delivery, notify)
    settings = configured.gather if configured else None
    if settings is None or settings.coalesce is not None:
        return ""
    return ", if it comes alone; a digest lists it by a line"


def _preview(delivery: Delivery, notify: JsonObject) -> list[str]:
    """Return the lines of a kind that previews its deliveries itself, a summary first; none of another kind.

    Raises Permanent.
    """
    configured = _configured(delivery, notify)
    module = registry.module_of(configured) if configured else None
    if configured is None or module is None or not hasattr(module, "preview"):
        return []
    return list(module.preview(delivery, module.Settings.model_validate(configured.settings)))


def _message(delivery: Delivery, entry: JsonObject, environ: Mapping[str, str]) -> list[str]:
    """Return the lines of a message through the library apprise, the service first. Raises Permanent."""
    from functions.notify.destinations.apprise.apprise import Settings, message_of

    settings = Settings.model_validate(entry["settings"])
    message = message_of(delivery, settings)
    scheme, _, rest = environ.get(secrets.variable_name(settings.secret), "").strip().partition("://")
    service = f"{scheme.lower()}://***" if rest and scheme.isalnum() else "the service"
    first = f"apprise: a message of type {message.type} to {service} (secret {settings.secret})"
    return [first, message.title, "", *message.text.splitlines()]


def _row(delivery: Delivery, entry: JsonObject) -> list[str]:
    """Return the lines of a row, where it goes first. Raises Permanent."""
    from functions.notify.destinations.sql.rows import row_lines
    from functions.notify.destinations.sql.settings import Settings

    return list(row_lines(delivery, Settings.model_validate(entry["settings"])))


def _indented(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from (f"    {line}" for line in lines[:MAX_LINES])
    if len(lines) > MAX_LINES:
        yield f"    … {len(lines) - MAX_LINES} lines more"


def _without_answer(name: str, entry: JsonObject) -> Iterator[str]:
    """Yield what follows if the destination does not answer in time."""
    seconds, on_unknown = entry.get("timeout_seconds"), entry.get("on_unknown")
    if isinstance(seconds, int | float):
        act = f"keeps it until `hookchain release {name}`" if on_unknown == "hold" else "sends it again, minutes later"
        within = f"Without an answer within {times.duration_text(seconds)}"
        yield f"    {within}, its outcome is unknown: `on_unknown: {on_unknown}` {act}."


def _settings(entry: JsonObject) -> Iterator[str]:
    for name, value in mapping_at(entry, "settings").items():
        if value not in (None, "", [], {}):
            yield f"    {name}: {value if isinstance(value, str) else to_json(value)}"


def destination_entry(notify: JsonObject, name: str) -> JsonObject:
    """Return the destination's entry in notify's slice."""
    return mapping_at(notify, "destinations", name)


def rendered_mail(delivery: Delivery, notify: JsonObject, person: Person | None = None) -> Mail | None:
    """Return the mail of a delivery, to `person` where its destination's `to` names them; None if its destination sends
    no mail. Raises Permanent, as notify does.
    """
    entry = destination_entry(notify, delivery.destination)
    if entry.get("kind") != EMAIL:
        return None
    writer = MailWriter(cast("MailSettings", entry["settings"]))
    return writer.write(delivery, delivery.event, SENDER, delivery.id, person)


def rendered_row(delivery: Delivery, notify: JsonObject) -> Mapping[str, Json] | None:
    """Return the row of a delivery by its columns; None if its destination writes none. Raises Permanent."""
    entry = destination_entry(notify, delivery.destination)
    if entry.get("kind") != SQL:
        return None
    from functions.notify.destinations.sql.rows import row_of
    from functions.notify.destinations.sql.settings import Settings

    return {**row_of(delivery, Settings.model_validate(entry["settings"]))}


def rendered_request(
    delivery: Delivery, notify: JsonObject, person: Person | None = None
) -> http_kind.OutgoingRequest | None:
    """Return the request of a delivery, with its secrets masked; None if its destination's kind does not speak HTTP.

    Raises Permanent, as notify does, and Temporary.
    """
    configured = _configured(delivery, notify)
    kind = registry.module_of(configured) if configured else None
    if configured is None or kind is None or not hasattr(kind, "request") or not isinstance(configured.settings, dict):
        return None
    return masked_request(kind, delivery, configured.settings, person)


async def previewed_recipient(delivery: Delivery, notify: JsonObject) -> Person | NoRecipient | None:
    """Return the person; None for a destination whose `to` names nobody, and where the list is at a URL.

    `notify` is its slice. Raises Permanent.
    """
    configured = _configured(delivery, notify)
    recipients = compiled_recipients(notify.get("people"))
    if configured is None or configured.recipient is None or recipients is None:
        return None
    return await recipients.recipient_of(configured, delivery)


def unread_recipient(delivery: Delivery, notify: JsonObject) -> str:
    """Return whom a delivery is for by a list at a URL, which is not read offline; empty for any other delivery."""
    configured, people = _configured(delivery, notify), notify.get("people")
    if configured is None or configured.recipient is None or not isinstance(people, dict) or "url" not in people:
        return ""
    path, person = configured.recipient.path, configured.recipient.person
    who = repr(person) if person else f"`{path}`"
    if path == "actor" and delivery.event.actor:
        who = f"the actor {masked(delivery.event.actor)!r}"
    host = urlsplit(str(people["url"])).hostname
    return f"{configured.kind}: to {who}, whom notify looks up in the list at {host}"


def recipient_text(person: Person, delivery: Delivery, notify: JsonObject) -> str:
    """Return the person's name and their masked address, such as `anna (a…@example.com)`."""
    configured = _configured(delivery, notify)
    address = person.address(configured.recipient.address) if configured and configured.recipient else None
    return f"{person.name} ({masked(address or '')})"


def nobody_text(found: NoRecipient, delivery: Delivery, notify: JsonObject) -> str:
    configured = _configured(delivery, notify)
    otherwise = configured.otherwise if configured else None
    instead = f"; {otherwise!r} gets it instead" if otherwise else ""
    name = f"; the event names {found.name[:MAX_ALIAS_CHARACTERS]!r}" if found.name else ""
    return f"unknown_person: {found.reason}{name}{instead}"


def _configured(delivery: Delivery, notify: JsonObject) -> registry.Configured | None:
    return read_destinations(notify).get(delivery.destination)


class FanOutPlan(NamedTuple):
    """The tenants that get an event, and the type by which their endpoints are chosen.

    ignores_unknown  a tenant that does not exist makes no dead letter
    """

    tenants: tuple[str, ...]
    type: str
    ignores_unknown: bool


def plan_of(delivery: Delivery, entry: JsonObject) -> FanOutPlan:
    """Raises Permanent with the code of the dead letter: `unknown_tenant`, or what an expression fails with."""
    from functions.notify.destinations.subscribers import Settings
    from functions.notify.subscribers.fan_out import event_type_of, tenants_in

    settings = Settings.model_validate(entry["settings"])
    tenants = tenants_in(view_of(delivery.event), expressions.over_event(settings.tenant))
    if isinstance(tenants, str):
        raise errors.Permanent("unknown_tenant", tenants)
    return FanOutPlan(tuple(tenants), event_type_of(settings.type, delivery), settings.unknown_tenant == "ignore")


def plan_text(plan: FanOutPlan) -> str:
    tenants = f"tenant {', '.join(map(repr, plan.tenants))}" if plan.tenants else "no tenant"
    return f"each endpoint of {tenants} that takes the type {plan.type}"


async def known_endpoints(documents: store_ports.Documents, tenant: str) -> Sequence[Endpoint] | None:
    """Return the endpoints of the tenant; None if there is no such tenant. Raises Temporary."""
    directory = Directory(documents)
    known = await directory.read(Tenant, TENANTS, tenant)
    return None if known is None else await directory.endpoints(tenant)


def endpoint_lines(
    plan: FanOutPlan, event: Event, known: Mapping[str, Sequence[Endpoint] | None], notify: JsonObject
) -> Iterator[str]:
    """Yield a line for each tenant, and for each of its endpoints, which are `known`: None for an unknown tenant."""
    is_verified_first = value_at(notify, "subscribers", "verify") not in (None, "none")
    for tenant in plan.tenants:
        endpoints = known[tenant]
        if endpoints is None:
            end = "it is ignored" if plan.ignores_unknown else "the event ends as the dead letter unknown_tenant"
            yield f"Tenant {tenant!r} does not exist here: {end}."
            continue
        reasons = [_reason_against(each, event, plan.type, is_verified_first) for each in endpoints]
        yield f"Tenant {tenant!r}: {reasons.count('')} of {count_of(len(endpoints), 'endpoint')} would get it."
        for endpoint, reason in zip(endpoints, reasons, strict=True):
            yield f"  {endpoint.id} {endpoint.url}: {f'no, {reason}' if reason else 'yes'}"


def _reason_against(endpoint: Endpoint, event: Event, type_: str, is_verified_first: bool) -> str:
    """Return why the endpoint would not get the event; empty where it would."""
    from shared.subscribers.matching import FilterFailed, filter_view, matches, type_matches
    from shared.subscribers.payload import event_timestamp

    if not endpoint.is_enabled:
        why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
        return f"it is disabled by {endpoint.disabled_by}{why}"
    if is_verified_first and not endpoint.is_verified:
        return "it has not proven yet that it wants events"
    if not type_matches(endpoint.types, type_):
        return f"it takes the types {', '.join(endpoint.types)}"
    try:
        does_match = matches(endpoint, type_, filter_view(event.id, type_, event_timestamp(event), event.data))
    except FilterFailed as failed:
        return f"its filter fails: {failed}"
    return "" if does_match else f"its filter is not true: {endpoint.filter}"


MAX_KEY_CHARACTERS: Final = 40


def timing_text(
    delivery: Delivery,
    notify: JsonObject,
    person: Person | None,
    now: float,
    states: Mapping[str, ledger.DestinationState],
) -> str:
    """Return when the delivery would go out and why not now; empty where it would go out at once.

    `notify` is its slice. `states` are the destinations' states, as far as they are known.
    """
    configured = _configured(delivery, notify)
    if configured is None:
        return ""
    timezone = person.timezone if person else None
    parts = [
        *_gathering(configured, delivery, person, now),
        *_state(configured, states.get(configured.name, ledger.DestinationState()), now, timezone),
        *_rate(configured),
    ]
    return "; ".join(parts)


def _gathering(configured: registry.Configured, delivery: Delivery, person: Person | None, now: float) -> Iterator[str]:
    settings = configured.gather
    if settings is None:
        return
    timezone = person.timezone if person else None
    until = gathering.gathered_until(settings, now, timezone)
    if until is None:
        return
    hours = settings.quiet_hours
    night_end = gathering.quiet_end(hours, now, timezone) if hours else None
    when = "now,"
    expires_in_the_night = False
    if hours is not None and night_end is not None:
        expires_in_the_night = configured.has_expired(delivery.event, night_end)
        end = _moment(night_end, now, hours.timezone or timezone)
        when = f"not now: it waits until the quiet hours, {_hours(hours)}, end at {end}, and goes out"
    message = delivery_message(delivery, event_json(delivery.event), times.rfc3339(now), {}).data
    if expires_in_the_night:
        yield "never: it expires before the quiet hours end"
    elif not arrival.can_be_gathered(delivery, message):
        yield f"{when} by itself: with over {gathering.MAX_MESSAGE_BYTES // 1_000} KB it waits for no others"
    elif arrival.wait_in_group(configured, delivery, now, person) is None:
        coalesce = settings.coalesce
        if coalesce is not None and gathering.key_of(coalesce.by, delivery.event) is None:
            yield f"{when} by itself: it has no key at `{coalesce.by}`"
        else:
            yield f"{when} by itself: it would expire before it is gathered"
    else:
        yield f"not now: {_waiting(settings, delivery, person, now, until)}"


def _waiting(settings: GatherSettings, delivery: Delivery, person: Person | None, now: float, until: float) -> str:
    hours = settings.quiet_hours
    timezone = person.timezone if person else None
    others = _others(settings, delivery, person)
    without_hours = gathering.gathered_until(settings._replace(quiet_hours=None), now)
    opens = now if without_hours is None else without_hours
    if hours is not None and gathering.quiet_end(hours, opens, timezone) == until:
        zone = hours.timezone or timezone
        return f"it waits{others} until the quiet hours, {_hours(hours)}, end at {_moment(until, now, zone)}"
    if settings.coalesce is not None:
        coalesce = settings.coalesce
        wait, longest = times.duration_text(coalesce.wait_seconds), times.duration_text(coalesce.max_wait_seconds)
        return (
            f"it waits{others} until none came for {wait}, for {longest} at most; "
            f"if none comes, until {_moment(until, now, timezone)}"
        )
    return f"it waits{others} for the digest at {_moment(until, now, (hours and hours.timezone) or timezone)}"


def _others(settings: GatherSettings, delivery: Delivery, person: Person | None) -> str:
    key = gathering.key_of(settings.by, delivery.event)
    names = [f"for {person.name}"] if person else []
    if key is not None:
        names.append(f"with the key {key[:MAX_KEY_CHARACTERS]!r}")
    kind = "the further events" if isinstance(settings.coalesce, Coalesce) else "the other events"
    return f", with {kind} {' and '.join(names)}," if names else f", with {kind},"


def _state(
    configured: registry.Configured, state: ledger.DestinationState, now: float, timezone: str | None
) -> Iterator[str]:
    if state.disabled_reason is not None:
        yield f"held here until `hookchain resume {configured.name}`: {state.disabled_reason}"
    elif state.paused_until is not None and state.paused_until > now:
        yield f"the destination is paused here until {_moment(state.paused_until, now, timezone)}"


def _rate(configured: registry.Configured) -> Iterator[str]:
    if configured.rate is None:
        return
    count, seconds = configured.rate
    is_gathered = configured.gather is not None and configured.gather.is_rated
    over = "waits for a digest" if is_gathered else "waits for its turn"
    yield f"at most {count:,} in {times.duration_text(seconds)} go out; what is over that {over}"


def _hours(hours: QuietHours) -> str:
    begin, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in (hours.begin, hours.end))
    return f"{begin} to {end}"


def _moment(at: float, now: float, timezone: str | None) -> str:
    """Return `07:00 on 27 Nov (Europe/Berlin)`, without the day where it is today there."""
    zone = gathering.zone_of(timezone)
    wall, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone).date()
    clock = wall.strftime("%H:%M:%S").removesuffix(":00")
    day = "" if wall.date() == today else f" on {wall.day} {wall:%b}"
    return f"{clock}{day} ({zone.key})"


MADE: Final = "(made with a secret)"
"""Stands for a value that another secret would make another one, such as a signature."""
FORM: Final = "application/x-www-form-urlencoded"
_FORMS: Final = ("whsec_{}", "https://secret.example/{}", "https://secret.example/a:webhook?key={}", "12345:{}")
"""Of what a secret may have to be: a key of Standard Webhooks, which is a password as well; a URL; the URL of a webhook
trigger of Cloud Build; a bot's token."""


def masked_request(
    kind: ModuleType, delivery: Delivery, written: JsonObject, person: Person | None = None
) -> OutgoingRequest:
    """Return the first attempt's request, in which `<secret NAME>` or MADE stands for what depends on a secret.

    `written` is the kind's settings, as the slice has them. Raises Permanent, as an attempt would, and Temporary.
    """
    settings = read_settings(kind, written)
    at = times.unix_seconds(delivery.event.receivedat)
    attempt = Attempt(delivery.id, attempt_number=1, generation=0, now=at, timeout_seconds=15.0, person=person)

    def made(form: str, salt: str) -> OutgoingRequest:
        secrets = {name: _placeholder(form, name, salt) for name in secret_names(written)}
        values = {name: (text,) for name, text in secrets.items()}
        request: OutgoingRequest = kind.request(delivery, settings, values, attempt)
        return _masked(request, secrets)

    form, first = _first_made(made)
    others = made(form, "b").headers
    pairs = zip(first.headers, others, strict=True)
    headers = tuple((name, value if value == other else MADE) for (name, value), (_, other) in pairs)
    return replace(first, headers=headers)


def _first_made(made: Callable[[str, str], OutgoingRequest]) -> tuple[str, OutgoingRequest]:
    """Return the first request that is made, and the form that the kind takes for a secret."""
    for form in _FORMS[:-1]:
        with contextlib.suppress(errors.Temporary):  # the kind takes no such secret
            return form, made(form, "a")
    return _FORMS[-1], made(_FORMS[-1], "a")


def request_lines(request: OutgoingRequest) -> Iterator[str]:
    """Yield the request as lines; JSON is indented."""
    yield f"{request.method} {request.url}"
    yield from (f"{name}: {value}" for name, value in request.headers)
    yield from (f"authentication: {scheme.scheme}" for scheme in request.auth)
    yield ""
    text = request.body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    yield from text.splitlines()


def body_value(request: OutgoingRequest, expected: Json) -> Json:
    """Return the body as the expectation has it: text, the fields of a form, or the JSON value."""
    text = request.body.decode("utf-8", "replace")
    if isinstance(expected, str):
        return text
    if ("content-type", FORM) in request.headers:
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def _placeholder(form: str, name: str, salt: str) -> str:
    return form.format(hashlib.sha256(f"{salt}:{name}".encode()).hexdigest())


def _masked(request: OutgoingRequest, secrets: Mapping[str, str]) -> OutgoingRequest:
    """Return the request with the name of each secret in place of its value."""

    def mask(text: str) -> str:
        for name, value in secrets.items():
            for spelling in (value, quote(value, safe="")):
                text = text.replace(spelling, f"<secret {name}>")
        return text

    headers = tuple((name, mask(value)) for name, value in request.headers)
    body = mask(request.body.decode("utf-8", "replace")).encode()
    return replace(request, url=mask(request.url), headers=headers, body=body)
