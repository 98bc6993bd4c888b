"""A front before a local DynamoDB: it counts requests, and does what no stand-in does: throttles, and loses answers."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.tables import TABLES
from shared.jsontext import Json, JsonObject, list_at, mapping_at, mappings_at
from tests.gcp.serving import served

CLIENT: web.AppKey[ClientSession] = web.AppKey("client")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next request of an action.

    error     the error that is answered instead of doing it; empty: it is done, and its answer is lost
    is_done   it is done all the same
    leaves    of a BatchGetItem, the number of keys that are answered, the others being left unprocessed;
              of a Query, the number of items on its page
    """

    action: str
    error: str = ""
    is_done: bool = False
    leaves: int | None = None


@dataclass
class DynamoFront:
    """`behind` is where the requests go on to; `place` is where clients find the front.

    returns_items: it reads the item that a condition did not hold for, where what is behind does not return it
    """

    behind: AwsPlace
    place: AwsPlace
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    requests: list[JsonObject] = field(default_factory=list)
    returns_items: bool = False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=20_000_000)
        app.router.add_post("/", self._handle)
        app.cleanup_ctx.append(_client)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        action = request.headers["X-Amz-Target"].rpartition(".")[2]
        body = await request.read()
        document = json.loads(body)
        self.counts[action] += 1
        self.requests.append(document)
        fault = next((each for each in self.faults if each.action == action), None)
        if fault:
            self.faults.remove(fault)
        if fault and fault.error and not fault.is_done:
            return _error(fault.error)
        left: JsonObject | None = None
        if fault and fault.leaves is not None and action == "Query":
            document["Limit"] = fault.leaves
        elif fault and fault.leaves is not None:
            left = _cut(document, fault.leaves)
        headers = {name: value for name, value in request.headers.items() if name not in {"Content-Length", "Host"}}
        client = request.app[CLIENT]
        status, content = await self._forward(client, headers, document)
        if self.returns_items and status == 400 and b"ConditionalCheckFailedException" in content:
            content = await self._with_item(client, headers, document, content)
        if fault and fault.error:
            return _error(fault.error)
        if left:
            content = json.dumps({**json.loads(content), "UnprocessedKeys": left}).encode()
        elif fault and fault.leaves is None:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=status, body=content, content_type="application/x-amz-json-1.0")

    async def _forward(
        self, client: ClientSession, headers: Mapping[str, str], document: JsonObject
    ) -> tuple[int, bytes]:
        async with client.post(f"{self.behind.endpoint}/", data=json.dumps(document), headers=headers) as answer:
            return answer.status, await answer.read()

    async def _with_item(
        self, client: ClientSession, headers: Mapping[str, str], document: JsonObject, content: bytes
    ) -> bytes:
        item = document.get("Item")
        key = document["Key"] if item is None else _key_of(str(document["TableName"]), item)
        reading = {**headers, "X-Amz-Target": "DynamoDB_20120810.GetItem"}
        request = {"TableName": document["TableName"], "Key": key, "ConsistentRead": True}
        _, found = await self._forward(client, reading, request)
        return json.dumps({**json.loads(content), **json.loads(found)}).encode()


def _key_of(table_name: str, item: Json) -> JsonObject:
    [table] = [each for each in TABLES if table_name.endswith(f"-{each.name}")]
    return {name: mapping_at(item)[name] for name in (table.key, table.sort) if name}


def _cut(document: JsonObject, count: int) -> JsonObject:
    """Take all keys but the first few out of a request, and return them as what is left."""
    [(table, wanted)] = mappings_at(document, "RequestItems").items()
    keys = list_at(wanted, "Keys")
    wanted["Keys"] = keys[:count]
    return {table: {**wanted, "Keys": keys[count:]}}


def _error(name: str) -> web.Response:
    status = 500 if name == "InternalServerError" else 400
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "as a test wants it"}
    return web.json_response(body, status=status, content_type="application/x-amz-json-1.0")


async def _client(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession() as session:
        app[CLIENT] = session
        yield


@contextmanager
def dynamo_front(place: AwsPlace, *, returns_items: bool = False) -> Iterator[DynamoFront]:
    front = DynamoFront(behind=place, place=place, returns_items=returns_items)
    with served(front.app()) as host:
        front.place = place._replace(endpoint=f"http://{host}")
        yield front
