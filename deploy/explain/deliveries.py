"""Previews of deliveries, for people: what each would send, to whom, and when it would go out."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from deploy.config.config_file import texts_in
from deploy.explain import fan_out, report
from deploy.explain.rendering import OfflineDelivery, request_lines
from functions.notify.destinations.email.mail import Mail
from functions.notify.digests import arrival, quiet_hours, settings as gathering
from functions.notify.notifier import read_removals
from functions.notify.recipients.people import MAX_ALIAS_CHARACTERS, Person, masked
from functions.notify.recipients.recipient import NoRecipient
from functions.notify.registry import DeliveryOptions
from shared import errors, secrets, times
from shared.delivery import Delivery, delivery_message
from shared.event import event_json, view_of
from shared.jsontext import Json, JsonObject, mapping_at, to_json
from shared.ledger import DestinationState
from shared.missing_paths import is_missing, missing_path_message, removal_hint

_PATH: Final = re.compile(r"data(?:\.\w+)+")
"""A setting that is a path to a field of the event."""
MAX_LINES: Final = 60
"""The lines of a mail, request or row that are shown."""
MAX_KEY_CHARACTERS: Final = 40
"""The characters of a group's key that are shown."""
REQUEST_TO: Final = "The request to "
"""How the line above a request begins."""


@dataclass(frozen=True, slots=True)
class DeliveryPreview:
    """The preview of one delivery: its check in the report of notify, and the lines below the checks."""

    check: report.Check
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """The time of a preview in Unix seconds, and what is known of the destinations' states and tenants' endpoints."""

    now: float
    states: Mapping[str, DestinationState] = field(default_factory=dict)
    endpoints: fan_out.ReadEndpoints | None = None


class Content(NamedTuple):
    """The content of a delivery for people: a summary for the check, and lines to show below."""

    summary: str
    lines: Sequence[str] = ()


def preview_delivery(
    delivery: Delivery, notify: JsonObject, environ: Mapping[str, str], situation: Situation
) -> DeliveryPreview:
    """Preview the delivery. Of a secret in the environment, no more than the scheme of a URL is shown."""
    name = f"{delivery.destination} (route {delivery.route!r})"
    offline = OfflineDelivery(delivery, notify)
    person: Person | None = None
    try:
        if text := offline.unread_recipient():
            content = Content(text)
        else:
            recipient = asyncio.run(offline.recipient())
            if isinstance(recipient, NoRecipient):
                return _failed_preview(name, _nobody_text(recipient, offline.configured), delivery, notify)
            person = recipient
            content = _content(offline, person, environ)
    except (errors.Permanent, errors.Temporary) as error:
        return _failed_preview(name, f"{error.code}: {error.detail}", delivery, notify)
    timing = timing_text(delivery, offline.configured, person, situation)
    check = report.Check(name, "passed", f"{content.summary}; {timing}" if timing else content.summary)
    lines = [*content.lines, *_missing_lines(delivery, notify), *_unanswered_lines(offline.configured)]
    if offline.configured.is_fan_out and situation.endpoints is not None:
        plan = fan_out.plan_of(delivery, offline.configured.settings)
        known = {tenant: situation.endpoints(tenant) for tenant in plan.tenants}
        views = fan_out.tenant_views(plan, delivery.event, known, notify)
        title = f"The endpoints of {delivery.destination!r} on this machine"
        lines += _block(title, [*fan_out.endpoint_lines(plan, views)])
        if reason := fan_out.reason_for_nobody(plan, views):
            check = report.Check(name, "failed", reason)
    return DeliveryPreview(check, tuple(lines))


def _failed_preview(name: str, fault: str, delivery: Delivery, notify: JsonObject) -> DeliveryPreview:
    """Return a failed check, whose text adds the steps that may have removed the field that the fault names."""
    removals = read_removals(notify).get(delivery.route, {})
    return DeliveryPreview(report.Check(name, "failed", f"{fault}{removal_hint(fault, removals)}"))


def _nobody_text(nobody: NoRecipient, configured: DeliveryOptions) -> str:
    """Return why the delivery has no recipient, and the destination that gets it instead."""
    instead = f"; {configured.otherwise!r} gets it instead" if configured.otherwise else ""
    name = f"; the event names {nobody.name[:MAX_ALIAS_CHARACTERS]!r}" if nobody.name else ""
    return f"unknown_person: {nobody.reason}{name}{instead}"


def _content(offline: OfflineDelivery, person: Person | None, environ: Mapping[str, str]) -> Content:
    """Return what the destination would get. Raises Permanent and Temporary, as an attempt would.

    A kind that needs nothing but the delivery and its settings has a function `preview` of its own. Requests and mails
    are shown alike for all kinds that send them. The three kinds below have no `preview`.
    """
    delivery, configured = offline.delivery, offline.configured
    target = f"{delivery.destination!r} by route {delivery.route!r}"
    alone = _if_alone(configured)
    if hasattr(offline.module, "preview"):
        settings = offline.module.Settings.model_validate(configured.settings)
        summary, *lines = offline.module.preview(delivery, settings)
        return Content(summary, _block(f"The delivery to {target}", lines))
    if (request := offline.request(person)) is not None:
        to = f"to {_person_text(person, configured)}: " if person else ""
        summary = f"{configured.kind}: {to}{request.method} {request.url}"
        return Content(summary, _block(f"{REQUEST_TO}{target}{alone}", [*request_lines(request)]))
    if (mail := offline.mail(person)) is not None:
        people = _person_text(person, configured) if person else ", ".join(each.address for each in mail.to)
        lines = _block(f"The mail to {target}{alone}", [*mail_lines(mail)])
        return Content(f"a mail to {people}: {mail.subject}", lines)
    match configured.kind:
        case "apprise":
            summary, *lines = _apprise_lines(delivery, configured.settings, environ)
            return Content(summary, _block(f"The message to {target}{alone}", lines))
        case "sql":
            summary, *lines = _sql_lines(delivery, configured.settings)
            return Content(summary, _block(f"The row for {target}", lines))
        case "subscribers":
            plan = fan_out.plan_of(delivery, configured.settings)
            return Content(f"subscribers: {plan.text}", _setting_lines(configured.settings))
    return Content(f"a delivery by {configured.kind}", _setting_lines(configured.settings))


def _if_alone(configured: DeliveryOptions) -> str:
    """Return that a digest would be another mail or request, where the destination may make one."""
    if configured.gather is None or configured.gather.coalesce is not None:
        return ""
    return ", if it comes alone; a digest lists it by a line"


def _person_text(person: Person, configured: DeliveryOptions) -> str:
    """Return the person's name and their masked address, such as `anna (a…@example.com)`."""
    address = person.address(configured.recipient.address) if configured.recipient else None
    return f"{person.name} ({masked(address or '')})"


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


def _apprise_lines(delivery: Delivery, configured_settings: Json, environ: Mapping[str, str]) -> list[str]:
    """Return the lines of a message through the library apprise, the service first. Raises Permanent."""
    from functions.notify.destinations.apprise.apprise import Settings, message_of

    settings = Settings.model_validate(configured_settings)
    message = message_of(delivery, settings)
    scheme, _, rest = environ.get(secrets.variable_name(settings.secret), "").strip().partition("://")
    service = f"{scheme.lower()}://***" if rest and scheme.isalnum() else "the service"
    first = f"apprise: a message of type {message.type} to {service} (secret {settings.secret})"
    return [first, message.title, "", *message.text.splitlines()]


def _sql_lines(delivery: Delivery, configured_settings: Json) -> list[str]:
    """Return the lines of a row, where it goes first. Raises Permanent."""
    from functions.notify.destinations.sql.rows import row_lines
    from functions.notify.destinations.sql.settings import Settings

    return list(row_lines(delivery, Settings.model_validate(configured_settings)))


def _block(title: str, lines: Sequence[str]) -> list[str]:
    """Return the lines, indented below a title."""
    block = ["", title, *(f"    {line}" for line in lines[:MAX_LINES])]
    if len(lines) > MAX_LINES:
        block.append(f"    … {len(lines) - MAX_LINES} lines more")
    return block


def _setting_lines(configured_settings: Json) -> list[str]:
    return [
        f"    {name}: {value if isinstance(value, str) else to_json(value)}"
        for name, value in mapping_at(configured_settings).items()
        if value not in (None, "", [], {})
    ]


def _missing_lines(delivery: Delivery, notify: JsonObject) -> Iterator[str]:
    """Yield the paths in the destination's settings, such as those of columns, that the event lacks."""
    view = view_of(delivery.event)
    texts = texts_in(mapping_at(notify, "destinations", delivery.destination))
    for path in dict.fromkeys(text for text in texts if _PATH.fullmatch(text)):
        if is_missing(path, view):
            yield missing_path_message(path, view, "it counts as null")


def _unanswered_lines(configured: DeliveryOptions) -> Iterator[str]:
    """Yield what follows if the destination does not answer in time."""
    attempt_settings = configured.endpoint_options or configured
    act = "sends it again, minutes later"
    if attempt_settings.on_unknown == "hold":
        act = f"keeps it until `hookchain release {configured.name}`"
    within = f"Without an answer within {times.duration_text(attempt_settings.timeout_seconds)}"
    yield f"    {within}, its outcome is unknown: `on_unknown: {attempt_settings.on_unknown}` {act}."


ALONE: Final = (
    f"now, by itself: it has over {gathering.MAX_MESSAGE_BYTES // 1_000} KB or no key, or would expire while it waits"
)


def timing_text(delivery: Delivery, configured: DeliveryOptions, person: Person | None, situation: Situation) -> str:
    """Return when the delivery would go out, and why not now; empty if it would go out at once.

    `person` is the recipient, whose timezone counts; None if there is none, or if a list at a URL names them.
    """
    hours = configured.gather.quiet_hours if configured.gather else None
    own_timezone = person.timezone if person else None
    zone = quiet_hours.zone_of((hours.timezone if hours else None) or own_timezone)
    state = situation.states.get(delivery.destination, DestinationState())
    texts = [*_gathering_texts(delivery, configured, person, situation.now, zone)]
    if state.disabled_reason is not None:
        texts.append(f"held here until `hookchain resume {configured.name}`: {state.disabled_reason}")
    elif state.paused_until is not None and state.paused_until > situation.now:
        texts.append(f"the destination is paused here until {_moment(state.paused_until, situation.now, zone)}")
    if configured.rate is not None:
        count, seconds = configured.rate
        is_gathered = configured.gather is not None and configured.gather.is_rated
        over = "waits for a digest" if is_gathered else "waits for its turn"
        texts.append(f"at most {count:,} in {times.duration_text(seconds)} go out; what is over that {over}")
    return "; ".join(texts)


def _gathering_texts(
    delivery: Delivery, configured: DeliveryOptions, person: Person | None, now: float, zone: ZoneInfo
) -> Iterator[str]:
    """Yield how the delivery waits in a group or for the end of quiet hours, in the words that notify would store."""
    settings = configured.gather
    if settings is None:
        return
    timezone = person.timezone if person else None
    hours_end = quiet_hours.quiet_end(settings.quiet_hours, now, timezone) if settings.quiet_hours else None
    message = delivery_message(delivery, event_json(delivery.event), times.rfc3339(now), {}).data
    can_be_gathered = arrival.can_be_gathered(delivery, message)
    wait = arrival.wait_in_group(configured, delivery, now, person) if can_be_gathered else None
    if hours_end is not None and configured.has_expired(delivery.event, hours_end):
        yield "never: it expires before the quiet hours end"
    elif wait is not None:
        # The time of the group: each of its deliveries waits up to some seconds longer.
        until = gathering.gathered_until(settings, now, timezone) or wait.until
        key = settings.key(delivery.event)
        least = "at least " if settings.coalesce else ""  # each further event extends the wait
        yield f"not now: {wait.reason}, {least}until {_moment(until, now, zone)}"
        if key is not None:
            yield f"its key is {key[:MAX_KEY_CHARACTERS]!r}"
    elif hours_end is not None:
        yield f"not now: {arrival.QUIET}, until {_moment(hours_end, now, zone)}"
    elif settings.digest or settings.coalesce:
        yield ALONE


def _moment(at: float, now: float, zone: ZoneInfo) -> str:
    """Return `07:00 on 27 Nov (Europe/Berlin)`, without the day where it is today there."""
    wall, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone).date()
    clock = wall.strftime("%H:%M:%S").removesuffix(":00")
    day = "" if wall.date() == today else f" on {wall.day} {wall:%b}"
    return f"{clock}{day} ({zone.key})"
