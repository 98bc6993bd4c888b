"""The comparison of a test case's expected deliveries with the actual ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.config.models.case import CaseDelivery, CaseMail
from deploy.explain.differences import differences, same
from functions.notify.destinations.email.mail import Mail
from shared.delivery import Delivery


@dataclass(frozen=True, slots=True)
class ActualDelivery:
    """A delivery. `mail` is its mail, if its destination sends mail. `fault` and `code` say why it has none."""

    delivery: Delivery
    mail: Mail | None
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
    return lines + (_mail_mismatches(wanted.mail, actual) if wanted.mail else [])


def _mail_mismatches(wanted: CaseMail, actual: ActualDelivery) -> list[str]:
    mail = actual.mail
    if mail is None:
        return [f"no mail: {f'{actual.code}: {actual.fault}' if actual.code else 'its destination sends none'}"]
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
