"""The tables of a deployment of its own, on a local AWS that all of a session's tests may share."""

import base64
import json
import time
import urllib.request
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Final, Protocol
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo_values import Fields, from_item
from shared.cloud.aws.tables import TABLES, Table, create_request
from shared.jsontext import Json, JsonObject
from shared.signatures.aws_v4 import RequestLine, Scope, signed_headers
from tests.running.processes import PATIENCE_SECONDS

_PREFIXES: Final = count(1)


class _Client(Protocol):
    """What these tests use of boto3's client."""

    def scan(self, **request: Json) -> JsonObject: ...


@dataclass(frozen=True, slots=True)
class DynamoTables:
    place: AwsPlace
    prefix: str

    @staticmethod
    def create(place: AwsPlace) -> "DynamoTables":
        tables = DynamoTables(place, f"test-{next(_PREFIXES)}-")
        for table in TABLES:
            create_table(place, table, tables.prefix)
        return tables

    def items(self, table: Table) -> list[Fields]:
        """Return all items of a table, as they are stored."""
        return [from_item(each) for each in raw_items(self.place, table, self.prefix)]


def create_table(place: AwsPlace, table: Table, prefix: str) -> None:
    _wait_for(place, _call(place, "CreateTable", create_request(table, prefix))["TableDescription"])


def raw_items(place: AwsPlace, table: Table, prefix: str) -> list[Json]:
    """Return all items of a table, as DynamoDB's API has them."""
    found = dynamo_client(place).scan(TableName=f"{prefix}{table.name}")["Items"]
    items: list[Json] = json.loads(json.dumps(found, default=_base64))
    return items


def put_item(place: AwsPlace, table_name: str, item: Json) -> None:
    _call(place, "PutItem", {"TableName": table_name, "Item": item})


def _wait_for(place: AwsPlace, table: Json) -> None:
    """Return once the table takes requests: dynalite makes it a moment later."""
    for _ in range(500):
        assert isinstance(table, dict)
        if table["TableStatus"] == "ACTIVE":
            return
        time.sleep(0.01)
        table = _call(place, "DescribeTable", {"TableName": table["TableName"]})["Table"]
    raise AssertionError(f"{table} did not become active")


def _call(place: AwsPlace, action: str, body: JsonObject) -> JsonObject:
    """Call an action without boto3, whose calls cost more: each test makes tables of its own."""
    assert place.endpoint
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"DynamoDB_20120810.{action}"}
    request = RequestLine("POST", urlsplit(place.endpoint).netloc, "/")
    scope = Scope(place.region, "dynamodb")
    signed = signed_headers(request, headers, content, scope, place.credentials(), time.time())
    asked = urllib.request.Request(place.endpoint, content, signed)
    with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as answer:
        document: JsonObject = json.loads(answer.read())
        return document


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
