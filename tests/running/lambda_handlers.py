"""Handlers for the tests of the local Lambda, and how a test runs one. Each does what its event says."""

import os
import time
from pathlib import Path
from typing import Final

from deploy.dev.aws.environments import Handler
from shared.jsontext import Json, JsonObject, list_at, mapping_at

ROOT: Final = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS: Final = 2


def make_handler(entry: str, timeout_seconds: int = TIMEOUT_SECONDS, **environ: str) -> Handler:
    """Return the handler of this module that has the name `entry`."""
    environ = {"PATH": os.environ["PATH"], "AWS_REGION": "us-east-1", **environ}
    return Handler("tried", f"tests.running.lambda_handlers.{entry}", ROOT, environ, timeout_seconds)


def obey(event: JsonObject, _: object) -> Json:
    """Sleep, raise or exit, as the event says; else return the event and the process."""
    if "sleep" in event:
        time.sleep(float(str(event["sleep"])))
    if "raise" in event:
        raise ValueError(str(event["raise"]))
    if "exit" in event:
        os._exit(1)
    return {"event": event, "process": os.getpid()}


def echo(event: JsonObject, _: object) -> Json:
    """Answer a request with its body, and with what came of it in a header."""
    return {
        "statusCode": 202,
        "headers": {"Content-Type": "application/x-echo", "X-Header": str(event["headers"])},
        "cookies": ["a=1", "b=2"],
        "body": event.get("body", ""),
        "isBase64Encoded": event["isBase64Encoded"],
    }


def take(event: JsonObject, _: object) -> Json:
    """Take a batch by the text of each message, and note in the file TAKEN which were done.

    `fail` is to come again; `hang` sleeps past the timeout when it is received for the first time.
    """
    records = list_at(event["Records"])
    failed: list[Json] = []
    done = []
    for record in records:
        assert isinstance(record, dict)
        attributes = mapping_at(record["attributes"])
        text, receives = str(record["body"]), int(str(attributes["ApproximateReceiveCount"]))
        if text == "hang" and receives == 1:
            time.sleep(60)
        if text == "fail":
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            done.append(f"{text} {receives}\n")
    with Path(os.environ["TAKEN"]).open("a", encoding="utf-8") as file:
        file.writelines(done)
    return {"batchItemFailures": failed}
