"""Configuration tests, and the events that the tests and the samples of providers send to subscribers.

Each test case goes offline through receive, the routes and the destinations' templates. What a route would send to
subscribers is compared with the schemas of the event types. A sample that a step cannot process offline, because it
asks another system, says nothing.
"""

import asyncio
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.config.compiler import compile_config, read_config
from deploy.config.config_file import ConfigFile, Fault, mapping_at
from deploy.config.configuration import Configuration
from deploy.config.sections.cases import CaseAnswer, CaseConfig, CaseDelivery, CaseMail, CaseRequest
from deploy.explain.deliveries import (
    previewed_recipient,
    rendered_mail,
    rendered_request,
    rendered_row,
    unread_recipient,
)
from deploy.explain.differences import differences, missing, same
from deploy.explain.offline import (
    AT,
    FixedClock,
    InputError,
    RecordingBus,
    body_reader,
    case_services,
    input_events,
    local_secrets,
    offline_receiver,
    without_authentication,
)
from deploy.explain.outgoing_request import body_value
from deploy.explain.reference import example_faults, fault_text
from deploy.requests.samples import Fresh, load_sample, sample_names
from deploy.terminal.command_line import CommandError
from functions.notify.destinations.email.mail import Mail
from functions.notify.http_kind import OutgoingRequest, rendered_line, template_view
from functions.notify.recipients.recipient import NoRecipient
from functions.notify.registry import load_own_kinds
from functions.transform.chain import Chain, ChainResult
from functions.transform.program import Program, read_chain, read_program
from functions.transform.routes import Decision, decide
from functions.transform.step import Example, Step
from functions.transform.steps.lint import Schema
from shared.delivery import Delivery
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError, Permanent, Temporary
from shared.event import Event, view_of
from shared.expressions import over_event
from shared.jsontext import Json, JsonObject, to_json
from shared.own_modules import own_sources
from shared.times import rfc3339


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
    request: OutgoingRequest | None = None
    row: Mapping[str, Json] | None = None
    fault: str = ""
    code: str = ""


def run_config_tests(document: Json, slices: Mapping[str, JsonObject], folder: Path) -> list[CaseResult]:
    """Run the test cases of a configuration without faults, and the examples of the operator's own steps and kinds.

    `document` is the configuration as it is written. Names of files in it are relative to `folder`.
    """
    cases = Configuration.model_validate(document).tests
    program = read_program(slices["transform"])
    examples = [
        CaseResult(f"the example of the step {name!r}", tuple(asyncio.run(example_lines(name, model))))
        for name, model in program.own.items()
    ]
    kinds = load_own_kinds(own_sources(slices["notify"].get("own_kinds")))
    examples += [
        CaseResult(f"example {number} of the kind {kind!r}", tuple(example_faults(module, example)))
        for kind, module in kinds.items()
        for number, example in enumerate(module.EXAMPLES, 1)
    ]
    return [
        *examples,
        *(CaseResult(case.name, tuple(asyncio.run(_lines(case, program, slices, folder)))) for case in cases),
    ]


async def _lines(case: CaseConfig, program: Program, slices: Mapping[str, JsonObject], folder: Path) -> Sequence[str]:
    try:
        events = await input_events(case, slices["receive"], folder)
        decisions = [await decide(event, program.routes, case_services(case.answers)) for event in events]
    except (InputError, Permanent) as error:
        return [error.detail if isinstance(error, Permanent) else str(error)]
    actual = [each for decision in decisions for each in await _actual(decision, slices["notify"])]
    lines = [*_failures(case.fails, decisions, actual), *mismatches(case.expect, actual)]
    return [*lines, *_route_lines(decisions)] if lines else []


def _failures(expected: str | None, decisions: Sequence[Decision], actual: Sequence[ActualDelivery]) -> list[str]:
    """Return a line for each failure of a chain or a template that is not expected, and for a missing one that is."""
    found: list[tuple[str, str]] = [
        (failed.code, failed.reason) for decision in decisions for failed in decision.failed
    ]
    found += [(each.unfinished.code, each.unfinished.detail) for each in decisions if each.unfinished]
    found += [(why.code, why.detail) for each in decisions for _, why in each.waiting]
    found += [(each.code, f"to {each.delivery.destination!r}: {each.fault}") for each in actual if each.code]
    lines = [f"failed: {code}: {reason}" for code, reason in found if code != expected]
    if expected and all(code != expected for code, _ in found):
        lines.append(f"nothing failed with the code {expected!r} that `fails` expects")
    return lines


async def _actual(decision: Decision, notify: JsonObject) -> list[ActualDelivery]:
    deliveries = [Delivery(owed.event, owed.route, name) for owed in decision.owed for name in owed.destinations]
    return [await _rendered(delivery, notify) for delivery in deliveries]


async def _rendered(delivery: Delivery, notify: JsonObject) -> ActualDelivery:
    if unread_recipient(delivery, notify):
        return ActualDelivery(delivery)
    try:
        person = await previewed_recipient(delivery, notify)
        if isinstance(person, NoRecipient):
            return ActualDelivery(delivery, fault=person.reason, code="unknown_person")
        mail, request = rendered_mail(delivery, notify, person), rendered_request(delivery, notify, person)
        return ActualDelivery(delivery, mail, request, rendered_row(delivery, notify))
    except (Permanent, Temporary) as error:
        return ActualDelivery(delivery, fault=error.detail, code=error.code)


def _route_lines(decisions: Sequence[Decision]) -> list[str]:
    routes = [route for decision in decisions for route in decision.routes]
    return ["the decisions of the routes:"] + [f"  {route.route}: {route.outcome}: {route.reason}" for route in routes]


async def example_lines(name: str, step: type[Step]) -> list[str]:
    """Return the differences between a step's example and what the step does; none if it is correct."""
    example = step.example
    steps, faults = read_chain([{name: example.settings}], {name: step})
    if faults:
        return [f"its settings: {fault.reason}" for fault in faults]
    event = replace(
        Event(f"example-of-{name}".replace("-", ""), "/sources/example", "example", rfc3339(AT), "00"),
        data=copy.deepcopy(example.before),
    )
    answers = {url: CaseAnswer(body=body) for url, body in example.answers.items()}
    try:
        course = await Chain("", tuple(steps)).run(event, case_services(answers))
    except Temporary as error:
        return [error.detail]
    return _mismatches(example, course, event)


def _mismatches(example: Example, course: ChainResult, before: Event) -> list[str]:
    if course.faults:
        return [fault_text(fault).removeprefix("route '': ") for fault in course.faults]
    if example.stops is not None:
        reasons = [reason.partition(": ")[2] for reason in course.stops]
        return (
            [] if reasons == [example.stops] else [f"expected to stop: {example.stops}; found {reasons or 'no stop'}"]
        )
    if not course.events:
        return [f"filtered: {'; '.join(course.stops)}"]
    found: Json = [event.data for event in course.events]
    if isinstance(found, list) and len(found) == 1 and course.events[0].id == before.id:
        found = found[0]
    return [] if example.varies else differences(example.after, found, "data")


def require_passing_tests(config: Path | None, environ: Mapping[str, str]) -> int:
    """Run the configuration's tests before a deployment, and return their number. Raises CommandError if one fails, and
    ConfigFaults."""
    file = read_config(config, environ)
    results = run_config_tests(file.document, compile_config(file), file.folder)
    failed = [each for each in results if not each.passed]
    if failed:
        lines = [line for each in failed for line in (f"{each.name}:", *(f"  {line}" for line in each.lines))]
        how = f"nothing is deployed: {len(failed)} of the configuration's {len(results)} tests fail"
        raise CommandError("\n".join([f"{how} (`hookchain test`)", *lines]))
    return len(results)


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


SAMPLE_VALUES: Final = Fresh(AT, "5eed5eed5eed", "5050505050")
SUBSCRIBERS: Final = "subscribers"


@dataclass(frozen=True, slots=True)
class EventTypeFindings:
    """`faults`: data that does not fit its schema. `warnings`: event types that are not declared, and tenants that are
    not named."""

    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


def event_type_findings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> EventTypeFindings:
    """Return what the configuration's own examples show. The configuration has no other fault."""
    if "subscribe" not in slices:
        return EventTypeFindings()
    return asyncio.run(_findings(file, slices))


async def _findings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> EventTypeFindings:
    config, program = Configuration.model_validate(file.document), read_program(slices["transform"])
    lines = {route.name: file.line(("routes", number)) for number, route in enumerate(config.routes)}
    types = mapping_at(slices["subscribe"], "event_types")
    faults: dict[Fault, None] = {}
    warnings: dict[Fault, None] = {}
    for found in await _examples(config, file, slices["receive"]):
        for delivery in await _example_deliveries(found, program):
            settings = config.destinations[delivery.destination].kinds.get(SUBSCRIBERS)
            if not isinstance(settings, dict):
                continue
            place = Fault(lines[delivery.route], f"route {delivery.route!r}", "")
            to = f"to {delivery.destination!r}"
            event_type = _event_type(delivery, str(settings.get("type", "{{ type }}")))
            if event_type is None:
                rule = f"sends {to}, in {found.origin}, an event whose type cannot be made"
                warnings[replace(place, rule=rule)] = None
                continue
            for rule in _misfits(types.get(event_type), delivery.event):
                text = f"must send {to} what fits the schema of {event_type!r}; {found.origin}: {rule}"
                faults[replace(place, rule=text)] = None
            if types and event_type not in types:
                rule = f"sends {to} events of the type {event_type!r}, which `event_types` does not have"
                warnings[replace(place, rule=f"{rule}{did_you_mean(event_type, types)}")] = None
            if found.is_test and not _names_tenant(str(settings["tenant"]), delivery.event):
                rule = f"sends {to}, in {found.origin}, an event without a tenant at `{settings['tenant']}`"
                warnings[replace(place, rule=rule)] = None
    return EventTypeFindings(tuple(faults), tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Example:
    """An example of what a source gets. `origin` says which test or sample it is."""

    origin: str
    events: tuple[Event, ...]
    answers: Mapping[str, CaseAnswer]
    is_test: bool


async def _examples(config: Configuration, file: ConfigFile, receive: JsonObject) -> list[_Example]:
    found = [
        _Example(f"test {case.name!r}", events, case.answers, True)
        for case in config.tests
        if (events := await _test_events(case, receive, file.folder))
    ]
    for name, source in config.sources.items():
        for sample in sample_names(source.provider) if source.provider else ():
            if events := await _sample_events(receive, name, str(source.provider), sample):
                found.append(_Example(f"the sample {source.provider} {sample}", events, {}, False))
    return found


async def _test_events(case: CaseConfig, receive: JsonObject, folder: Path) -> tuple[Event, ...]:
    try:
        return await input_events(case, receive, folder)
    except InputError:  # the test fails, and says so
        return ()


async def _sample_events(receive: JsonObject, source: str, provider: str, name: str) -> tuple[Event, ...]:
    sample = load_sample(provider, name, SAMPLE_VALUES)
    if sample.is_handshake:
        return ()
    bus, request = RecordingBus(), replace(sample.request, path=f"/{source}")
    receiver = offline_receiver(without_authentication(receive), local_secrets({}, FixedClock(AT)), bus, AT)
    try:
        await receiver.receive(request, body_reader(request))
    except HookchainError:  # the source takes another format, for example
        return ()
    return bus.events


async def _example_deliveries(example: _Example, program: Program) -> list[Delivery]:
    try:
        decisions = [await decide(event, program.routes, case_services(example.answers)) for event in example.events]
    except Permanent:
        return []
    return [
        Delivery(owed.event, owed.route, name)
        for decision in decisions
        for owed in decision.owed
        for name in owed.destinations
    ]


def _event_type(delivery: Delivery, template: str) -> str | None:
    try:
        return rendered_line("type", template, template_view(delivery))
    except Permanent:
        return None


def _misfits(event_type: Json, event: Event) -> Iterator[str]:
    schema = mapping_at(event_type, "schema")
    if schema:
        yield from Schema(schema).find_faults(event.data, "data")


def _names_tenant(expression: str, event: Event) -> bool:
    try:
        found = over_event(expression).search(view_of(event))
    except Permanent:
        return False
    names = found if isinstance(found, list) else [found]
    return bool(names) and all(isinstance(name, str) and name for name in names)
