"""The tables of a deployment of its own, on a local AWS that all of a session's tests may share."""

import base64
import json
import time
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Final, Protocol

import boto3
from botocore.config import Config

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo_values import Fields, from_item
from shared.cloud.aws.tables import TABLES, Table, create_request
from shared.jsontext import Json, JsonObject

_PREFIXES: Final = count(1)


class _Client(Protocol):
    """What these tests use of boto3's client."""

    def create_table(self, **request: Json) -> JsonObject: ...

    def describe_table(self, *, TableName: str) -> JsonObject: ...  # noqa: N803 boto3's

    def scan(self, **request: Json) -> JsonObject: ...


@dataclass(frozen=True, slots=True)
class DynamoTables:
    place: AwsPlace
    prefix: str

    @staticmethod
    def create(place: AwsPlace) -> "DynamoTables":
        tables = DynamoTables(place, f"test-{next(_PREFIXES)}-")
        for table in TABLES:
            dynamo_client(place).create_table(**create_request(table, tables.prefix))
        for table in TABLES:
            _wait_for(place, f"{tables.prefix}{table.name}")
        return tables

    def items(self, table: Table) -> list[Fields]:
        """Return all items of a table, as they are stored."""
        found = dynamo_client(self.place).scan(TableName=f"{self.prefix}{table.name}")["Items"]
        assert isinstance(found, list)
        return [from_item(json.loads(json.dumps(each, default=_base64))) for each in found]


def _wait_for(place: AwsPlace, table: str) -> None:
    """Return once the table takes requests: dynalite makes it a moment later."""
    for _ in range(500):
        found = dynamo_client(place).describe_table(TableName=table)["Table"]
        assert isinstance(found, dict)
        if found["TableStatus"] == "ACTIVE":
            return
        time.sleep(0.01)
    raise AssertionError(f"{table} did not become active")


def _base64(value: object) -> str:
    """Return what boto3 decoded as it came."""
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


@cache
def dynamo_client(place: AwsPlace) -> _Client:
    keys = place.credentials()
    client: _Client = boto3.client(
        "dynamodb",
        endpoint_url=place.endpoint,
        region_name=place.region,
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        config=Config(retries={"max_attempts": 1}),
    )
    return client
