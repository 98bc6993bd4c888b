"""The Documents port on DynamoDB: an item each, whose keys are its partition and its id."""

from collections.abc import Sequence
from math import ceil
from secrets import token_hex
from typing import Final

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import Condition, Dynamo, Fields
from shared.cloud.aws.tables import DOCUMENT_TEXT, DOCUMENTS, EXPIRES_AT
from shared.store_ports import NO_VERSION, Document

VERSION: Final = "version"
_IS_NEW: Final = Condition(f"attribute_not_exists(#{DOCUMENTS.key})")


class DynamoDocuments:
    """A version is drawn at random, so that a write whose answer was lost finds its own."""

    def __init__(self, place: AwsPlace, table_prefix: str) -> None:
        self._store = Dynamo(place, table_prefix, "documents_unavailable")

    async def get(self, partition: str, id: str) -> Document | None:
        found = await self._store.get(DOCUMENTS, partition, id)
        return _document(found) if found else None

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        return [_document(each) for each in await self._store.query_sorted(DOCUMENTS, partition, limit, after, until)]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        version = token_hex(8)
        item: Fields = {
            DOCUMENTS.key: partition,
            DOCUMENTS.sort: id,
            DOCUMENT_TEXT: text,
            VERSION: version,
            EXPIRES_AT: None if expires_at is None else ceil(expires_at),
        }
        found = await self._store.put(DOCUMENTS, item, _condition(expected))
        return version if found is None or found.get(VERSION) == version else None

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        found = await self._store.delete(DOCUMENTS, partition, _condition(expected), id)
        return not found  # empty where there is none any more

    def close(self) -> None:
        self._store.close()


def _condition(expected: str | None) -> Condition | None:
    if expected is None:
        return None
    return _IS_NEW if expected == NO_VERSION else Condition(f"#{VERSION} = :expected", {"expected": expected})


def _document(found: Fields) -> Document:
    return Document(str(found[DOCUMENTS.sort]), str(found[DOCUMENT_TEXT]), str(found[VERSION]))
