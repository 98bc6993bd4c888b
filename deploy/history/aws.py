"""The state of a stack on AWS, and of the local AWS of `hookchain dev --platform aws`: the ports of each."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, replace
from typing import Final, Self

from deploy.cloud_access.aws import AwsFault, DeployedStack
from deploy.cloud_access.inboxes import AwsInboxes
from deploy.history import dynamo_journal, journal_view, local_journal, state, status
from shared import jsontext, ports
from shared.cloud.aws import client, documents, dynamo, ledger, s3
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.kept_by_key import DocumentRecords
from shared.settings import read_settings
from shared.signatures.aws_v4 import Credentials

CALL_SECONDS: Final = 5.0
_DELAYED: Final = "ApproximateNumberOfMessagesDelayed"
COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", _DELAYED)
"""The attributes of a queue that `counts_of` reads."""
BEYOND_REACH: Final = (
    "messages in SQS: an event that is being processed is stored again. SQS keeps a message for 14 days at most: run "
    "the command again then",
    "copies of requests that developers got with `hookchain listen`, which wait for 7 days at most",
    "DynamoDB's point-in-time recovery: it can restore the tables of the last 35 days",
    "backups and exports of the tables and the bucket, if you made them",
)


class DevJournal(dynamo_journal.DynamoJournalReader):
    """The journal in the local AWS, with the requests that receive's log brought into the state folder."""

    def __init__(self, store: dynamo.Dynamo, blobs: s3.S3Blobs, requests: local_journal.JournalReader) -> None:
        super().__init__(store, blobs)
        self._requests = requests

    def event(self, event_id: str) -> journal_view.EventRecord | None:
        record = super().event(event_id)
        received = self._requests.event(event_id)
        if record is None:  # transform has not seen it yet
            return received
        return replace(record, requests=received.requests) if received else record

    def rejected(
        self, limit: int, before: int | None = None, source: str | None = None
    ) -> tuple[journal_view.RequestRow, ...]:
        return self._requests.rejected(limit, before, source)

    def totals(self) -> journal_view.Totals:
        return journal_view.Totals(self._requests.totals().rejected, super().totals().dead_letters)


@dataclass(frozen=True, slots=True)
class AwsPorts:
    """The ports of a stack. Each call makes a port of its own, and raises what `bucket_name` or `queue_urls` raise."""

    place: client.AwsPlace
    prefix: str
    bucket_name: Callable[[], str]
    queue_urls: Callable[[], Mapping[str, str]]

    def journal(self) -> journal_view.JournalView:
        return dynamo_journal.DynamoJournalReader(self._journal_store(), self.make_blobs())

    def make_ledger(self) -> ledger.DynamoLedger:
        return ledger.DynamoLedger(self.place, self.prefix)

    def make_blobs(self) -> s3.S3Blobs:
        return s3.S3Blobs(self.place, self.bucket_name())

    def make_records(self) -> DocumentRecords:
        return DocumentRecords(documents.DynamoDocuments(self.place, self.prefix, "records"))

    def make_documents(self) -> documents.DynamoDocuments:
        return documents.DynamoDocuments(self.place, self.prefix)

    def make_bus(self) -> SqsBus:
        return SqsBus(self.place, self.queue_urls())

    def make_leases(self) -> documents.DynamoDocuments:
        return self.make_documents()

    def make_inboxes(self, project: str | None = None) -> AwsInboxes:  # noqa: ARG002 Google's
        return AwsInboxes(self.place, self.prefix)

    def _journal_store(self) -> dynamo.Dynamo:
        return dynamo.Dynamo(self.place, self.prefix, "journal_unavailable")


def stack_ports(deployed: DeployedStack) -> AwsPorts:
    return AwsPorts(deployed.api.place(), deployed.target.prefix, deployed.bucket, lambda: _queue_urls(deployed))


def open_aws_state(deployed: DeployedStack, environ: Mapping[str, str]) -> AbstractContextManager[state.State]:
    """Open the state of the stack. Raises AwsFault."""
    return state.open_cloud_state(stack_ports(deployed), environ, BEYOND_REACH)


def _queue_urls(deployed: DeployedStack) -> dict[str, str]:
    """Return the URL of each topic's queue. Only some stacks have the queue of recovered events. Raises AwsFault."""
    urls = {topic: deployed.queue_url(topic) for topic in ports.TOPIC_NAMES}
    with suppress(AwsFault):
        urls[ports.RECOVERED] = deployed.queue_url(ports.RECOVERED)
    return urls


class LocalAws(AwsPorts):
    @property
    def endpoint(self) -> str:
        return self.place.endpoint or ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the ports for the environment of a function on it."""
        settings = read_settings(environ)
        bucket = settings.bucket
        assert bucket
        keys = Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"])
        place = client.AwsPlace(environ["AWS_REGION"], lambda: keys, settings.aws_endpoint)
        return cls(place, settings.table_prefix, lambda: bucket, lambda: settings.queues)

    def make_journal(self, requests: local_journal.JournalReader) -> DevJournal:
        return DevJournal(self._journal_store(), self.make_blobs(), requests)

    async def backlogs(self) -> Sequence[status.Backlog]:
        """Return the messages of each queue, those that a function has at the moment included. Raises OSError."""
        with closing(client.AwsClient(self.place, "sqs")) as sqs:
            queues = [url for topic, url in self.queue_urls().items() if topic in ports.TOPIC_NAMES]
            urls = [f"{url}{suffix}" for suffix in ("", ports.UNDELIVERED) for url in queues]
            counts = [await _count(sqs, url) for url in urls]
        return [
            status.Backlog(url.rpartition("/")[2], count, None, delayed)
            for url, (count, delayed) in zip(urls, counts, strict=True)
        ]


def counts_of(attributes: jsontext.JsonObject) -> tuple[int, int]:
    """Return the number of messages that are due or that a function has, and of those that SQS keeps back."""
    numbers = {name: int(str(attributes.get(name, "0"))) for name in COUNTS}
    delayed = numbers.pop(_DELAYED)
    return sum(numbers.values()), delayed


async def _count(sqs: client.AwsClient, url: str) -> tuple[int | None, int]:
    body = jsontext.texts_json({"QueueUrl": url, "AttributeNames": list(COUNTS)})
    answer = await sqs.action("AmazonSQS.GetQueueAttributes", body, CALL_SECONDS, may_repeat=True)
    attributes = jsontext.value_at(jsontext.from_json(answer.body), "Attributes") if answer.status == 200 else None
    return counts_of(attributes) if isinstance(attributes, dict) else (None, 0)
