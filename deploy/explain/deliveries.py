"""Previews of deliveries: the mail or the request that a delivery would send, or its destination's settings."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from deploy.explain.fan_out import KIND as SUBSCRIBERS
from deploy.explain.fan_out import ReadEndpoints, endpoint_lines, plan_of, plan_text
from deploy.explain.outgoing_request import masked_request, request_lines
from deploy.explain.recipients import nobody_text, previewed_recipient, recipient_text, unread_recipient
from deploy.explain.report import Check
from deploy.explain.timing import timing_text
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.destinations.email.render import MailSettings, MailWriter
from functions.notify.http_kind import OutgoingRequest
from functions.notify.people import Person
from functions.notify.read_destinations import read_destinations
from functions.notify.recipient import NoRecipient
from functions.notify.registry import module_of
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.jsontext import Json, JsonObject, to_json
from shared.ledger import DestinationState
from shared.secrets import variable_name
from shared.times import duration_text

MAX_LINES = 60


@dataclass(frozen=True, slots=True)
class DeliveryPreview:
    check: Check
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """The time of a preview in Unix seconds, and what is known of the destinations' states and tenants' endpoints."""

    now: float
    states: Mapping[str, DestinationState] = field(default_factory=dict)
    endpoints: ReadEndpoints | None = None


def preview_delivery(
    delivery: Delivery, notify: JsonObject, environ: Mapping[str, str], situation: Situation
) -> DeliveryPreview:
    """Preview the delivery. Of a secret in the environment, no more than the scheme of a URL is shown."""
    entry = destination_entry(notify, delivery.destination)
    name = f"{delivery.destination} (route {delivery.route!r})"
    if text := unread_recipient(delivery, notify):
        check = _timed(Check(name, "passed", text), delivery, notify, None, situation)
        return DeliveryPreview(check, tuple(_without_answer(delivery.destination, entry)))
    try:
        person = asyncio.run(previewed_recipient(delivery, notify))
        if isinstance(person, NoRecipient):
            return DeliveryPreview(Check(name, "failed", nobody_text(person, delivery, notify)))
        found = _rendered(delivery, notify, person, environ, situation)
    except (Permanent, Temporary) as error:
        return DeliveryPreview(Check(name, "failed", f"{error.code}: {error.detail}"))
    return replace(found, check=_timed(found.check, delivery, notify, person, situation))


def _timed(check: Check, delivery: Delivery, notify: JsonObject, person: Person | None, situation: Situation) -> Check:
    """Add when the delivery would go out, unless that is now."""
    text = timing_text(delivery, notify, person, situation.now, situation.states)
    return replace(check, text=f"{check.text}; {text}") if text else check


def _rendered(
    delivery: Delivery, notify: JsonObject, person: Person | None, environ: Mapping[str, str], situation: Situation
) -> DeliveryPreview:
    """Raises Permanent and Temporary."""
    entry = destination_entry(notify, delivery.destination)
    name = f"{delivery.destination} (route {delivery.route!r})"
    mail = rendered_mail(delivery, notify, person)
    request = rendered_request(delivery, notify, person)
    message = _message(delivery, entry, environ)
    if preview := _preview(delivery, notify):
        title = f"The delivery to {delivery.destination!r} by route {delivery.route!r}"
        lines = (*_indented(title, preview[1:]), *_without_answer(delivery.destination, entry))
        return DeliveryPreview(Check(name, "passed", preview[0]), lines)
    if request is not None:
        title = f"The request to {delivery.destination!r} by route {delivery.route!r}{_if_alone(delivery, notify)}"
        lines = (*_indented(title, list(request_lines(request))), *_without_answer(delivery.destination, entry))
        to = f"to {recipient_text(person, delivery, notify)}: " if person else ""
        return DeliveryPreview(Check(name, "passed", f"{entry.get('kind')}: {to}{request.method} {request.url}"), lines)
    if message:
        title = f"The message to {delivery.destination!r} by route {delivery.route!r}{_if_alone(delivery, notify)}"
        lines = (*_indented(title, message[1:]), *_without_answer(delivery.destination, entry))
        return DeliveryPreview(Check(name, "passed", message[0]), lines)
    if entry.get("kind") == SQL:
        first, *values = _row(delivery, entry)
        title = f"The row for {delivery.destination!r} by route {delivery.route!r}"
        shown = (*_indented(title, values), *_without_answer(delivery.destination, entry))
        return DeliveryPreview(Check(name, "passed", first), shown)
    if entry.get("kind") == SUBSCRIBERS:
        return _fan_out(name, delivery, entry, notify, situation)
    if mail is None:
        lines = (*_settings(entry), *_without_answer(delivery.destination, entry))
        return DeliveryPreview(Check(name, "passed", f"a delivery by {entry.get('kind')}"), lines)
    people = recipient_text(person, delivery, notify) if person else ", ".join(each.address for each in mail.to)
    lines = (*_mail(delivery, mail, notify), *_without_answer(delivery.destination, entry))
    return DeliveryPreview(Check(name, "passed", f"a mail to {people}: {mail.subject}"), lines)


def _fan_out(
    name: str, delivery: Delivery, entry: JsonObject, notify: JsonObject, situation: Situation
) -> DeliveryPreview:
    """Preview what the fan-out does, with the endpoints where they are known. Raises Permanent and Temporary."""
    plan = plan_of(delivery, entry)
    if isinstance(plan, str):
        return DeliveryPreview(Check(name, "failed", f"unknown_tenant: {plan}"))
    lines = [*_settings(entry), *_without_answer(delivery.destination, entry)]
    if situation.endpoints is not None:
        known = {tenant: situation.endpoints(tenant) for tenant in plan.tenants}
        found = list(endpoint_lines(plan, delivery.event, known, notify))
        lines += _indented(f"The endpoints of {delivery.destination!r} on this machine", found)
    return DeliveryPreview(Check(name, "passed", f"subscribers: {plan_text(plan)}"), tuple(lines))


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


def _mail(delivery: Delivery, mail: Mail, notify: JsonObject) -> Iterator[str]:
    title = f"The mail to {delivery.destination!r} by route {delivery.route!r}{_if_alone(delivery, notify)}"
    yield from _indented(title, list(mail_lines(mail)))


def _if_alone(delivery: Delivery, notify: JsonObject) -> str:
    """Return that a digest would be another mail or request, where the destination may make one."""
    configured = read_destinations(notify).get(delivery.destination)
    settings = configured.gather if configured else None
    if settings is None or settings.coalesce is not None:
        return ""
    return ", if it comes alone; a digest lists it by a line"


def _preview(delivery: Delivery, notify: JsonObject) -> list[str]:
    """Return the lines of a kind that previews its deliveries itself, a summary first; none of another kind.

    Raises Permanent.
    """
    configured = read_destinations(notify).get(delivery.destination)
    module = module_of(configured) if configured else None
    if configured is None or module is None or not hasattr(module, "preview"):
        return []
    return list(module.preview(delivery, module.Settings.model_validate(configured.settings)))


def _message(delivery: Delivery, entry: JsonObject, environ: Mapping[str, str]) -> list[str]:
    """Return the lines of a message through the library apprise, the service first; none of another kind.

    Raises Permanent.
    """
    if entry.get("kind") != "apprise":
        return []
    from functions.notify.destinations.apprise.apprise import message_of
    from functions.notify.destinations.apprise.settings import Settings

    settings = Settings.model_validate(entry["settings"])
    message = message_of(delivery, settings)
    scheme, _, rest = environ.get(variable_name(settings.secret), "").strip().partition("://")
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
        within = f"Without an answer within {duration_text(seconds)}"
        yield f"    {within}, its outcome is unknown: `on_unknown: {on_unknown}` {act}."


def _settings(entry: JsonObject) -> Iterator[str]:
    settings: Json = entry.get("settings")
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if value not in (None, "", [], {}):
            yield f"    {name}: {value if isinstance(value, str) else to_json(value)}"


KIND: Final = "email"
SQL: Final = "sql"
SENDER: Final = Address("sender@example.com")


def destination_entry(notify: JsonObject, name: str) -> JsonObject:
    """Return the destination's entry in notify's slice."""
    destinations = notify.get("destinations")
    entry: Json = destinations.get(name) if isinstance(destinations, dict) else None
    return entry if isinstance(entry, dict) else {}


def rendered_mail(delivery: Delivery, notify: JsonObject, person: Person | None = None) -> Mail | None:
    """Return the mail of a delivery, to `person` where its destination's `to` names them; None if its destination sends
    no mail. Raises Permanent, as notify does.
    """
    entry = destination_entry(notify, delivery.destination)
    if entry.get("kind") != KIND:
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


def rendered_request(delivery: Delivery, notify: JsonObject, person: Person | None = None) -> OutgoingRequest | None:
    """Return the request of a delivery, with its secrets masked; None if its destination's kind does not speak HTTP.

    Raises Permanent, as notify does, and Temporary.
    """
    configured = read_destinations(notify).get(delivery.destination)
    kind = module_of(configured) if configured else None
    if configured is None or kind is None or not hasattr(kind, "request") or not isinstance(configured.settings, dict):
        return None
    return masked_request(kind, delivery, configured.settings, person)
