"""The events that routes send to subscribers, made offline, compared with the schemas of the event types.

They come from the configuration's tests and from the samples of providers. A sample that a step cannot process offline,
because it asks another system, says nothing.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.config.config_file import ConfigFile, Fault, mapping_at
from deploy.config.configuration import Configuration
from deploy.config.sections.cases import CaseAnswer, CaseConfig
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
from deploy.requests.samples import Fresh, load_sample, sample_names
from functions.notify.http_kind import rendered_line, template_view
from functions.transform.program import Program, read_program
from functions.transform.routes import decide
from functions.transform.steps.lint import Schema
from shared.delivery import Delivery
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError, Permanent
from shared.event import Event, view_of
from shared.expressions import over_event
from shared.jsontext import Json, JsonObject

FRESH: Final = Fresh(AT, "5eed5eed5eed", "5050505050")
KIND: Final = "subscribers"


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
        for delivery in await _deliveries(found, program):
            settings = config.destinations[delivery.destination].kinds.get(KIND)
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
    sample = load_sample(provider, name, FRESH)
    if sample.is_handshake:
        return ()
    bus, request = RecordingBus(), replace(sample.request, path=f"/{source}")
    receiver = offline_receiver(without_authentication(receive), local_secrets({}, FixedClock(AT)), bus, AT)
    try:
        await receiver.receive(request, body_reader(request))
    except HookchainError:  # the source takes another format, for example
        return ()
    return bus.events


async def _deliveries(example: _Example, program: Program) -> list[Delivery]:
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
