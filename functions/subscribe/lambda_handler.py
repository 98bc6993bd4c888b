"""AWS Lambda's entry point of subscribe, which answers the requests to its Function URL."""

import os
from collections.abc import Callable

# No plugins of pydantic are used, and looking for them takes 15 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from functions.subscribe import api, wiring
from functions.subscribe.service import Service
from shared.cloud.aws import function_url, invocations
from shared.jsontext import JsonObject

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # loaded to serve, not imported
    wiring.service()


def handler(event: JsonObject, context: invocations.LambdaContext) -> JsonObject:
    return handle(event, context, wiring.service)


def handle(event: JsonObject, context: invocations.LambdaContext, service: Callable[[], Service]) -> JsonObject:
    return invocations.run(
        lambda deadline: function_url.answer_event(
            "subscribe", lambda head, read_body: api.answer(service(), head, read_body), event, deadline
        ),
        context,
    )
