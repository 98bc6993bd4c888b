"""AWS Lambda's entry point of receive, which answers the requests to its Function URL."""

import os
from collections.abc import Callable

from functions.receive import entry, wiring
from functions.receive.receive import Receiver
from shared.cloud.aws.function_url import answer_event
from shared.cloud.aws.invocations import LambdaContext, run
from shared.jsontext import JsonObject

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # loaded to serve, not imported
    wiring.receiver()


def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    return handle(event, context, wiring.receiver)


def handle(event: JsonObject, context: LambdaContext, receiver: Callable[[], Receiver]) -> JsonObject:
    return run(
        lambda deadline: answer_event(
            "receive", lambda head, read_body: entry.answer(receiver(), head, read_body), event, deadline
        ),
        context,
    )
