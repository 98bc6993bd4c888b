"""AWS Lambda's entry point of transform: batches of events from its queue, and documents for its named chains.

Callers that IAM lets in send a document as `{"chain": "<name>", "body": "…", "headers": {…}}`. The body is text, or
base64 where `isBase64Encoded` is true; `rawQueryString` may be `body=text` or `body=bytes`. The answer has
`statusCode`, `headers`, `body` and `isBase64Encoded`.
"""

import os
import time
from collections.abc import Callable
from urllib.parse import quote

from functions.transform import entry, wiring
from functions.transform.chain import CHAINS_PATH
from functions.transform.entry import Service
from shared.cloud.aws.batches import MessageQueues, batch_of, take_batch
from shared.cloud.aws.function_url import answer_event
from shared.cloud.aws.invocations import LambdaContext, run
from shared.jsontext import JsonObject
from shared.push import Push

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # loaded to serve, not imported
    wiring.service()


def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    return handle(event, context, wiring.service, wiring.queues)


def handle(
    event: JsonObject, context: LambdaContext, service: Callable[[], Service], queues: Callable[[], MessageQueues]
) -> JsonObject:
    if "chain" in event:
        request = request_to(event)
        return run(
            lambda deadline: answer_event(
                "transform", lambda head, read_body: entry.answer(service(), head, read_body), request, deadline
            ),
            context,
        )
    batch = batch_of(event)

    async def take(push: Push) -> bool:
        return await entry.take_event(service(), push, time.perf_counter())

    return run(lambda deadline: take_batch("transform", batch, take, queues(), deadline), context)


def request_to(event: JsonObject) -> JsonObject:
    """Return the invocation as a request to the path of its chain."""
    path = f"{CHAINS_PATH}{quote(str(event['chain']), safe='')}"
    return {**event, "rawPath": path, "requestContext": {"http": {"method": "POST"}}}
