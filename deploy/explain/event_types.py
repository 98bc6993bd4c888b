"""The event types of subscribers: do the events that routes send to subscribers fit the types that they can choose?

The configuration's tests and the samples of its sources' providers go offline through receive and the routes. Each
event that would go to subscribers is compared with the schema of its type in `event_types`.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from deploy.config import configuration, model_faults
from deploy.config.config_file import ConfigFile, DocumentPath, Fault
from deploy.config.sections.cases import CaseAnswer
from deploy.explain import case_input, config_tests, offline
from deploy.requests.samples import Fresh, load_sample, sample_names
from functions.notify import registry
from functions.notify.http_kind import rendered_line, template_view
from functions.transform.program import Program, read_program
from functions.transform.route_runs import decide
from shared import errors, expressions
from shared.delivery import Delivery
from shared.did_you_mean import did_you_mean, nearest
from shared.event import Event, view_of
from shared.jsontext import JsonObject, mapping_at

SAMPLE_VALUES: Final = Fresh(case_input.AT, "5eed5eed5eed", "5050505050")
"""What samples have in place of times and ids."""


@dataclass(frozen=True, slots=True)
class EventTypeFindings:
    """`faults`: data that does not fit its schema. `warnings`: event types that are not declared, and tenants that are
    not named."""

    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _SampleRun:
    """The events of a test's input or of a provider's sample. `origin` says which test or sample it is.

    answers  what the URLs answer that a step asks
    """

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
    config = configuration.Configuration.model_validate(file.document)
    program = read_program(slices["transform"])
    numbers = {route.name: number for number, route in enumerate(config.routes)}
    types = mapping_at(slices["subscribe"], "event_types")
    faults: dict[Fault, None] = {}
    warnings: dict[Fault, None] = dict.fromkeys(_undeclared_patterns(config, file, types))
    for run in await _sample_runs(config, file, slices["receive"]):
        for delivery in await _deliveries(run, program):
            settings = config.destinations[delivery.destination].settings_of(registry.SUBSCRIBERS)
            if not isinstance(settings, dict):  # the delivery is not to subscribers
                continue
            route: DocumentPath = ("routes", numbers[delivery.route])
            broken_rules, warning_texts = _check_delivery(delivery, settings, types, run)
            faults |= dict.fromkeys(model_faults.fault_at(file, route, rule) for rule in broken_rules)
            warnings |= dict.fromkeys(model_faults.fault_at(file, route, text) for text in warning_texts)
    return EventTypeFindings(tuple(faults), tuple(warnings))


def _undeclared_patterns(config: configuration.Configuration, file: ConfigFile, types: JsonObject) -> Iterator[Fault]:
    """Yield each pattern of a route to subscribers that matches no declared event type, or no type with an action.

    A step may change the type: after steps, only a pattern that is nearly a declared type is worth a warning.
    """
    for number, route in enumerate(config.routes):
        settings = [config.destinations[name].settings_of(registry.SUBSCRIBERS) for name in route.to]
        if not types or not any(isinstance(each, dict) and "type" not in each for each in settings):
            continue
        for pattern in route.types:
            is_declared = any(fnmatchcase(name, pattern) or pattern.startswith(f"{name}.") for name in types)
            if not is_declared and (not route.steps or nearest(pattern, types)):
                rule = f"{pattern!r} matches no type in `event_types`{did_you_mean(pattern, types)}"
                yield model_faults.fault_at(file, ("routes", number, "types"), rule)


def _check_delivery(
    delivery: Delivery, settings: JsonObject, types: JsonObject, run: _SampleRun
) -> tuple[list[str], list[str]]:
    """Return the rules that the event's data breaks, each with what was found, and the texts of warnings."""
    to = f"to {delivery.destination!r}"
    try:
        event_type = rendered_line("type", str(settings.get("type", "{{ type }}")), template_view(delivery))
    except errors.Permanent:
        return [], [f"sends {to}, in {run.origin}, an event whose type cannot be made"]
    # Imported here, because jsonschema is slow to import.
    from shared.schema import Schema

    schema = mapping_at(types, event_type, "schema")
    misfits = list(Schema(schema).find_faults(delivery.event.data, "data")) if schema else []
    rule = f"must send {to} what fits the schema of {event_type!r}; {run.origin}"
    warnings: list[str] = []
    if types and event_type not in types:
        hint = did_you_mean(event_type, types)
        warnings.append(f"sends {to} events of the type {event_type!r}, which `event_types` does not have{hint}")
    if run.is_test and not _names_tenant(str(settings["tenant"]), delivery.event):
        warnings.append(f"sends {to}, in {run.origin}, an event without a tenant at `{settings['tenant']}`")
    return [f"{rule}: {misfit}" for misfit in misfits], warnings


async def _sample_runs(config: configuration.Configuration, file: ConfigFile, receive: JsonObject) -> list[_SampleRun]:
    runs: list[_SampleRun] = []
    for case in config.tests:
        with suppress(case_input.InputError):  # the test fails, and says so
            events = await case_input.input_events(case, receive, file.folder)
            runs.append(_SampleRun(f"test {case.name!r}", events, case.answers, True))
    for name, source in config.sources.items():
        for sample in sample_names(source.provider) if source.provider else ():
            events = await _sample_events(receive, name, str(source.provider), sample)
            runs.append(_SampleRun(f"the sample {source.provider} {sample}", events, {}, False))
    return runs


async def _sample_events(receive: JsonObject, source: str, provider: str, name: str) -> tuple[Event, ...]:
    sample = load_sample(provider, name, SAMPLE_VALUES)
    if sample.is_handshake:
        return ()
    bus = offline.RecordingBus()
    request = replace(sample.request, path=f"/{source}")
    secrets = offline.local_secrets({}, offline.FixedClock(case_input.AT))
    receiver = offline.offline_receiver(offline.without_authentication(receive), secrets, bus, case_input.AT)
    try:
        await receiver.receive(request, offline.body_reader(request))
    except errors.HookchainError:  # the source takes another format, for example
        return ()
    return bus.events


async def _deliveries(run: _SampleRun, program: Program) -> list[Delivery]:
    try:
        decisions = [await decide(event, program.routes, case_input.case_services(run.answers)) for event in run.events]
    except errors.Permanent:  # a step asks another system, which cannot be done offline: nothing is known
        return []
    return config_tests.deliveries_of(decisions)


def _names_tenant(expression: str, event: Event) -> bool:
    try:
        tenants = expressions.over_event(expression).search(view_of(event))
    except errors.Permanent:
        return False
    names = tenants if isinstance(tenants, list) else [tenants]
    return bool(names) and all(isinstance(name, str) and name for name in names)
