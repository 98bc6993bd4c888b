"""Documents as the contract's suites write and read them."""

from collections.abc import Sequence

from shared.store_ports import Document, Documents

NOW = 1_790_000_000.0
TENANTS = "tenants"


async def write(documents: Documents, id: str, text: str, partition: str = TENANTS) -> str:
    version = await documents.write(partition, id, text)
    assert version
    return version


def texts_of(found: Sequence[Document]) -> list[str]:
    return [each.text for each in found]
