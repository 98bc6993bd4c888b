"""The calls of whoever takes messages from a queue of SQS: when one is to come again, and that one is done.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessageBatch.html
"""

from collections.abc import Sequence
from typing import Final

from shared.batching import batches
from shared.cloud.aws.client import AwsClient, AwsPlace, error_name
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject, from_json, texts_json
from shared.logs import log

CALL_SECONDS: Final = 1.0
MAX_ENTRIES: Final = 10
"""SQS takes as many messages in one request."""


def queue_name(arn: str) -> str:
    return arn.rpartition(":")[2]


class Queues:
    """The queues by their ARN. No call raises: one that fails is logged, and costs time alone.

    What could not be postponed comes again after the queue's own visibility timeout. What could not be deleted comes
    again, and is recognized.
    """

    def __init__(self, place: AwsPlace) -> None:
        self._client = AwsClient(place, "sqs")
        self._base_url = place.endpoint or f"https://sqs.{place.region}.amazonaws.com"

    async def postpone(self, arn: str, messages: Sequence[tuple[str, int]]) -> None:
        """Let each message, named by its receipt handle, come again after so many seconds."""
        entries: list[JsonObject] = [
            {"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle, seconds in messages
        ]
        await self._call("ChangeMessageVisibilityBatch", arn, entries)

    async def delete(self, arn: str, handles: Sequence[str]) -> None:
        await self._call("DeleteMessageBatch", arn, [{"ReceiptHandle": handle} for handle in handles])

    def close(self) -> None:
        self._client.close()

    async def _call(self, action: str, arn: str, entries: Sequence[JsonObject]) -> None:
        account = arn.split(":")[4]
        url = f"{self._base_url}/{account}/{queue_name(arn)}"
        for batch in batches(entries, MAX_ENTRIES):
            numbered: list[Json] = [{"Id": str(number), **entry} for number, entry in enumerate(batch)]
            body = texts_json({"QueueUrl": url, "Entries": numbered})
            if fault := await self._fault(f"AmazonSQS.{action}", body):
                log(
                    "WARNING", "queue call failed", topic=queue_name(arn), count=len(batch), detail=f"{action}: {fault}"
                )

    async def _fault(self, target: str, body: bytes) -> str:
        """Return what went wrong, without any text of a message; empty if nothing did."""
        try:
            answer = await self._client.action(target, body, CALL_SECONDS, may_repeat=True)
        except OSError as error:
            return f"SQS did not answer: {type(error).__name__}"
        except Temporary as error:
            return error.detail
        if answer.status != 200:
            return f"SQS answered {answer.status} {error_name(answer)}".rstrip()
        try:
            document = from_json(answer.body)
        except ValueError:
            return "SQS did not answer with JSON"
        failed = document.get("Failed") if isinstance(document, dict) else None
        codes = {str(each.get("Code")) for each in failed if isinstance(each, dict)} if isinstance(failed, list) else ()
        return f"SQS did not do it for all: {', '.join(sorted(codes))}" if codes else ""
