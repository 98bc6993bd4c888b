"""Compare the deliveries of a test case with those that the operator expects, as lines for people.

From the expectation `{to: crm, type: order.paid}` and a delivery of `order.sent` to `crm` they are:

    to 'crm':
      type: expected 'order.paid', found 'order.sent'
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

from deploy.config.sections.cases import CaseDelivery, CaseMail, CaseRequest
from deploy.explain.differences import differences, missing, same
from deploy.explain.rendering import body_value
from functions.notify import http_kind
from functions.notify.destinations.email.mail import Mail
from shared.delivery import Delivery
from shared.jsontext import Json, to_json, values_in


@dataclass(frozen=True, slots=True)
class ActualDelivery:
    """A delivery with its mail, request or row. `fault` and `code` say why there is none."""

    delivery: Delivery
    mail: Mail | None = None
    request: http_kind.OutgoingRequest | None = None
    row: Mapping[str, Json] | None = None
    fault: str = ""
    code: str = ""

    @property
    def why_nothing(self) -> str:
        return f"{self.code}: {self.fault}" if self.code else "its destination sends none"


def mismatches(expected: Sequence[CaseDelivery], actual: Sequence[ActualDelivery]) -> list[str]:
    """Return lines for missing, unexpected and different deliveries; none if all are as expected.

    As many expected deliveries as possible are matched with one that fits. Each of the others is compared with the most
    similar one that is left.
    """
    owners = _owners(expected, actual)
    unexpected = [each for number, each in enumerate(actual) if number not in owners]
    lines: list[str] = []
    for number, delivery in enumerate(expected):
        if number in owners.values():
            continue
        candidates = [each for each in unexpected if each.delivery.destination == delivery.to]
        closest = min(candidates, key=lambda each: len(_delivery_mismatches(delivery, each)), default=None)
        if closest is None:
            route = f" by route {delivery.route!r}" if delivery.route else ""
            lines.append(f"nothing goes to {delivery.to!r}{route}")
            continue
        unexpected.remove(closest)
        lines += [f"to {delivery.to!r}:", *indented(_delivery_mismatches(delivery, closest))]
    for each in unexpected:
        lines.append(f"not expected: to {each.delivery.destination!r} by route {each.delivery.route!r}")
    return lines


def _owners(expected: Sequence[CaseDelivery], actual: Sequence[ActualDelivery]) -> dict[int, int]:
    """Return the number of the expected delivery by the number of the actual one that it is matched with. Both fit.

    To give each expected delivery the first one that fits would match too few: `{to: crm}` could take the only delivery
    that fits `{to: crm, type: order.paid}`. This is the maximum matching of a bipartite graph, by augmenting paths.
    """
    fitting = [[number for number, each in enumerate(actual) if _fits(delivery, each)] for delivery in expected]
    owners: dict[int, int] = {}
    for number in range(len(expected)):
        _find_place(number, fitting, owners, set())
    return owners


def _find_place(number: int, fitting: Sequence[Sequence[int]], owners: dict[int, int], tried: set[int]) -> bool:
    """Make the expected delivery the owner of an actual one that fits. Return False if that is not possible.

    If one has an owner, it becomes free if this owner finds another. `tried` has the actual deliveries that this search
    has tried.
    """
    for candidate in fitting[number]:
        if candidate in tried:
            continue
        tried.add(candidate)
        owner = owners.get(candidate)
        if owner is None or _find_place(owner, fitting, owners, tried):
            owners[candidate] = number
            return True
    return False


def _fits(expected: CaseDelivery, actual: ActualDelivery) -> bool:
    return actual.delivery.destination == expected.to and not _delivery_mismatches(expected, actual)


def _delivery_mismatches(expected: CaseDelivery, actual: ActualDelivery) -> list[str]:
    event = actual.delivery.event
    values = {"route": actual.delivery.route, "type": event.type, "subject": event.subject, "actor": event.actor}
    fields = expected.model_fields_set
    lines: list[str] = []
    for name, value in values.items():
        if name in fields:
            lines += _differing(name, getattr(expected, name), value)
    if "data" in fields and not same(expected.data, event.data):
        lines += ["data (- expected, + found):", *indented(differences(expected.data, event.data, "data"))]
    if expected.mail:
        lines += _mail_mismatches(expected.mail, actual)
    if expected.request:
        lines += _request_mismatches(expected.request, actual)
    if expected.row:
        lines += _row_mismatches(expected.row, actual)
    return lines


def _mail_mismatches(expected: CaseMail, actual: ActualDelivery) -> list[str]:
    mail = actual.mail
    if mail is None:
        return [f"no mail: {actual.why_nothing}"]
    lines: list[str] = []
    if expected.subject is not None:
        lines += _differing("mail's subject", expected.subject, mail.subject)
    if expected.to is not None:
        lines += _differing_lists("mail's to", expected.to, [address.address for address in mail.to])
    if expected.attachments is not None:
        names = [attachment.filename for attachment in mail.attachments]
        lines += _differing_lists("mail's attachments", expected.attachments, names)
    contents = [mail.subject, mail.text or "", mail.html or "", html.unescape(mail.html or "")]
    for attachment in mail.attachments:
        contents += [attachment.filename, attachment.content.decode("utf-8", "replace")]
    return [*lines, *_content_mismatches("mail", expected, contents)]


def _request_mismatches(expected: CaseRequest, actual: ActualDelivery) -> list[str]:
    request = actual.request
    if request is None:
        return [f"no request: {actual.why_nothing}"]
    lines: list[str] = []
    if expected.method:
        lines += _differing("request's method", expected.method, request.method)
    if expected.url:
        lines += _differing("request's url", expected.url, request.url)
    headers = {name.lower(): value for name, value in request.headers}
    for name, value in expected.headers.items():
        lines += _differing(f"request's header {name}", value, headers.get(name.lower()))
    if "body" in expected.model_fields_set:
        # A body may be expected as the text that is sent, even if this text is JSON.
        body = body_value(request, as_text=isinstance(expected.body, str))
        lacking = list(missing(expected.body, body, "body"))
        if lacking:
            lines += ["request's body (- expected, + found):", *indented(lacking)]
    return [*lines, *_content_mismatches("request", expected, _texts_of(request))]


def _texts_of(request: http_kind.OutgoingRequest) -> list[str]:
    """Return all texts that leave in the request, as they are sent and as their receiver reads them."""
    sent = request.body.decode("utf-8", "replace")
    texts = [request.url, unquote_plus(request.url), sent, html.unescape(sent)]
    texts += [value for _, value in request.headers]
    for field in parse_qsl(sent, keep_blank_values=True):  # if it is a form
        texts += field
    for path, value in values_in(body_value(request)):
        if path and isinstance(path[-1], str):  # the key of the value
            texts.append(path[-1])
        if isinstance(value, str):
            texts.append(value)
    return texts


def _row_mismatches(expected: Mapping[str, Json], actual: ActualDelivery) -> list[str]:
    row = actual.row
    if row is None:
        return [f"no row: {actual.why_nothing}"]
    lines = [f"row has no column {name!r}" for name in expected if name not in row]
    for name, value in expected.items():
        if name in row:
            lines += _differing(f"row's {name}", to_json(value) if isinstance(value, list | dict) else value, row[name])
    return lines


def _differing(name: str, expected: Json, actual: Json) -> list[str]:
    return [] if expected == actual else [f"{name}: expected {expected!r}, found {actual!r}"]


def _differing_lists(name: str, expected: Sequence[str], actual: Sequence[str]) -> list[str]:
    """Compare two lists in any order."""
    if sorted(expected) == sorted(actual):
        return []
    return [f"{name}: expected {', '.join(expected) or 'none'}; found {', '.join(actual) or 'none'}"]


def _content_mismatches(label: str, expected: CaseMail | CaseRequest, texts: Sequence[str]) -> list[str]:
    def is_held(part: str) -> bool:
        return any(part in text for text in texts)

    lines = [f"the {label} does not hold {part!r}" for part in expected.holds if not is_held(part)]
    return lines + [f"the {label} holds {part!r}" for part in expected.lacks if is_held(part)]


def indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
