"""Notify's parts, put together once for each process, at first use. Only this module reads the environment.

`service` puts them together. Most deployments need few of them, and a new instance must start fast: a part that the
configuration does not use is None, and its module is not imported.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING

from functions.notify import entry, registry
from functions.notify.destination import Context
from functions.notify.notifier import Notifier, read_removals
from functions.notify.waiting import caps, pauses, sweep
from shared import jsontext, logs, ports, retention
from shared.cloud import platform
from shared.settings import exit_at_fault, settings, slice_or_exit

if TYPE_CHECKING:
    from functions.notify.alerts.monitor import Monitor
    from functions.notify.alerts.publisher import AlertPublisher
    from functions.notify.digests.closing import Closer
    from functions.notify.recipients.recipient import Recipients
    from functions.notify.subscribers.endpoints import Endpoints
    from functions.notify.tracing import NotifySpans
    from functions.notify.waiting.levels import SweepLevels
    from functions.notify.waiting.side_tasks import SideTasks, Task
    from shared.cloud.aws.batches import Queues
    from shared.fetch import Fetch
    from shared.journal import Journal
    from shared.outgoing.access_tokens import TokenCache
    from shared.outgoing.authenticator import CloudIdentity
    from shared.outgoing.gate import ProcessGate
    from shared.outgoing.instance_leases import InstanceLeases
    from shared.store_ports import Records
    from shared.telemetry.exporter import Exporter


def _slice() -> jsontext.JsonObject:
    """Return notify's part of the compiled configuration. End the process if it cannot be read."""
    return slice_or_exit("notify")


@cache
def destinations_or_exit() -> Mapping[str, registry.DeliveryOptions]:
    """Return the configured destinations by name. End the process if the slice cannot be read."""
    with exit_at_fault("notify"):
        return registry.read_destinations(slice_or_exit("notify"))


# The context of destinations has these three functions, and not what they return: each part is made once, at the first
# attempt that needs it, and shared by all destinations.


@cache
def fetch() -> "Fetch":
    return platform.fetch()


@cache
def cloud() -> "CloudIdentity":
    return platform.cloud_identity(settings())


@cache
def tokens() -> "TokenCache":
    # Imported here, because few destinations need an access token.
    from shared.outgoing.access_tokens import TokenCache

    return TokenCache()


@cache
def service() -> entry.Service:
    """Return the parts behind the paths of notify, made at the first call.

    Raises Temporary if a part cannot be made, for example because the settings name no ledger. The next call tries
    again. The process ends if the slice cannot be read.
    """
    clock = platform.SystemClock()
    ledger = platform.ledger(settings())
    bus = platform.bus(settings())
    journal = platform.journal(settings(), retention.retention_of(_slice()))
    context = Context(
        secrets=platform.secrets(settings(), os.environ),
        settings=settings(),
        blobs=platform.blobs(settings()),
        clock=clock,
        ses=platform.ses(settings()),
        fetch=fetch,
        cloud=cloud,
        tokens=tokens,
    )
    endpoints = None
    if "subscribers" in _slice():
        context, endpoints = _subscribers(context, bus)
    destinations = registry.Destinations(destinations_or_exit(), context)
    states = pauses.DestinationStates(ledger, clock)
    gate = platform.process_gate(settings())
    notifier = Notifier(
        destinations=destinations,
        states=states,
        ledger=ledger,
        bus=bus,
        journal=journal,
        clock=clock,
        breakers=pauses.Breakers(states, clock, gate),
        gate=gate,
        caps=_caps(clock),
        instances=_instances(gate, clock),
        recipients=_recipients(context),
        endpoints=endpoints,
        removals=read_removals(_slice()),
        spans=_spans(clock),
    )
    alerts = _alerts(bus)
    sweeper = sweep.Sweeper(
        ledger,
        bus,
        clock,
        looks_ahead=not settings().is_local,  # locally, a sweep comes each second
        closer=_closer(notifier),
        pauses=pauses.SweepPauses(states, destinations.configured),
        monitor=_monitor(notifier, alerts),
        side_tasks=_side_tasks(context, bus, journal, alerts),
    )
    verify_push = platform.verify_push(settings())
    return entry.Service(notifier, sweeper, journal, verify_push, alerts, _levels(notifier))


@cache
def exporter() -> "Exporter | None":
    """Return what exports spans and metrics; None if telemetry is off."""
    secrets = platform.secrets(settings(), os.environ)
    return platform.exporter(settings(), "notify", _slice(), secrets)


def _levels(notifier: Notifier) -> "SweepLevels | None":
    """Return what measures the whole deployment at each sweep; None without metrics."""
    exporting = exporter()
    if exporting is None or exporting.metrics is None:
        return None
    from functions.notify.waiting.levels import SweepLevels

    return SweepLevels(lambda: exporting.metrics, list(destinations_or_exit()), notifier.ledger, notifier.clock)


def _spans(clock: ports.Clock) -> "NotifySpans | None":
    """Return what records spans; None if telemetry is off."""
    exporting = exporter()
    if exporting is None:
        return None
    from functions.notify.tracing import NotifySpans

    spans = NotifySpans(exporting.add, platform.messaging_system(settings()), clock)
    logs.set_ids(spans.ids)
    return spans


def _caps(clock: ports.Clock) -> caps.Caps | None:
    """Return the caps; None if no destination has one, and there are no subscribers, whose endpoints may have one."""
    destinations = destinations_or_exit().values()
    # A destination can have other options for the alerts that it gets.
    alert_options = [configured.alert_options for configured in destinations if configured.alert_options]
    has_caps = any(options.rate or options.in_flight for options in (*destinations, *alert_options))
    if not has_caps and "subscribers" not in _slice():
        return None
    return caps.Caps(lambda: platform.grants(settings()), clock)


def _instances(gate: "ProcessGate", clock: ports.Clock) -> "InstanceLeases | None":
    """Return the leases of destinations that may hang; None except on AWS."""
    if not settings().is_aws:
        return None
    from shared.outgoing.instance_leases import InstanceLeases

    return InstanceLeases(lambda: platform.grants(settings()), gate, clock, token_hex(8))


def _alerts(bus: ports.Bus) -> "AlertPublisher | None":
    """Return what publishes alerts; None if the configuration has none."""
    if "alerts" not in _slice():
        return None
    from functions.notify.alerts.publisher import AlertPublisher, read_alert_settings

    alert_settings = read_alert_settings(_slice(), destinations_or_exit())
    return AlertPublisher(alert_settings, bus, _platform_option()) if alert_settings else None


def _platform_option() -> str:
    """Return the option by which a command means this platform, after a space; empty if it needs none."""
    if settings().is_aws:
        return "" if settings().aws_endpoint else " --platform aws"
    return "" if settings().is_local else " --platform gcp"


def _monitor(notifier: Notifier, alerts: "AlertPublisher | None") -> "Monitor | None":
    """Return what detects the trouble that alerts report; None if there are no alerts."""
    if alerts is None:
        return None
    from functions.notify.alerts.monitor import Monitor

    return Monitor(alerts, list(notifier.destinations.configured), notifier.ledger, _records, notifier.clock)


def _side_tasks(
    context: Context, bus: ports.Bus, journal: "Journal | None", alerts: "AlertPublisher | None"
) -> "SideTasks | None":
    """Return the tasks beside the sweep; None if there are none."""
    tasks = []
    if "hooks" in _slice():
        tasks.append(_renewals(context, alerts))
    if "recover" in _slice():
        tasks.append(_recovery(context, bus, journal, alerts))
    if not tasks:
        return None
    from functions.notify.waiting.side_tasks import SideTasks

    return SideTasks(tasks, context.clock)


def _renewals(context: Context, alerts: "AlertPublisher | None") -> "Task":
    """Return the task that renews webhooks at providers before they expire."""
    from functions.notify import hook_expiry
    from functions.notify.waiting.side_tasks import Task

    expiry = hook_expiry.HookExpiry(
        jsontext.mappings_at(_slice(), "hooks"),
        platform.documents(settings()),
        fetch=context.fetch(),
        secrets=context.secrets,
        clock=context.clock,
        alerts=alerts,
        records=_records,
    )
    return Task("renewing webhooks", hook_expiry.EVERY_SECONDS, expiry.check)


def _recovery(context: Context, bus: ports.Bus, journal: "Journal | None", alerts: "AlertPublisher | None") -> "Task":
    """Return the task that fetches the events that a provider could not deliver."""
    from functions.notify.recovery import listing, recovery
    from functions.notify.waiting.side_tasks import Task

    events = recovery.Recovery(
        listing.read_recovery_settings(_slice()),
        fetch=context.fetch(),
        secrets=context.secrets,
        bus=bus,
        journal=journal,
        records=_records,
        clock=context.clock,
        alerts=alerts,
    )
    # More often than a source is due, because a recovery that has more to do is continued sooner.
    return Task("recovering events", recovery.CONTINUED_SECONDS, events.run)


@cache
def _records() -> "Records":
    """Open the store of records, once for all that use it. Raises Temporary."""
    return platform.records(settings())


def _closer(notifier: Notifier) -> "Closer | None":
    """Return what closes groups; None if no destination gathers deliveries or gets alerts, which are gathered too."""
    destinations = notifier.destinations.configured
    if not any(configured.gather or configured.alert_options for configured in destinations.values()):
        return None
    from functions.notify.digests.closing import Closer

    return Closer(
        destinations,
        notifier.ledger,
        notifier.bus,
        _records,
        notifier.clock,
        recipients=notifier.recipients,
        spans=notifier.spans,
    )


def _subscribers(context: Context, bus: ports.Bus) -> "tuple[Context, Endpoints]":
    """Return what deliveries to subscribers need: the context with their directory, and their endpoints."""
    from functions.notify.subscribers.endpoints import Endpoints
    from functions.notify.subscribers.subscribers import Subscribers, read_subscriber_settings

    compiled = _slice()
    subscriber_settings = read_subscriber_settings(compiled["subscribers"], retention.retention_of(compiled))
    subscribers = Subscribers(platform.documents(settings()), bus, context.clock, subscriber_settings)
    context = replace(context, subscribers=lambda: subscribers)
    endpoints = Endpoints(destinations_or_exit(), subscribers, context)
    return context, endpoints


def _recipients(context: Context) -> "Recipients | None":
    """Return what finds the persons that `to` names; None if no destination's `to` names a person."""
    if not any(each.recipient for each in destinations_or_exit().values()):
        return None
    from functions.notify.recipients.people_list import people_reader
    from functions.notify.recipients.recipient import Recipients

    read_people = people_reader(_slice().get("people"), context.fetch, context.secrets, context.clock)
    return Recipients(read_people, context.blobs)


@cache
def queues() -> "Queues":
    """Return the calls about the messages of this function's queues, on AWS."""
    return platform.queues(settings())
