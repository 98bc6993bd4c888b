"""AWS Lambda's entry point of receive: requests to its Function URL, and messages of the queues of sources.

A request has a `requestContext`, which its sender cannot leave out. Messages come from the queues that IAM and the
deployment allow to invoke the function.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from functions.receive import entry, wiring
from functions.receive.receive import Receiver
from shared.cloud.aws.function_url import answer_event
from shared.cloud.aws.invocations import LambdaContext, run
from shared.jsontext import JsonObject

if TYPE_CHECKING:
    from shared.cloud.aws.batches import MessageQueues
    from shared.push import Push

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # loaded to serve, not imported
    wiring.receiver()


def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    return handle(event, context, wiring.receiver)


def handle(event: JsonObject, context: LambdaContext, receiver: Callable[[], Receiver]) -> JsonObject:
    if "Records" in event and "requestContext" not in event:
        return take_messages(event, context, receiver, wiring.queues)
    return run(
        lambda deadline: answer_event(
            "receive", lambda head, read_body: entry.answer(receiver(), head, read_body), event, deadline
        ),
        context,
    )


def take_messages(
    event: JsonObject, context: LambdaContext, receiver: Callable[[], Receiver], queues: "Callable[[], MessageQueues]"
) -> JsonObject:
    """Take the messages that Lambda has read from a queue of a source, and return those that it must deliver again."""
    # Imported here, because few configurations have a source with a queue.
    from shared.cloud.aws.batches import batch_of, take_batch

    batch = batch_of(event)

    async def take(push: "Push") -> bool:
        return await entry.take_message(receiver(), batch.queue_arn, wiring.prefix(), push)

    return run(lambda deadline: take_batch("receive", batch, take, queues(), deadline), context)
