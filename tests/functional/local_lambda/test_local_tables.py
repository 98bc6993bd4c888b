"""The tables of the local AWS, where an earlier version left some."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config.running_dev import HOST
from deploy.dev.aws.environments import AwsTools
from deploy.dev.aws.local_aws import ministack
from deploy.dev.aws.stack import PREFIX, ensure, place_at
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.tables import DELIVERIES, DELIVERIES_BY_ENDPOINT, TABLES, create_request
from shared.ledger import Claimed
from tests.contract.claims import LEASE, MESSAGE, T, delivery

NAME = f"customers:acme:ep_{'0' * 20}"


@pytest.mark.slow
async def test_a_table_of_an_earlier_version_gets_the_indexes_that_it_lacks(tools: AwsTools, tmp_path: Path) -> None:
    earlier = replace(DELIVERIES, indexes=tuple({*DELIVERIES.indexes} - {DELIVERIES_BY_ENDPOINT}))
    async with ministack(tools, tmp_path) as port:
        place = place_at(f"http://{HOST}:{port}")
        await ensure(place, [create_request(earlier, PREFIX)])
        ledger, documents = DynamoLedger(place, PREFIX), DynamoDocuments(place, PREFIX)
        assert isinstance(await ledger.claim(delivery(1), MESSAGE, T, LEASE), Claimed)
        await ensure(place, [create_request(table, PREFIX) for table in TABLES])
        claim = await ledger.claim(delivery(2, NAME), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert [row.key for row in await ledger.rows(9, destination=NAME)] == [claim.row.key]
        assert len(await ledger.rows(9)) == 2
        assert await documents.write("tenants", "acme", "{}")
        ledger.close()
        documents.close()
        await asyncio.sleep(0)
