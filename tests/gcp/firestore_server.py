"""Firestore's REST API before a store, each request and answer checked against Google's description.

The store keeps documents; here are what a small one lacks: transactions, of which the one whose reads others have
overwritten is aborted; masks; and the rule that a query which one field's index cannot answer is refused.
"""

import base64
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from shared.cloud.gcp.collections import UNINDEXED
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, value_at
from shared.times import rfc3339
from tests.gcp.description import Description

CODES: Final = {
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "NOT_FOUND": 404,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "PERMISSION_DENIED": 403,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL": 500,
    "RESOURCE_EXHAUSTED": 429,
}
TIME: Final = "2026-01-01T00:00:00Z"
STREAMS: Final = ("batchGet", "runQuery", "runAggregationQuery")


class Rejection(Exception):
    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class Store(Protocol):
    """`read` answers the documents that there are, by name; `write` takes all of a commit's or raises Rejection."""

    def read(self, names: list[str]) -> dict[str, JsonObject]: ...

    def write(self, writes: list[JsonObject]) -> JsonObject: ...

    def query(self, parent: str, query: JsonObject) -> list[JsonObject]: ...


@dataclass
class Fault:
    """The next call of this method is refused with this status; with none, its answer is lost after it was done."""

    method: str
    status: str | None = None


class FirestoreServer:
    """`counts`: calls by method, and documents read and written, as Google bills them. `faults` come in order.

    `peers`: one for each connection that was used.
    """

    def __init__(self, store: Store) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self.peers: set[object] = set()
        self.store = store
        self._description = Description("firestore", "v1")
        self._versions: Counter[str] = Counter()
        self._times: dict[str, str] = {}
        self._transactions: dict[str, dict[str, int]] = {}

    @property
    def open_transactions(self) -> int:
        return len(self._transactions)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=11_000_000)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        name = request.path.rpartition(":")[2]
        content = await request.read()
        self.counts["bytes received"] += len(content)
        try:
            body: Json = json.loads(content)
            method = self._description.method(request.method, request.path, request.query, body)
        except (AssertionError, ValueError) as error:
            self.problems.append(str(error))
            return _refused(name, Rejection("INVALID_ARGUMENT", str(error)))
        assert isinstance(body, dict)
        fault = self._fault(name)
        self.counts[name] += 1
        try:
            if fault and fault.status:
                raise Rejection(fault.status, "as the test asked")
            parent = request.path.removeprefix("/v1/").rpartition(":")[0]
            answer = self._answer(name, parent, body)
        except Rejection as rejection:
            return _refused(name, rejection)
        self._description.check_answer(method, answer)
        if fault:
            request.transport.close()
        return web.json_response(answer)

    def _fault(self, name: str) -> Fault | None:
        if self.faults and self.faults[0].method == name:
            return self.faults.pop(0)
        return None

    def _answer(self, name: str, parent: str, body: JsonObject) -> Json:
        match name:
            case "batchGet":
                return self._batch_get(body)
            case "commit":
                return self._commit(body)
            case "rollback":
                self._transactions.pop(str(body.get("transaction")), None)
                return {}
            case "runQuery":
                return self._run_query(parent, body)
            case "runAggregationQuery":
                return self._count(parent, body)
        raise Rejection("INVALID_ARGUMENT", f"{name} is not served here")

    def _batch_get(self, body: JsonObject) -> Json:
        names = _texts(body.get("documents"))
        found = self.store.read(names)
        self.counts["documents read"] += len(names)
        answers: list[Json] = []
        if "newTransaction" in body:
            transaction = base64.b64encode(f"transaction {self.counts['batchGet']}".encode()).decode()
            self._transactions[transaction] = {name: self._versions[name] for name in names}
            answers.append({"transaction": transaction})
        mask = _paths(body.get("mask"))
        for name in names:
            time: JsonObject = {"readTime": TIME}
            answers.append(
                {"found": self._answered(found[name], mask), **time} if name in found else {"missing": name, **time}
            )
        return answers

    def _commit(self, body: JsonObject) -> Json:
        transaction = body.get("transaction")
        if transaction is not None:
            reads = self._transactions.pop(str(transaction), None)
            if reads is None:
                raise Rejection("INVALID_ARGUMENT", "the transaction is over, or never was")
            if any(self._versions[name] != version for name, version in reads.items()):
                raise Rejection("ABORTED", "too much contention on these documents")
        writes = objects_at(body.get("writes"))
        for write in writes:
            version = value_at(write, "currentDocument", "updateTime")
            if version is not None and version != self._time_of(_written_name(write)):
                raise Rejection("FAILED_PRECONDITION", "the stored version does not match the required base version")
        answer = self.store.write([_without_version(write) for write in writes])
        self.counts["documents written"] += len(writes)
        for name in map(_written_name, writes):
            self._versions[name] += 1
            self._times[name] = f"{rfc3339(time.time())[:19]}.{self._versions[name]:06d}Z"
        results: list[Json] = [{"updateTime": self._time_of(_written_name(write))} for write in writes]
        return {**answer, "writeResults": results}

    def _time_of(self, name: str) -> str:
        """Return the time of the last write. Each write of a document has another one."""
        return self._times.get(name, TIME)

    def _run_query(self, parent: str, body: JsonObject) -> Json:
        query = _checked(body.get("structuredQuery"))
        found = self.store.query(parent, query)
        self.counts["documents read"] += max(1, len(found))
        select = query.get("select")
        mask = (
            [path for each in objects_at(select.get("fields")) for path in _path(each)]
            if isinstance(select, dict)
            else []
        )
        if not found:
            return [{"readTime": TIME}]
        return [{"document": self._answered(document, mask), "readTime": TIME} for document in found]

    def _answered(self, document: JsonObject, mask: list[str]) -> JsonObject:
        return {**_masked(document, mask), "updateTime": self._time_of(str(document["name"]))}

    def _count(self, parent: str, body: JsonObject) -> Json:
        aggregation = mapping_at(body.get("structuredAggregationQuery"))
        found = self.store.query(parent, _checked(aggregation.get("structuredQuery")))
        self.counts["documents read"] += 1 + len(found) // 1_000
        fields: JsonObject = {"n": {"integerValue": str(len(found))}}
        return [{"result": {"aggregateFields": fields}, "readTime": TIME}]


def _refused(name: str, rejection: Rejection) -> web.Response:
    code = CODES[rejection.status]
    document: JsonObject = {"error": {"code": code, "message": str(rejection), "status": rejection.status}}
    return web.json_response([document] if name in STREAMS else document, status=code)


def _checked(query: Json) -> JsonObject:
    """As Google answers where an index is missing: a composite one, or a field that the deployment exempted."""
    assert isinstance(query, dict)
    order, filters = objects_at(query, "orderBy"), _filters(mapping_at(query, "where"))
    fields = {_path(each)[0] for each in filters} | {_path(each)[0] for each in order}
    [collection] = [str(each["collectionId"]) for each in objects_at(query["from"])]
    if any(each["op"] == "EQUAL" for each in filters) and {_path(each)[0] for each in order} == {"__name__"}:
        fields.discard("__name__")  # which every index of one field ends with
    if len(fields) > 1 or fields & set(UNINDEXED.get(collection, ())):
        raise Rejection("FAILED_PRECONDITION", f"the query requires an index over {sorted(fields)}")
    if any("LESS" in str(each["op"]) or "GREATER" in str(each["op"]) for each in filters) and not order:
        raise Rejection("INVALID_ARGUMENT", "these tests want the order of a range to be said")
    return query


def _filters(where: JsonObject) -> list[JsonObject]:
    if "compositeFilter" in where:
        return [found for each in objects_at(where, "compositeFilter", "filters") for found in _filters(each)]
    return [mapping_at(where, "fieldFilter")] if "fieldFilter" in where else []


def _path(value: JsonObject) -> list[str]:
    field = value.get("field", value)
    return [str(field["fieldPath"])] if isinstance(field, dict) else []


def _paths(mask: Json) -> list[str]:
    return _texts(mask.get("fieldPaths")) if isinstance(mask, dict) else []


def _masked(document: JsonObject, mask: list[str]) -> JsonObject:
    fields = mapping_at(document, "fields")
    return {**document, "fields": {name: fields[name] for name in mask if name in fields}} if mask else document


def _written_name(write: JsonObject) -> str:
    update = write.get("update")
    return str(update["name"] if isinstance(update, dict) else write["delete"])


def _without_version(write: JsonObject) -> JsonObject:
    """The store has times of its own."""
    current = write.get("currentDocument")
    is_versioned = isinstance(current, dict) and "updateTime" in current
    return {name: value for name, value in write.items() if not (is_versioned and name == "currentDocument")}


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
