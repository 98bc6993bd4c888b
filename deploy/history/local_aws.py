"""The state of `hookchain dev --platform aws`: the local AWS, beside the requests in the state folder."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, Self

from deploy.history.dynamo_journal import DynamoJournalReader
from deploy.history.journal_view import EventRecord, RequestRow, Totals
from deploy.history.local_journal import JournalReader
from deploy.history.status import Backlog
from shared.cloud.aws.client import AwsClient, AwsPlace
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.s3 import S3Blobs
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.kept_by_key import DocumentRecords
from shared.jsontext import from_json, texts_json
from shared.settings import Settings, read_settings
from shared.signatures.aws_v4 import Credentials

UNDELIVERED: Final = "-undelivered"
CALL_SECONDS: Final = 5.0
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


class DevJournal(DynamoJournalReader):
    """The journal in the local AWS, with the requests that receive's log brought into the state folder."""

    def __init__(self, store: Dynamo, blobs: S3Blobs, requests: JournalReader) -> None:
        super().__init__(store, blobs)
        self._requests = requests

    def event(self, event_id: str) -> EventRecord | None:
        record, received = super().event(event_id), self._requests.event(event_id)
        if record is None:  # transform has not seen it yet
            return received
        return replace(record, requests=received.requests) if received else record

    def rejected(self, limit: int, before: int | None = None) -> tuple[RequestRow, ...]:
        return self._requests.rejected(limit, before)

    def totals(self) -> Totals:
        return Totals(self._requests.totals().rejected, super().totals().dead_letters)


@dataclass(frozen=True, slots=True)
class LocalAws:
    """The ports of the local AWS. Each call makes a port of its own."""

    place: AwsPlace
    endpoint: str
    bucket: str
    settings: Settings

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the ports for the environment of a function on it."""
        settings = read_settings(environ)
        assert settings.aws_endpoint
        assert settings.bucket
        keys = Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"])
        place = AwsPlace(environ["AWS_REGION"], lambda: keys, settings.aws_endpoint)
        return cls(place, settings.aws_endpoint, settings.bucket, settings)

    def make_journal(self, requests: JournalReader) -> DevJournal:
        store = Dynamo(self.place, self.settings.table_prefix, "journal_unavailable")
        return DevJournal(store, self.make_blobs(), requests)

    def make_ledger(self) -> DynamoLedger:
        return DynamoLedger(self.place, self.settings.table_prefix)

    def make_blobs(self) -> S3Blobs:
        return S3Blobs(self.place, self.bucket)

    def make_records(self) -> DocumentRecords:
        return DocumentRecords(DynamoDocuments(self.place, self.settings.table_prefix, "records"))

    def make_documents(self) -> DynamoDocuments:
        return DynamoDocuments(self.place, self.settings.table_prefix)

    def make_bus(self) -> SqsBus:
        return SqsBus(self.place, self.settings.queues)

    async def backlogs(self) -> Sequence[Backlog]:
        """Return the messages of each queue, those that a function has at the moment included. Raises OSError."""
        with closing(AwsClient(self.place, "sqs")) as sqs:
            urls = [f"{url}{suffix}" for suffix in ("", UNDELIVERED) for url in self.settings.queues.values()]
            return [Backlog(url.rpartition("/")[2], await _count(sqs, url), None) for url in urls]


async def _count(sqs: AwsClient, url: str) -> int | None:
    body = texts_json({"QueueUrl": url, "AttributeNames": list(_COUNTS)})
    answer = await sqs.action("AmazonSQS.GetQueueAttributes", body, CALL_SECONDS, may_repeat=True)
    document = from_json(answer.body) if answer.status == 200 else None
    attributes = document.get("Attributes") if isinstance(document, dict) else None
    if not isinstance(attributes, dict):
        return None
    return sum(int(str(attributes.get(name, "0"))) for name in _COUNTS)
