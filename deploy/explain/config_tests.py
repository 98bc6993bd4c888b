"""Configuration tests: each case goes offline through receive, the routes and the destinations' templates."""

import asyncio
import copy
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote_plus

from deploy.config import compiler, configuration
from deploy.config.sections.cases import CaseAnswer, CaseConfig, CaseDelivery, CaseMail, CaseRequest
from deploy.explain import case_input, offline, reference
from deploy.explain.differences import differences, missing, same
from deploy.explain.rendering import OfflineDelivery, body_value
from deploy.terminal.command_line import CommandError
from functions.notify import http_kind, own_kinds
from functions.notify.destinations.email.mail import Mail
from functions.notify.recipients.recipient import NoRecipient
from functions.transform.chain import Chain, ChainResult
from functions.transform.program import Program, read_chain, read_program
from functions.transform.route_runs import Decision, decide
from functions.transform.step import Example, Step
from shared import errors, times
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject, to_json, values_in


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a test case. `lines` are the differences from what is expected; none if it passed."""

    name: str
    lines: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.lines


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


def require_passing_tests(config: Path | None, environ: Mapping[str, str]) -> int:
    """Run the configuration's tests before a deployment, and return their number. Raises CommandError if one fails, and
    ConfigFaults."""
    file = compiler.read_config(config, environ)
    results = run_config_tests(file.document, compiler.compile_config(file), file.folder)
    failed = [result for result in results if not result.passed]
    if failed:
        lines = [line for result in failed for line in (f"{result.name}:", *_indented(result.lines))]
        rule = f"nothing is deployed: {len(failed)} of the configuration's {len(results)} tests fail"
        raise CommandError("\n".join([f"{rule} (`hookchain test`)", *lines]))
    return len(results)


def run_config_tests(document: Json, slices: Mapping[str, JsonObject], folder: Path) -> list[CaseResult]:
    """Run the test cases of a configuration without faults, and the examples of the operator's own steps and kinds.

    `document` is the configuration as it is written. Names of files in it are relative to `folder`.
    """
    program = read_program(slices["transform"])
    results: list[CaseResult] = []
    for name, step in program.own.items():
        lines = asyncio.run(example_lines(name, step))
        results.append(CaseResult(f"the example of the step {name!r}", tuple(lines)))
    for kind, module in own_kinds.own_kinds_of(slices["notify"]).items():
        for number, example in enumerate(module.EXAMPLES, 1):
            lines = reference.example_faults(module, example)
            results.append(CaseResult(f"example {number} of the kind {kind!r}", tuple(lines)))
    for case in configuration.Configuration.model_validate(document).tests:
        lines = asyncio.run(_case_lines(case, program, slices, folder))
        results.append(CaseResult(case.name, tuple(lines)))
    return results


async def _case_lines(case: CaseConfig, program: Program, slices: Mapping[str, JsonObject], folder: Path) -> list[str]:
    try:
        events = await case_input.input_events(case, slices["receive"], folder)
        decisions = [await decide(event, program.routes, case_input.case_services(case.answers)) for event in events]
    except case_input.InputError as error:
        return [str(error)]
    except errors.Permanent as error:
        return [error.detail]
    actual = [await _actual_delivery(delivery, slices["notify"]) for delivery in deliveries_of(decisions)]
    lines = [*_failures(case.fails, decisions, actual), *mismatches(case.expect, actual)]
    if not lines:
        return []
    routes = [route for decision in decisions for route in decision.routes]
    reasons = [f"{route.route}: {route.outcome}: {route.reason}" for route in routes]
    return [*lines, "the decisions of the routes:", *_indented(reasons)]


def deliveries_of(decisions: Sequence[Decision]) -> list[Delivery]:
    owed = [each for decision in decisions for each in decision.owed]
    return [Delivery(each.event, each.route, name) for each in owed for name in each.destinations]


def _failures(expected: str | None, decisions: Sequence[Decision], actual: Sequence[ActualDelivery]) -> list[str]:
    """Return a line for each failure of a chain or a template that is not expected, and for a missing one that is."""
    failures: list[tuple[str, str]] = []
    for decision in decisions:
        redelivery_errors = [decision.redelivery_error] if decision.redelivery_error else []
        failures += [(failed.code, failed.reason) for failed in decision.failed]
        failures += [
            (fault.code, fault.detail) for fault in (*redelivery_errors, *(fault for _, fault in decision.waiting))
        ]
    failures += [(each.code, f"to {each.delivery.destination!r}: {each.fault}") for each in actual if each.code]
    lines = [f"failed: {code}: {reason}" for code, reason in failures if code != expected]
    if expected and all(code != expected for code, _ in failures):
        lines.append(f"nothing failed with the code {expected!r} that `fails` expects")
    return lines


async def _actual_delivery(delivery: Delivery, notify: JsonObject) -> ActualDelivery:
    rendering = OfflineDelivery(delivery, notify)
    if rendering.unread_recipient():
        return ActualDelivery(delivery)
    try:
        person = await rendering.recipient()
        if isinstance(person, NoRecipient):
            return ActualDelivery(delivery, fault=person.reason, code="unknown_person")
        return ActualDelivery(delivery, rendering.mail(person), rendering.request(person), rendering.row())
    except (errors.Permanent, errors.Temporary) as error:
        return ActualDelivery(delivery, fault=error.detail, code=error.code)


def mismatches(expected: Sequence[CaseDelivery], actual: Sequence[ActualDelivery]) -> list[str]:
    """Return lines for missing, unexpected and different deliveries; none if all are as expected.

    As many expected deliveries as possible are matched with one that fits. Each of the others is compared with the most
    similar one that is left.
    """
    matched = _matched(expected, actual)
    unexpected = [each for number, each in enumerate(actual) if number not in matched.values()]
    lines: list[str] = []
    for number, delivery in enumerate(expected):
        if number in matched:
            continue
        candidates = [each for each in unexpected if each.delivery.destination == delivery.to]
        closest = min(candidates, key=lambda each: len(_delivery_mismatches(delivery, each)), default=None)
        if closest is None:
            route = f" by route {delivery.route!r}" if delivery.route else ""
            lines.append(f"nothing goes to {delivery.to!r}{route}")
            continue
        unexpected.remove(closest)
        lines += [f"to {delivery.to!r}:", *_indented(_delivery_mismatches(delivery, closest))]
    for each in unexpected:
        lines.append(f"not expected: to {each.delivery.destination!r} by route {each.delivery.route!r}")
    return lines


def _matched(expected: Sequence[CaseDelivery], actual: Sequence[ActualDelivery]) -> dict[int, int]:
    """Return the number of a fitting actual delivery for as many of the expected ones as possible, by their numbers."""
    fitting = [
        [
            number
            for number, each in enumerate(actual)
            if each.delivery.destination == delivery.to and not _delivery_mismatches(delivery, each)
        ]
        for delivery in expected
    ]
    owners: dict[int, int] = {}  # the expected delivery that has each actual one

    def find_place(number: int, tried: set[int]) -> bool:
        """Give the expected delivery an actual one, and the one that had it another, if that is possible."""
        for candidate in fitting[number]:
            if candidate not in tried:
                tried.add(candidate)
                if candidate not in owners or find_place(owners[candidate], tried):
                    owners[candidate] = number
                    return True
        return False

    for number in range(len(expected)):
        find_place(number, set())
    return {owner: candidate for candidate, owner in owners.items()}


def _delivery_mismatches(expected: CaseDelivery, actual: ActualDelivery) -> list[str]:
    event = actual.delivery.event
    values = {"route": actual.delivery.route, "type": event.type, "subject": event.subject, "actor": event.actor}
    fields = expected.model_fields_set
    lines = _differing((name, getattr(expected, name), value) for name, value in values.items() if name in fields)
    if "data" in fields and not same(expected.data, event.data):
        lines += ["data (- expected, + found):", *_indented(differences(expected.data, event.data, "data"))]
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
        lines += _differing([("mail's subject", expected.subject, mail.subject)])
    addresses = [address.address for address in mail.to]
    names = [attachment.filename for attachment in mail.attachments]
    for label, texts, actual_texts in (("to", expected.to, addresses), ("attachments", expected.attachments, names)):
        if texts is not None and sorted(texts) != sorted(actual_texts):
            lines.append(f"mail's {label}: expected {_listed(texts)}; found {_listed(actual_texts)}")
    texts = [mail.subject, mail.text or "", mail.html or "", html.unescape(mail.html or "")]
    for attachment in mail.attachments:
        texts += [attachment.filename, attachment.content.decode("utf-8", "replace")]
    return [*lines, *_content_mismatches("mail", expected, texts)]


def _request_mismatches(expected: CaseRequest, actual: ActualDelivery) -> list[str]:
    request = actual.request
    if request is None:
        return [f"no request: {actual.why_nothing}"]
    headers = {name.lower(): value for name, value in request.headers}
    expected_headers = expected.headers.items()
    lines = _differing(
        [
            ("request's method", expected.method or request.method, request.method),
            ("request's url", expected.url or request.url, request.url),
            *((f"request's header {name}", value, headers.get(name.lower())) for name, value in expected_headers),
        ]
    )
    if "body" in expected.model_fields_set:
        lacking = list(missing(expected.body, body_value(request, expected.body), "body"))
        lines += ["request's body (- expected, + found):", *_indented(lacking)] if lacking else []
    return [*lines, *_content_mismatches("request", expected, _texts_of(request))]


def _texts_of(request: http_kind.OutgoingRequest) -> list[str]:
    """Return all texts that leave in the request, as they are sent and as their receiver reads them."""
    sent = request.body.decode("utf-8", "replace")
    texts = [
        request.url,
        unquote_plus(request.url),
        *(value for _, value in request.headers),
        sent,
        html.unescape(sent),
        *[text for field in parse_qsl(sent, keep_blank_values=True) for text in field],  # if it is a form
    ]
    read = body_value(request, {})
    for path, value in values_in(read):
        texts += [str(part) for part in (*path[-1:], value) if isinstance(part, str)]
    return texts


def _row_mismatches(expected: Mapping[str, Json], actual: ActualDelivery) -> list[str]:
    row = actual.row
    if row is None:
        return [f"no row: {actual.why_nothing}"]
    lines = [f"row has no column {name!r}" for name in expected if name not in row]
    values = {name: to_json(value) if isinstance(value, list | dict) else value for name, value in expected.items()}
    return lines + _differing((f"row's {name}", value, row[name]) for name, value in values.items() if name in row)


def _differing(compared: Iterable[tuple[str, Json, Json]]) -> list[str]:
    """Return a line for each name whose expected and actual values differ."""
    return [f"{name}: expected {value!r}, found {actual!r}" for name, value, actual in compared if value != actual]


def _content_mismatches(label: str, expected: CaseMail | CaseRequest, texts: Sequence[str]) -> list[str]:
    def is_held(part: str) -> bool:
        return any(part in text for text in texts)

    lines = [f"the {label} does not hold {part!r}" for part in expected.holds if not is_held(part)]
    return lines + [f"the {label} holds {part!r}" for part in expected.lacks if is_held(part)]


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "none"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


async def example_lines(name: str, step: type[Step]) -> list[str]:
    """Return the differences between a step's example and what the step does; none if it is correct."""
    example = step.example
    steps, faults = read_chain([{name: example.settings}], {name: step})
    if faults:
        return [f"its settings: {fault.reason}" for fault in faults]
    event = replace(
        Event(f"example-of-{name}".replace("-", ""), "/sources/example", "example", times.rfc3339(case_input.AT), "00"),
        data=copy.deepcopy(example.before),
    )
    answers = {url: CaseAnswer(body=body) for url, body in example.answers.items()}
    try:
        result = await Chain("", tuple(steps)).run(event, case_input.case_services(answers))
    except errors.Temporary as error:
        return [error.detail]
    return _example_mismatches(example, result, event)


def _example_mismatches(example: Example, result: ChainResult, before: Event) -> list[str]:
    if result.faults:
        # The chain ran by a route without a name, which its texts begin with.
        return [offline.fault_text(fault).removeprefix("route '': ") for fault in result.faults]
    if example.stops is not None:
        reasons = [reason.partition(": ")[2] for reason in result.stops]
        is_stopped = reasons == [example.stops]
        return [] if is_stopped else [f"expected to stop: {example.stops}; found {reasons or 'no stop'}"]
    if not result.events:
        return [f"filtered: {'; '.join(result.stops)}"]
    is_split = len(result.events) > 1 or result.events[0].id != before.id
    after: Json = [event.data for event in result.events] if is_split else result.events[0].data
    return [] if example.varies else differences(example.after, after, "data")
