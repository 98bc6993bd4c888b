"""The comparison of a test case's expected deliveries with the actual ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.config.models.case import CaseDelivery, CaseMail, CaseRequest
from deploy.explain.differences import differences, missing, same
from deploy.explain.outgoing_request import body_value
from functions.notify.destinations.email.mail import Mail
from functions.notify.http_kind import OutgoingRequest
from shared.delivery import Delivery
from shared.jsontext import Json, to_json


@dataclass(frozen=True, slots=True)
class ActualDelivery:
    """A delivery with its mail, request or row. `fault` and `code` say why there is none."""

    delivery: Delivery
    mail: Mail | None = None
    request: OutgoingRequest | None = None
    row: Mapping[str, Json] | None = None
    fault: str = ""
    code: str = ""


def mismatches(expected: Sequence[CaseDelivery], actual: Sequence[ActualDelivery]) -> list[str]:
    """Return lines for missing, unexpected and different deliveries; none if all are as expected."""
    left = list(actual)
    lines: list[str] = []
    for wanted in expected:
        nearest = _nearest(wanted, left)
        if nearest is None:
            lines.append(f"nothing goes to {wanted.to!r}{_route_suffix(wanted.route)}")
            continue
        left.remove(nearest)
        if others := _mismatches_of(wanted, nearest):
            lines += [f"to {wanted.to!r}:", *(f"  {line}" for line in others)]
    lines += [f"not expected: to {each.delivery.destination!r} by route {each.delivery.route!r}" for each in left]
    return lines


def _nearest(wanted: CaseDelivery, left: Sequence[ActualDelivery]) -> ActualDelivery | None:
    near = [each for each in left if each.delivery.destination == wanted.to]
    return min(near, key=lambda each: len(_mismatches_of(wanted, each)), default=None)


def _route_suffix(route: str | None) -> str:
    return f" by route {route!r}" if route else ""


def _mismatches_of(wanted: CaseDelivery, actual: ActualDelivery) -> list[str]:
    event = actual.delivery.event
    found = {"route": actual.delivery.route, "type": event.type, "subject": event.subject, "actor": event.actor}
    lines = [
        f"{name}: expected {getattr(wanted, name)!r}, found {value!r}"
        for name, value in found.items()
        if name in wanted.model_fields_set and getattr(wanted, name) != value
    ]
    if "data" in wanted.model_fields_set and not same(wanted.data, event.data):
        lines += [
            "data (- expected, + found):",
            *(f"  {line}" for line in differences(wanted.data, event.data, "data")),
        ]
    lines += _mail_mismatches(wanted.mail, actual) if wanted.mail else []
    lines += _request_mismatches(wanted.request, actual) if wanted.request else []
    return lines + (_row_mismatches(wanted.row, actual) if wanted.row else [])


def _mail_mismatches(wanted: CaseMail, actual: ActualDelivery) -> list[str]:
    mail = actual.mail
    if mail is None:
        return [f"no mail: {_why_none(actual)}"]
    lines = []
    if wanted.subject is not None and wanted.subject != mail.subject:
        lines.append(f"mail's subject: expected {wanted.subject!r}, found {mail.subject!r}")
    to = [address.address for address in mail.to]
    if wanted.to is not None and sorted(wanted.to) != sorted(to):
        lines.append(f"mail's to: expected {', '.join(wanted.to)}; found {', '.join(to)}")
    names = [attachment.filename for attachment in mail.attachments]
    if wanted.attachments is not None and sorted(wanted.attachments) != sorted(names):
        expected, found = (", ".join(each) or "none" for each in (wanted.attachments, names))
        lines.append(f"mail's attachments: expected {expected}; found {found}")
    text = "\n".join(part for part in (mail.subject, mail.text, mail.html) if part)
    lines += [f"the mail does not hold {part!r}" for part in wanted.holds if part not in text]
    return lines + [f"the mail holds {part!r}" for part in wanted.lacks if part in text]


def _request_mismatches(wanted: CaseRequest, actual: ActualDelivery) -> list[str]:
    request = actual.request
    if request is None:
        return [f"no request: {_why_none(actual)}"]
    headers = {name.lower(): value for name, value in request.headers}
    found: list[tuple[str, str | None, str | None]] = [
        ("method", wanted.method or request.method, request.method),
        ("url", wanted.url or request.url, request.url),
        *((f"header {name}", value, headers.get(name.lower())) for name, value in wanted.headers.items()),
    ]
    lines = [f"request's {name}: expected {text!r}, found {made!r}" for name, text, made in found if text != made]
    if "body" in wanted.model_fields_set:
        others = list(missing(wanted.body, body_value(request, wanted.body), "body"))
        lines += ["request's body (- expected, + found):", *(f"  {line}" for line in others)] if others else []
    text = request.body.decode("utf-8", "replace")
    lines += [f"the request does not hold {part!r}" for part in wanted.holds if part not in text]
    return lines + [f"the request holds {part!r}" for part in wanted.lacks if part in text]


def _row_mismatches(wanted: Mapping[str, Json], actual: ActualDelivery) -> list[str]:
    row = actual.row
    if row is None:
        return [f"no row: {_why_none(actual)}"]
    lines = [f"row has no column {name!r}" for name in wanted if name not in row]
    for name, value in wanted.items():
        expected = to_json(value) if isinstance(value, list | dict) else value
        if name in row and row[name] != expected:
            lines.append(f"row's {name}: expected {expected!r}, found {row[name]!r}")
    return lines


def _why_none(actual: ActualDelivery) -> str:
    return f"{actual.code}: {actual.fault}" if actual.code else "its destination sends none"
