"""Notify's parts, put together once, at first use. Only wiring reads the environment."""

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from functions.notify.breaker import Breakers
from functions.notify.caps import Caps
from functions.notify.destination import Context
from functions.notify.entry import Service
from functions.notify.pauses import Pauses
from functions.notify.registry import Configured, Destinations, DestinationStates, read_destinations
from functions.notify.sweep import Sweeper
from functions.notify.work import Notifier
from shared.cloud import platform
from shared.ports import Fetch, Records
from shared.retention import retention_of
from shared.slices import exit_at_fault, settings, slice_or_exit

if TYPE_CHECKING:
    from functions.notify.gathering.closing import Closer
    from functions.notify.recipient import Recipients
    from shared.cloud.aws.queues import Queues
    from shared.outgoing.authenticator import CloudIdentity
    from shared.outgoing.tokens import TokenCache


@cache
def destinations_or_exit() -> Mapping[str, Configured]:
    with exit_at_fault("notify"):
        return read_destinations(slice_or_exit("notify"))


@cache
def service() -> Service:
    clock = platform.SystemClock()
    ledger, bus = platform.ledger(settings()), platform.bus(settings())
    journal = platform.journal(settings(), retention_of(slice_or_exit("notify")))
    secrets, blobs = platform.secrets(settings(), os.environ), platform.blobs(settings())
    context = Context(secrets, settings(), blobs, clock, platform.ses(settings()), fetch, cloud, tokens)
    states = DestinationStates(ledger, clock)
    recipients = _recipients(context) if any(each.recipient for each in destinations_or_exit().values()) else None
    notifier = Notifier(
        destinations=Destinations(destinations_or_exit(), context),
        states=states,
        ledger=ledger,
        bus=bus,
        journal=journal,
        clock=clock,
        gates=(Breakers(states, clock), Caps(lambda: platform.grants(settings()), clock)),
        recipients=recipients,
    )
    sweeper = Sweeper(
        ledger,
        bus,
        clock,
        looks_ahead=not settings().is_local,  # locally, a sweep comes each second
        groups=_groups(notifier),
        pauses=Pauses(states, destinations_or_exit()),
    )
    return Service(notifier, sweeper, journal, platform.verify_push(settings()))


def _groups(notifier: Notifier) -> "Closer | None":
    """Return what closes groups; None where no destination gathers."""
    destinations = notifier.destinations.configured
    if all(configured.gather is None for configured in destinations.values()):
        return None
    from functions.notify.gathering.closing import Closer

    def records() -> Records:
        return platform.records(settings())

    return Closer(destinations, notifier.ledger, notifier.bus, records, notifier.clock, notifier.recipients)


def _recipients(context: Context) -> "Recipients":
    from functions.notify.people_source import people_of
    from functions.notify.recipient import Recipients

    people = people_of(slice_or_exit("notify").get("people"), context.fetch, context.secrets, context.clock)
    return Recipients(people, context.blobs)


@cache
def fetch() -> Fetch:
    return platform.fetch()


@cache
def cloud() -> "CloudIdentity":
    return platform.cloud_identity(settings())


@cache
def tokens() -> "TokenCache":
    from shared.outgoing.tokens import TokenCache  # few destinations need one

    return TokenCache()


@cache
def queues() -> "Queues":
    """Return the calls about the messages of this function's queues, on AWS."""
    return platform.queues(settings())
