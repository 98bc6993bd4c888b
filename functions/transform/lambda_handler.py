"""AWS Lambda's entry point of transform: batches of events from its queue, and documents for its named chains.

Callers that IAM lets in send a document as `{"chain": "<name>", "body": "…", "headers": {…}}`. The body is text, or
base64 where `isBase64Encoded` is true; `rawQueryString` may be `body=text` or `body=bytes`. The answer has
`statusCode`, `headers`, `body` and `isBase64Encoded`. They call the function by its alias `chains`, because IAM cannot
tell a document from an event: by the alias, no event is taken.
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

# No plugins of pydantic are used, and looking for them takes 15 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from functions.transform import chain, entry, wiring
from shared.cloud.aws import batches, function_url, invocations
from shared.jsontext import JsonObject
from shared.push import Push

if TYPE_CHECKING:
    from shared.telemetry.exporter import Exporter

CHAINS_ALIAS: Final = "chains"

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # loaded to serve, not imported
    wiring.service()


def handler(event: JsonObject, context: invocations.LambdaContext) -> JsonObject:
    return handle(event, context, wiring.service, wiring.queues, wiring.exporter())


def handle(
    event: JsonObject,
    context: invocations.LambdaContext,
    service: Callable[[], entry.Service],
    queues: Callable[[], batches.MessageQueues],
    exporter: "Exporter | None" = None,
) -> JsonObject:
    if "chain" in event:
        request = request_to(event)
        return invocations.run(
            lambda deadline: function_url.answer_event(
                "transform", lambda head, read_body: entry.answer(service(), head, read_body), request, deadline
            ),
            context,
        )
    if context.invoked_function_arn.endswith(f":{CHAINS_ALIAS}"):
        raise PermissionError(f"chain: is missing; by the alias {CHAINS_ALIAS!r}, only a chain can be called")
    batch = batches.batch_of(event)

    async def take(push: Push) -> bool:
        return await entry.take_event(service(), push, time.perf_counter())

    return invocations.run(
        lambda deadline: batches.take_batch("transform", batch, take, queues(), deadline), context, exporter
    )


def request_to(event: JsonObject) -> JsonObject:
    """Return the invocation as a request to the path of its chain."""
    path = f"{chain.CHAINS_PATH}{quote(str(event['chain']), safe='', errors='replace')}"
    return {**event, "rawPath": path, "requestContext": {"http": {"method": "POST"}}}
