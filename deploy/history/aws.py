"""The state of a stack on AWS, read and changed with the operator's own credentials."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from deploy.amazon.stack import DeployedStack
from deploy.history.cloud_journal import CloudJournal
from deploy.history.cloud_state import open_cloud_state
from deploy.history.dynamo_read import DynamoJournalReader
from deploy.history.state import State
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.records import DynamoRecords
from shared.cloud.aws.s3 import S3Blobs
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.platform import RECORD_PREFIX
from shared.ports import TOPIC_NAMES

BEYOND_REACH: Final = (
    "messages in SQS: an event that is being processed is stored again. SQS keeps a message for 14 days at most: run "
    "the command again then",
    "DynamoDB's point-in-time recovery: it can restore the tables of the last 35 days",
    "backups and exports of the tables and the bucket, if you made them",
)


@dataclass(frozen=True, slots=True)
class StackPorts:
    """The ports of one stack. Each call makes a port of its own. Raises AwsFault."""

    deployed: DeployedStack

    def journal(self) -> CloudJournal:
        store = Dynamo(self.deployed.api.place(), self.deployed.target.prefix, "journal_unavailable")
        blobs = self.make_blobs()
        return CloudJournal(DynamoJournalReader(store, blobs), (store, blobs))

    def make_ledger(self) -> DynamoLedger:
        return DynamoLedger(self.deployed.api.place(), self.deployed.target.prefix)

    def make_blobs(self) -> S3Blobs:
        return S3Blobs(self.deployed.api.place(), self.deployed.bucket())

    def make_records(self) -> DynamoRecords:
        return DynamoRecords(self.deployed.api.place(), self.deployed.target.prefix, RECORD_PREFIX)

    def make_documents(self) -> DynamoDocuments:
        return DynamoDocuments(self.deployed.api.place(), self.deployed.target.prefix)

    def make_bus(self) -> SqsBus:
        queues = {topic: self.deployed.queue_url(topic) for topic in TOPIC_NAMES}
        return SqsBus(self.deployed.api.place(), queues)


def open_aws_state(deployed: DeployedStack, environ: Mapping[str, str]) -> AbstractContextManager[State]:
    """Raises AwsFault."""
    return open_cloud_state(StackPorts(deployed), environ, BEYOND_REACH)
