"""The inboxes from which `hookchain listen` takes copies of requests: a subscription on Google Cloud, a queue on AWS.

Each lease has one, by its name. It is created with the rights of the developer. Google removes a subscription that
nobody uses; a queue stays until `listen` removes it, also that of another lease.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from shared import errors, jsontext, ports
from shared.cloud.aws.client import AwsClient, AwsPlace, error_name, is_temporary_answer
from shared.cloud.aws.sqs_messages import message_of
from shared.cloud.gcp.tokens import Authorization
from shared.outgoing.http_client import HttpClient
from shared.push import Push
from shared.tap import KEPT_SECONDS, LEASE_NAME, LISTENER

HOLD_SECONDS: Final = 60
"""How long a copy that was received, and not acknowledged, is kept back from the next call."""
AT_ONCE: Final = 10
"""The most copies of one call: SQS allows no more."""
WAIT_SECONDS: Final = 10
"""How long SQS waits for a copy. Pub/Sub decides itself, or waits until CALL_SECONDS end the call."""
CALL_SECONDS: Final = 20.0
EXPIRY_SECONDS: Final = KEPT_SECONDS + 86_400
"""Google's expiry of a subscription must come after the time for which it keeps a message."""


class InboxFault(Exception):
    """The cloud rejected a call. The text says which, and why."""


class NoInbox(InboxFault):
    """There is no inbox of the name."""


class Received(NamedTuple):
    """A copy. `handle` is the cloud's name for this one hand-out of the copy, with which it is acknowledged."""

    message: Push
    handle: str


class Inboxes(Protocol):
    """The inboxes of one deployment. `name` is that of a lease.

    Each method raises InboxFault, Temporary for a fault that passes, and OSError if the cloud does not answer.
    """

    async def create(self, name: str) -> None:
        """Create the inbox of the lease `name`, unless it exists. Somebody else may remove it later."""

    async def receive(self, name: str) -> Sequence[Received]:
        """Wait for some seconds, and return the copies that are there. Raises NoInbox too."""

    async def acknowledge(self, name: str, received: Received) -> None:
        """Remove the copy from its inbox, so that it is not handed out again."""

    async def remove(self, name: str) -> None:
        """Remove the inbox with its copies. Does nothing if there is none."""

    async def names(self) -> Sequence[str]:
        """Return the leases that have an inbox which does not expire."""

    def close(self) -> None: ...


class GoogleInboxes:
    """Inboxes that are subscriptions to the topic of copies, each with a filter for the copies of its lease.

    `topic` is the full name of the topic, `projects/…/topics/…`. `project` is the id of that of the subscriptions.
    """

    def __init__(
        self, endpoint: str, topic: str, project: str, labels: Mapping[str, str], authorization: Authorization
    ) -> None:
        self._client = HttpClient(endpoint)
        self._topic = topic
        self._place = f"/v1/projects/{project}/subscriptions/{topic.rpartition('/')[2]}-"
        self._labels = labels
        self._authorization = authorization

    async def create(self, name: str) -> None:
        labels: jsontext.JsonObject = {**self._labels}
        settings: jsontext.JsonObject = {
            "topic": self._topic,
            "filter": f'attributes.{LISTENER} = "{name}"',
            "ackDeadlineSeconds": HOLD_SECONDS,
            "messageRetentionDuration": f"{KEPT_SECONDS:.0f}s",
            "expirationPolicy": {"ttl": f"{EXPIRY_SECONDS:.0f}s"},
            "labels": labels,
        }
        made = await self._call("PUT", name, "", settings, allowed=(409,))  # 409: the subscription exists already
        found = made if "topic" in made else await self._call("GET", name, "")
        if found.get("topic") != self._topic:  # of another deployment of this prefix, or of a deleted one
            rule = f"is for the topic {found.get('topic')}, and not for {self._topic}"
            raise InboxFault(f"the subscription {self._place}{name} {rule}. Remove it with --stop, or use another --as")

    async def receive(self, name: str) -> Sequence[Received]:
        try:
            document = await self._call("POST", name, ":pull", {"maxMessages": AT_ONCE})
        except TimeoutError:  # nothing came
            return ()
        return [_pulled(each) for each in jsontext.objects_at(document, "receivedMessages")]

    async def acknowledge(self, name: str, received: Received) -> None:
        await self._call("POST", name, ":acknowledge", {"ackIds": [received.handle]})

    async def remove(self, name: str) -> None:
        with suppress(NoInbox):
            await self._call("DELETE", name, "")

    async def names(self) -> Sequence[str]:
        return ()  # all of them expire

    def close(self) -> None:
        self._client.close()

    async def _call(
        self, method: str, name: str, action: str, body: jsontext.JsonObject | None = None, allowed: Sequence[int] = ()
    ) -> jsontext.JsonObject:
        """Return the JSON of the answer, also for a status in `allowed`. `action` begins with a colon, or is empty.

        Each call can be repeated: a pull that is lost hands out its copies again after HOLD_SECONDS.
        """
        headers = {"Content-Type": "application/json"}
        if authorization := await self._authorization():
            headers["Authorization"] = authorization
        path = f"{self._place}{name}{action}"
        content = b"" if body is None else jsontext.texts_json(body)
        answer = await self._client.call(method, path, headers, content, CALL_SECONDS, may_repeat=True)
        if answer.status == 200 or answer.status in allowed:
            return jsontext.mapping_at(jsontext.json_or_none(answer.body))
        message = str(jsontext.value_at(jsontext.json_or_none(answer.body), "error", "message") or "")
        detail = f"Pub/Sub answered {answer.status} to {method} {path}: {message}"
        if is_temporary_answer(answer):
            raise errors.Temporary("bus_unavailable", detail)
        raise (NoInbox if answer.status == 404 else InboxFault)(detail)


def _pulled(received: jsontext.JsonObject) -> Received:
    message = jsontext.mapping_at(received, "message")
    attributes = {name: str(value) for name, value in jsontext.mapping_at(message, "attributes").items()}
    push = Push(jsontext.decode_base64(str(message.get("data", ""))), attributes, str(message.get("messageId", "")))
    return Received(push, str(received["ackId"]))


class AwsInboxes:
    """Inboxes that are queues of their own. transform finds them by their names, which begin with `prefix`.

    Each queue's URL is remembered once it is known, because every other call needs it.
    """

    def __init__(self, place: AwsPlace, prefix: str) -> None:
        self._client = AwsClient(place, "sqs")
        self._prefix = f"{prefix}{ports.TAP}-"
        self._tags: jsontext.JsonObject = {"hookchain": prefix}
        self._urls: dict[str, str] = {}

    async def create(self, name: str) -> None:
        self._urls.pop(name, None)  # of a queue that may have been removed
        with suppress(NoInbox):
            await self._url(name)
            return
        attributes: jsontext.JsonObject = {
            "MessageRetentionPeriod": f"{KEPT_SECONDS:.0f}",
            "VisibilityTimeout": str(HOLD_SECONDS),
            "SqsManagedSseEnabled": "true",
        }
        request: jsontext.JsonObject = {"QueueName": self._prefix + name, "Attributes": attributes, "tags": self._tags}
        self._urls[name] = str((await self._call("CreateQueue", request))["QueueUrl"])

    async def receive(self, name: str) -> Sequence[Received]:
        request: jsontext.JsonObject = {
            "MaxNumberOfMessages": AT_ONCE,
            "WaitTimeSeconds": WAIT_SECONDS,
            "MessageAttributeNames": ["All"],
        }
        document = await self._call("ReceiveMessage", {"QueueUrl": await self._url(name), **request})
        return [_received(each) for each in jsontext.objects_at(document, "Messages")]

    async def acknowledge(self, name: str, received: Received) -> None:
        await self._call("DeleteMessage", {"QueueUrl": await self._url(name), "ReceiptHandle": received.handle})

    async def remove(self, name: str) -> None:
        with suppress(NoInbox):
            await self._call("DeleteQueue", {"QueueUrl": await self._url(name)})
        self._urls.pop(name, None)

    async def names(self) -> Sequence[str]:
        urls = jsontext.texts_at(await self._call("ListQueues", {"QueueNamePrefix": self._prefix}), "QueueUrls")
        names = [url.rpartition("/")[2].removeprefix(self._prefix) for url in urls]
        # The others are queues of a deployment whose own prefix begins with this one.
        return [name for name in names if LEASE_NAME.fullmatch(name)]

    def close(self) -> None:
        self._client.close()

    async def _url(self, name: str) -> str:
        if name not in self._urls:
            found = await self._call("GetQueueUrl", {"QueueName": self._prefix + name})
            self._urls[name] = str(found["QueueUrl"])
        return self._urls[name]

    async def _call(self, action: str, request: jsontext.JsonObject) -> jsontext.JsonObject:
        answer = await self._client.action(
            f"AmazonSQS.{action}", jsontext.texts_json(request), CALL_SECONDS, may_repeat=True
        )
        if answer.status == 200:
            return jsontext.mapping_at(jsontext.json_or_none(answer.body))
        error = error_name(answer)
        is_recent = error.endswith("QueueDeletedRecently")
        detail = f"SQS answered {answer.status} {error} to {action}"
        if is_recent or is_temporary_answer(answer):
            raise errors.Temporary(
                "bus_unavailable", detail + (": it was removed less than a minute ago" if is_recent else "")
            )
        is_missing = error.rpartition(".")[2] in {"QueueDoesNotExist", "NonExistentQueue"}
        raise (NoInbox if is_missing else InboxFault)(detail)


def _received(message: jsontext.JsonObject) -> Received:
    """Read the message as Lambda hands it to a function."""
    attributes: jsontext.JsonObject = {
        name: {"stringValue": jsontext.value_at(value, "StringValue")}
        for name, value in jsontext.mapping_at(message, "MessageAttributes").items()
    }
    record: jsontext.JsonObject = {
        "body": message["Body"],
        "messageAttributes": attributes,
        "messageId": message.get("MessageId"),
    }
    try:
        push = message_of(record)
    except errors.Permanent:  # somebody else has sent it; its data is no event either
        push = Push(b"")
    return Received(push, str(message["ReceiptHandle"]))
