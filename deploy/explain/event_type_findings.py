"""The events that a configuration's routes would send to subscribers, compared with the schemas of their event types.

The events come from the configuration's tests and from the samples of its providers. A sample that a step cannot
process offline, because it asks another system, says nothing.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from deploy.config.config_file import ConfigFile, Fault
from deploy.config.configuration import Configuration
from deploy.config.model_faults import fault_at
from deploy.config.sections.cases import CaseAnswer
from deploy.explain import config_tests, deliveries, offline
from deploy.requests.samples import Fresh, load_sample, sample_names
from functions.notify.http_kind import rendered_line, template_view
from functions.transform.program import Program, read_program
from functions.transform.routes import decide
from functions.transform.steps.lint import Schema
from shared import errors, expressions
from shared.delivery import Delivery
from shared.did_you_mean import did_you_mean, nearest
from shared.event import Event, view_of
from shared.jsontext import JsonObject, mapping_at

SAMPLE_VALUES: Final = Fresh(offline.AT, "5eed5eed5eed", "5050505050")


@dataclass(frozen=True, slots=True)
class EventTypeFindings:
    """`faults`: data that does not fit its schema. `warnings`: event types that are not declared, and tenants that are
    not named."""

    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Example:
    """An example of what a source gets. `origin` says which test or sample it is."""

    origin: str
    events: tuple[Event, ...]
    answers: Mapping[str, CaseAnswer]
    is_test: bool


def event_type_findings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> EventTypeFindings:
    """Return what the configuration's own examples show. The configuration has no other fault."""
    if "subscribe" not in slices:
        return EventTypeFindings()
    return asyncio.run(_findings(file, slices))


async def _findings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> EventTypeFindings:
    config = Configuration.model_validate(file.document)
    program = read_program(slices["transform"])
    lines = {route.name: file.line(("routes", number)) for number, route in enumerate(config.routes)}
    types = mapping_at(slices["subscribe"], "event_types")
    faults: dict[Fault, None] = {}
    warnings: dict[Fault, None] = dict.fromkeys(_undeclared_patterns(config, file, types))
    for example in await _examples(config, file, slices["receive"]):
        for delivery in await _example_deliveries(example, program):
            settings = config.destinations[delivery.destination].kinds.get(deliveries.SUBSCRIBERS)
            if isinstance(settings, dict):
                place = Fault(lines[delivery.route], f"route {delivery.route!r}", "")
                misfits, rules = _delivery_rules(delivery, settings, types, example)
                faults |= dict.fromkeys(replace(place, rule=rule) for rule in misfits)
                warnings |= dict.fromkeys(replace(place, rule=rule) for rule in rules)
    return EventTypeFindings(tuple(faults), tuple(warnings))


def _undeclared_patterns(config: Configuration, file: ConfigFile, types: JsonObject) -> Iterator[Fault]:
    """Yield each pattern of a route to subscribers that matches no declared event type, or no type with an action.

    A step may change the type: after steps, only a pattern that is nearly a declared type is worth a warning.
    """
    for number, route in enumerate(config.routes):
        kinds = [config.destinations[name].kinds.get(deliveries.SUBSCRIBERS) for name in route.to]
        if not types or not any(isinstance(each, dict) and "type" not in each for each in kinds):
            continue
        for pattern in route.types:
            is_declared = any(fnmatchcase(name, pattern) or pattern.startswith(f"{name}.") for name in types)
            if not is_declared and (not route.steps or nearest(pattern, types)):
                rule = f"{pattern!r} matches no type in `event_types`{did_you_mean(pattern, types)}"
                yield fault_at(file, ("routes", number, "types"), rule)


def _delivery_rules(
    delivery: Delivery, settings: JsonObject, types: JsonObject, example: _Example
) -> tuple[list[str], list[str]]:
    """Return the rules that the event's data breaks, and what is seldom meant."""
    to = f"to {delivery.destination!r}"
    try:
        event_type = rendered_line("type", str(settings.get("type", "{{ type }}")), template_view(delivery))
    except errors.Permanent:
        return [], [f"sends {to}, in {example.origin}, an event whose type cannot be made"]
    schema = mapping_at(types, event_type, "schema")
    misfits = list(Schema(schema).find_faults(delivery.event.data, "data")) if schema else []
    rule = f"must send {to} what fits the schema of {event_type!r}; {example.origin}"
    warnings: list[str] = []
    if types and event_type not in types:
        hint = did_you_mean(event_type, types)
        warnings.append(f"sends {to} events of the type {event_type!r}, which `event_types` does not have{hint}")
    if example.is_test and not _names_tenant(str(settings["tenant"]), delivery.event):
        warnings.append(f"sends {to}, in {example.origin}, an event without a tenant at `{settings['tenant']}`")
    return [f"{rule}: {misfit}" for misfit in misfits], warnings


async def _examples(config: Configuration, file: ConfigFile, receive: JsonObject) -> list[_Example]:
    examples: list[_Example] = []
    for case in config.tests:
        with suppress(offline.InputError):  # the test fails, and says so
            events = await offline.input_events(case, receive, file.folder)
            examples.append(_Example(f"test {case.name!r}", events, case.answers, True))
    for name, source in config.sources.items():
        for sample in sample_names(source.provider) if source.provider else ():
            events = await _sample_events(receive, name, str(source.provider), sample)
            examples.append(_Example(f"the sample {source.provider} {sample}", events, {}, False))
    return examples


async def _sample_events(receive: JsonObject, source: str, provider: str, name: str) -> tuple[Event, ...]:
    sample = load_sample(provider, name, SAMPLE_VALUES)
    if sample.is_handshake:
        return ()
    bus = offline.RecordingBus()
    request = replace(sample.request, path=f"/{source}")
    secrets = offline.local_secrets({}, offline.FixedClock(offline.AT))
    receiver = offline.offline_receiver(offline.without_authentication(receive), secrets, bus, offline.AT)
    try:
        await receiver.receive(request, offline.body_reader(request))
    except errors.HookchainError:  # the source takes another format, for example
        return ()
    return bus.events


async def _example_deliveries(example: _Example, program: Program) -> list[Delivery]:
    try:
        decisions = [
            await decide(event, program.routes, offline.case_services(example.answers)) for event in example.events
        ]
    except errors.Permanent:
        return []
    return config_tests.deliveries_of(decisions)


def _names_tenant(expression: str, event: Event) -> bool:
    try:
        tenants = expressions.over_event(expression).search(view_of(event))
    except errors.Permanent:
        return False
    names = tenants if isinstance(tenants, list) else [tenants]
    return bool(names) and all(isinstance(name, str) and name for name in names)
