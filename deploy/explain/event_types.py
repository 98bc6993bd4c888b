"""The event types of subscribers: do the events that routes send to subscribers fit the types that they can choose?

The configuration's tests and the samples of its sources' providers go offline through receive and the routes. Each
event that would go to subscribers is compared with the schema of its type in `event_types`.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

from deploy.config import configuration, model_faults
from deploy.config.config_file import ConfigFile, DocumentPath, Fault
from deploy.config.sections.cases import CaseAnswer
from deploy.explain import case_input, config_tests
from deploy.requests.samples import Fresh, load_sample, sample_names
from functions.notify import registry
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
    """The findings about the events that go to subscribers.

    faults    data that does not fit its schema
    warnings  event types that are not declared, events without a valid type, and events of tests without a valid
              tenant
    """

    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _SampleRun:
    """The events that receive makes of a test's input or of a provider's sample.

    origin   which test or sample it is, for messages
    answers  what the URLs answer that a step asks; none for a sample
    is_test  the operator wrote it, so its events must name a tenant
    """

    origin: str
    events: tuple[Event, ...]
    answers: Mapping[str, CaseAnswer] = field(default_factory=dict)
    is_test: bool = False


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
            event_type = _event_type(delivery, settings)
            if event_type is not None:
                rules = _broken_rules(delivery, mapping_at(types, event_type, "schema"), event_type, run)
                faults |= dict.fromkeys(model_faults.fault_at(file, route, rule) for rule in rules)
            texts = _warning_texts(delivery, settings, event_type, types, run)
            warnings |= dict.fromkeys(model_faults.fault_at(file, route, text) for text in texts)
    return EventTypeFindings(tuple(faults), tuple(warnings))


def _undeclared_patterns(config: configuration.Configuration, file: ConfigFile, types: JsonObject) -> Iterator[Fault]:
    """Yield a warning for each pattern of a route to subscribers that no declared event type can match.

    A declared type also covers patterns for its actions, such as `issues.opened`. A step may change the type: after
    steps, only a pattern that is nearly a declared type is worth a warning.
    """
    for number, route in enumerate(config.routes):
        settings = [config.destinations[name].settings_of(registry.SUBSCRIBERS) for name in route.to]
        # With `type`, the destination makes another type of the event's.
        if not types or not any(isinstance(each, dict) and "type" not in each for each in settings):
            continue
        for pattern in route.types:
            is_declared = any(fnmatchcase(name, pattern) or pattern.startswith(f"{name}.") for name in types)
            if not is_declared and (not route.steps or nearest(pattern, types)):
                rule = f"{pattern!r} matches no type in `event_types`{did_you_mean(pattern, types)}"
                yield model_faults.fault_at(file, ("routes", number, "types"), rule)


def _event_type(delivery: Delivery, settings: JsonObject) -> str | None:
    """Return the event type that subscribers choose by; None if it cannot be made of the event."""
    # Imported here, because few configurations have subscribers.
    from functions.notify.subscribers.fan_out import event_type_of

    try:
        return event_type_of(str(settings.get("type", "{{ type }}")), delivery)
    except errors.Permanent:
        return None


def _broken_rules(delivery: Delivery, schema: JsonObject, event_type: str, run: _SampleRun) -> Iterator[str]:
    """Yield the rule for each part of the event's data that does not fit the schema, with what was found."""
    if not schema:
        return
    # Imported here, because jsonschema is slow to import.
    from shared.schema import Schema

    for misfit in Schema(schema).find_faults(delivery.event.data, "data"):
        rule = f"must send to {delivery.destination!r} what fits the schema of {event_type!r}"
        yield f"{rule}; {run.origin}: {misfit}"


def _warning_texts(
    delivery: Delivery, settings: JsonObject, event_type: str | None, types: JsonObject, run: _SampleRun
) -> Iterator[str]:
    sends_to = f"sends to {delivery.destination!r}"
    if event_type is None:
        rule = "`type` results in no valid event type (such as order.paid)"
        yield f"{sends_to}, in {run.origin}, an event for which {rule}"
        return
    if types and event_type not in types:
        hint = did_you_mean(event_type, types)
        yield f"{sends_to} events of the type {event_type!r}, which `event_types` does not have{hint}"
    if run.is_test and (fault := _tenant_fault(str(settings["tenant"]), delivery.event)):
        yield f"{sends_to}, in {run.origin}, an event that it rejects: {fault}"


async def _sample_runs(config: configuration.Configuration, file: ConfigFile, receive: JsonObject) -> list[_SampleRun]:
    runs: list[_SampleRun] = []
    for case in config.tests:
        with suppress(case_input.InputError):  # the test fails, and says so
            events = await case_input.input_events(case, receive, file.folder)
            runs.append(_SampleRun(f"test {case.name!r}", events, case.answers, is_test=True))
    for name, source in config.sources.items():
        for sample in sample_names(source.provider) if source.provider else ():
            events = await _sample_events(receive, name, str(source.provider), sample)
            runs.append(_SampleRun(f"the sample {source.provider} {sample}", events))
    return runs


async def _sample_events(receive: JsonObject, source: str, provider: str, name: str) -> tuple[Event, ...]:
    sample = load_sample(provider, name, SAMPLE_VALUES)
    if sample.is_handshake:
        return ()
    try:
        return await case_input.received_events(replace(sample.request, path=f"/{source}"), receive)
    except errors.HookchainError:  # the source takes another format, for example
        return ()


async def _deliveries(run: _SampleRun, program: Program) -> list[Delivery]:
    try:
        decisions = [await decide(event, program.routes, case_input.case_services(run.answers)) for event in run.events]
    except errors.Permanent:  # a step asks another system, which cannot be done offline: nothing is known
        return []
    return config_tests.deliveries_of(decisions)


def _tenant_fault(expression: str, event: Event) -> str:
    """Return why notify would find no tenant in the event; empty if it would find one."""
    from functions.notify.subscribers.fan_out import tenants_in  # few configurations have subscribers

    try:
        tenants = tenants_in(view_of(event), expressions.over_event(expression))
    except errors.Permanent as error:
        return error.detail
    return tenants if isinstance(tenants, str) else ""
