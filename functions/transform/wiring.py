"""Transform's parts, built once, at first use. Only this module of transform reads the environment."""

import hashlib
import os
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING

from functions.transform import entry, program, step, transform
from shared import jsontext, logs, ports, retention
from shared.cloud import platform
from shared.event import read_kept_parts
from shared.settings import exit_at_fault, settings, slice_or_exit

if TYPE_CHECKING:
    from functions.transform.hosts import StepHosts
    from functions.transform.seen import Seen
    from functions.transform.tap import Tap
    from functions.transform.tracing import TransformSpans
    from shared.cloud.aws.batches import Queues
    from shared.store_ports import Documents, Records
    from shared.telemetry.exporter import Exporter


@cache
def program_or_exit() -> program.Program:
    with exit_at_fault("transform"):
        return program.read_program(slice_or_exit("transform"), is_compiled=True)


@cache
def services() -> step.Services | None:
    """Return None if no step asks."""
    if not program_or_exit().asks:
        return None
    return step.Services(
        secrets=platform.secrets(settings(), os.environ),
        fetch=platform.fetch,
        owners=owners() or platform.owners(settings()),  # without a place, a step that asks for an owner gets Temporary
        blobs=platform.blobs(settings()),
        cloud=lambda: platform.cloud_identity(settings()),
        now=platform.SystemClock().now,
        hosts=_hosts(),
    )


def _hosts() -> "StepHosts | None":
    """Return None if no step asks another system."""
    if not program_or_exit().asks_others:
        return None
    from functions.transform.hosts import StepHosts

    clock = platform.SystemClock()
    gate = platform.process_gate(settings())
    if not settings().is_aws:
        return StepHosts(gate, clock)
    from shared.outgoing.instance_leases import InstanceLeases

    return StepHosts(gate, clock, InstanceLeases(lambda: platform.grants(settings()), gate, clock, token_hex(8)))


@cache
def owners() -> ports.Owners | None:
    """Return what remembers who came first; None if the settings name no database for that."""
    has_place = settings().is_local or settings().is_aws or settings().firestore
    return platform.owners(settings()) if has_place else None


@cache
def service() -> entry.Service:
    return entry.Service(
        transformer(),
        program_or_exit().chains,
        services(),
        platform.verify_push(settings()),
        program_or_exit().type_words,
    )


@cache
def exporter() -> "Exporter | None":
    """Return what exports spans; None if telemetry is off."""
    secrets = platform.secrets(settings(), os.environ)
    return platform.exporter(settings(), "transform", slice_or_exit("transform"), secrets)


@cache
def queues() -> "Queues":
    """Return the calls about the messages of this function's queue, on AWS."""
    return platform.queues(settings())


@cache
def transformer() -> transform.Transformer:
    bus, blobs, spans = platform.bus(settings()), platform.blobs(settings()), _spans()
    return transform.Transformer(
        routes=program_or_exit().routes,
        bus=bus if spans is None else spans.recording(bus),
        blobs=blobs,
        journal=platform.journal(settings(), retention.retention_of(slice_or_exit("transform"))),
        clock=platform.SystemClock(),
        services=services(),
        owners=owners(),
        seen=_seen(),
        tap=_tap(bus, blobs),
        kept_parts=read_kept_parts(slice_or_exit("transform")),
        version=hashlib.sha256(jsontext.texts_json(slice_or_exit("transform"))).hexdigest(),
        spans=spans,
    )


def _spans() -> "TransformSpans | None":
    """Return what records spans, whose ids all log lines get from now on; None if telemetry is off."""
    found = exporter()
    if found is None:
        return None
    from functions.transform.tracing import TransformSpans

    system = platform.messaging_system(settings())
    scheme = "http" if settings().is_local else "https"
    spans = TransformSpans(found.add, system, scheme, platform.SystemClock(), program_or_exit().type_words)
    logs.set_ids(spans.ids)
    return spans


def _seen() -> "Seen | None":
    """Return None if no source has `silence`."""
    if "seen" not in slice_or_exit("transform"):
        return None
    from functions.transform.seen import Seen, read_intervals

    return Seen(read_intervals(slice_or_exit("transform")), records, platform.SystemClock())


def _tap(bus: ports.Bus, blobs: ports.Blobs | None) -> "Tap | None":
    """Return None if the configuration has no `develop`."""
    if "develop" not in slice_or_exit("transform"):
        return None
    from functions.transform.tap import Tap, read_redact
    from shared.tap import read_tapped

    return Tap(
        sources=frozenset(read_tapped(slice_or_exit("transform"))),
        redact=read_redact(slice_or_exit("transform")),
        documents=leases,
        bus=bus,
        topic_of=platform.tap_topic(settings()),
        blobs=blobs,
        clock=platform.SystemClock(),
    )


@cache
def leases() -> "Documents":
    return platform.leases(settings())


@cache
def records() -> "Records":
    return platform.records(settings())
