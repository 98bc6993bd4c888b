"""AWS Lambda's entry point of notify: batches of its queues, and the scheduler's sweep, `{"sweep": true}`.

The queues are those of the deliveries and the dead letters, and those to which SQS moves what was received too often.
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from functions.notify import entry, wiring
from shared import errors, jsontext, ports
from shared.cloud.aws.batches import MAX_RECEIVES, MessageQueues, Take, batch_of, queue_name, take_batch
from shared.cloud.aws.invocations import LambdaContext, in_time, run

if TYPE_CHECKING:
    from shared.telemetry.exporter import Exporter

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # loaded to serve, not imported
    wiring.destinations_or_exit()
    with contextlib.suppress(errors.HookchainError):  # it is raised again, and logged, for the first message
        wiring.service()


def handler(event: jsontext.JsonObject, context: LambdaContext) -> jsontext.JsonObject:
    return handle(event, context, wiring.service, wiring.queues, wiring.exporter())


def handle(
    event: jsontext.JsonObject,
    context: LambdaContext,
    service: entry.MakeService,
    queues: Callable[[], MessageQueues],
    exporter: "Exporter | None" = None,
) -> jsontext.JsonObject:
    if event.get("sweep") is True:
        return run(lambda deadline: _sweep(service, deadline), context, exporter)
    batch = batch_of(event)
    take = _taker(queue_name(batch.queue_arn), service)
    return run(lambda deadline: take_batch("notify", batch, take, queues(), deadline), context, exporter)


def _taker(queue: str, service: entry.MakeService) -> Take:
    """Return what takes the messages of the queue. Raises ValueError for a queue that is not one of notify's."""
    if queue.endswith(ports.DELIVERIES):
        return lambda push: entry.take_delivery(service, push, time.perf_counter())
    given_up = None
    if queue.endswith(ports.UNDELIVERED):
        source = queue.removesuffix(ports.UNDELIVERED)
        if not source.endswith(ports.DEAD_LETTERS):
            given_up = f"the queue {source!r} gave up after {MAX_RECEIVES} tries"
    elif not queue.endswith(ports.DEAD_LETTERS):
        raise ValueError(
            f"eventSourceARN: notify takes deliveries, dead-letters and *{ports.UNDELIVERED}; got {queue!r}"
        )
    return lambda push: entry.take_dead_letter(service, push, time.perf_counter(), given_up)


class SweepFailed(Exception):
    """A sweep that was not done. Lambda counts it as an error, and the next one does it."""


async def _sweep(service: entry.MakeService, deadline: float) -> jsontext.JsonObject:
    started = time.perf_counter()
    try:
        return {"published": await in_time(entry.sweep(service(), started), deadline)}
    except Exception as error:
        entry.log_unavailable(error, started)
        raise SweepFailed("not done; see the log line before") from None
