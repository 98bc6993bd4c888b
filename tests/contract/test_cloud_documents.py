"""What is Firestore's and DynamoDB's own where they keep documents: cost, lost answers, throttling and expiry."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.tables import DOCUMENTS, EXPIRES_AT
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.errors import Temporary
from shared.store_ports import Document
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront, Fault as DynamoFault, dynamo_front
from tests.contract.written_documents import NOW, TENANTS, texts_of, write
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_server import Fault

# On Firestore


@pytest.fixture
async def on_firestore(firestore: EmulatedFirestore) -> AsyncIterator[FirestoreDocuments]:
    made = FirestoreDocuments(firestore.connect("documents_unavailable", max_answer_bytes=1_500_000))
    yield made
    made.close()
    await asyncio.sleep(0)  # in which its connections are gone


async def test_on_firestore_more_than_an_answer_holds_is_asked_for_in_parts(
    on_firestore: FirestoreDocuments, firestore: EmulatedFirestore
) -> None:
    texts = ["x" * 300_000 if 4 <= number < 12 else "small" for number in range(16)]
    for number, text in enumerate(texts):
        await write(on_firestore, f"m{number:02}", text)
    assert texts_of(await on_firestore.page(TENANTS, 16)) == texts
    assert firestore.server.counts["runQuery"] <= 6
    too_large = FirestoreDocuments(firestore.connect("documents_unavailable", max_answer_bytes=100_000))
    with pytest.raises(Temporary, match="larger than"):
        await too_large.page(TENANTS, 16)
    too_large.close()


async def test_on_firestore_a_write_whose_answer_was_lost_is_known_as_made(
    on_firestore: FirestoreDocuments, firestore: EmulatedFirestore
) -> None:
    version = await write(on_firestore, "acme", "one")
    for text, expected in (("two", version), ("three", None)):
        firestore.server.faults = [Fault("commit")]
        version = await on_firestore.write(TENANTS, "acme", text, expected) or ""
        assert await on_firestore.get(TENANTS, "acme") == Document("acme", text, version)
    firestore.server.faults = [Fault("commit")]
    assert await on_firestore.delete(TENANTS, "acme", version)


# On DynamoDB


@pytest.fixture
def front(_dynalite: AwsPlace) -> Iterator[DynamoFront]:
    with dynamo_front(_dynalite) as front:
        yield front
    assert front.faults == []


@pytest.fixture
async def on_dynamo(front: DynamoFront, npm_dynamo: DynamoTables) -> AsyncIterator[DynamoDocuments]:
    made = DynamoDocuments(front.place, npm_dynamo.prefix)
    yield made
    made.close()
    await asyncio.sleep(0)


async def test_on_dynamodb_a_write_with_a_lost_answer_is_known(on_dynamo: DynamoDocuments, front: DynamoFront) -> None:
    first = await write(on_dynamo, "acme", "one")
    front.faults = [DynamoFault("PutItem", "InternalServerError", is_done=True)]
    second = await on_dynamo.write(TENANTS, "acme", "two", first)
    assert await on_dynamo.get(TENANTS, "acme") == Document("acme", "two", second or "")
    front.faults = [DynamoFault("DeleteItem", "InternalServerError", is_done=True)]
    assert await on_dynamo.delete(TENANTS, "acme", second)


async def test_on_dynamodb_a_throttled_call_is_made_again_and_a_page_is_read_to_its_end(
    on_dynamo: DynamoDocuments, front: DynamoFront
) -> None:
    throttled = "ProvisionedThroughputExceededException"
    front.faults = [DynamoFault("PutItem", throttled), DynamoFault("Query", throttled), DynamoFault("Query", leaves=2)]
    for id in "abcde":
        await write(on_dynamo, id, id)
    assert texts_of(await on_dynamo.page(TENANTS, 10)) == [*"abcde"]
    assert (front.counts["PutItem"], front.counts["Query"]) == (6, 3)


async def test_on_dynamodb_a_document_expires_in_the_second_after_its_time(
    on_dynamo: DynamoDocuments, npm_dynamo: DynamoTables
) -> None:
    await on_dynamo.write(TENANTS, "acme", "one", None, NOW + 0.5)
    await on_dynamo.write(TENANTS, "other", "one")
    assert [item.get(EXPIRES_AT) for item in npm_dynamo.items(DOCUMENTS)] == [NOW + 1, None]
