"""The stores of a deployment on AWS: its tables, bucket and queues, over which cloud_state.py opens its state."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.history.cloud_journal import CloudJournal
from deploy.history.dynamo_read import DynamoJournalReader
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.s3 import S3Blobs
from shared.cloud.aws.sqs import SqsBus


@dataclass(frozen=True, slots=True)
class AwsStores:
    """The ports of one deployment. Each call makes a port of its own.

    prefix  before the name of each table
    queues  the URL of each topic's queue
    """

    place: AwsPlace
    prefix: str
    bucket: str
    queues: Mapping[str, str]

    def journal(self, now: Callable[[], float] = time.time) -> CloudJournal:
        store, blobs = Dynamo(self.place, self.prefix, "journal_unavailable"), self.make_blobs()
        return CloudJournal(DynamoJournalReader(store, blobs, now), (store, blobs))

    def make_ledger(self) -> DynamoLedger:
        return DynamoLedger(self.place, self.prefix)

    def make_blobs(self) -> S3Blobs:
        return S3Blobs(self.place, self.bucket)

    def make_bus(self) -> SqsBus:
        return SqsBus(self.place, self.queues)
