"""A front before a local DynamoDB: it counts requests, and does what no stand-in does: throttles, and loses answers."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

from shared.cloud.aws.client import AwsPlace
from shared.jsontext import JsonObject
from tests.gcp.serving import served

CLIENT: web.AppKey[ClientSession] = web.AppKey("client")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next request of an action.

    error     the error that is answered instead of doing it; empty: it is done, and its answer is lost
    is_done   it is done all the same
    leaves    the number of keys of a BatchGetItem that are answered; the others are left unprocessed
    """

    action: str
    error: str = ""
    is_done: bool = False
    leaves: int | None = None


@dataclass
class DynamoFront:
    """`behind` is where the requests go on to; `place` is where clients find the front."""

    behind: AwsPlace
    place: AwsPlace
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, JsonObject]] = field(default_factory=list)

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
        self.requests.append((action, document))
        fault = next((each for each in self.faults if each.action == action), None)
        if fault:
            self.faults.remove(fault)
        if fault and fault.error and not fault.is_done:
            return _error(fault.error)
        left = _cut(document, fault.leaves) if fault and fault.leaves is not None else None
        headers = {name: value for name, value in request.headers.items() if name not in {"Content-Length", "Host"}}
        client, url = request.app[CLIENT], f"{self.behind.endpoint}/"
        async with client.post(url, data=json.dumps(document), headers=headers) as answer:
            content = await answer.read()
        if fault and fault.error:
            return _error(fault.error)
        if left:
            content = json.dumps({**json.loads(content), "UnprocessedKeys": left}).encode()
        elif fault:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=answer.status, body=content, content_type="application/x-amz-json-1.0")


def _cut(document: JsonObject, count: int) -> JsonObject:
    """Take all keys but the first few out of a request, and return them as what is left."""
    tables = document["RequestItems"]
    assert isinstance(tables, dict)
    [(table, wanted)] = tables.items()
    assert isinstance(wanted, dict)
    keys = wanted["Keys"]
    assert isinstance(keys, list)
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
def dynamo_front(place: AwsPlace) -> Iterator[DynamoFront]:
    front = DynamoFront(behind=place, place=place)
    with served(front.app()) as host:
        front.place = place._replace(endpoint=f"http://{host}")
        yield front
