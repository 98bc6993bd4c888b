"""A client of Firestore's REST API: it reads, queries and writes documents, one at a time or several in a transaction.

It is used instead of the package google-cloud-firestore, whose import takes 0.23 to 0.35 s by our measurements. That is
too long for the start of a function. This client needs only the HTTP client that the bus needs as well.

https://firebase.google.com/docs/firestore/reference/rest/v1/projects.databases.documents
https://firebase.google.com/docs/firestore/reference/rest/v1/Value
https://firebase.google.com/docs/firestore/solutions/shard-timestamp
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, TypeAlias, TypeVar

from shared import time_bound, times
from shared.base64_text import base64_text, decode_base64
from shared.cloud import retries, shards
from shared.cloud.gcp.tokens import Authorization
from shared.errors import Temporary, TemporaryCode
from shared.jsontext import Json, JsonObject, from_json, mapping_at, objects_at, texts_json
from shared.outgoing.connection import AnswerTooLarge
from shared.outgoing.http_client import MAX_ANSWER_BYTES, HttpClient

MAX_DOCUMENT_BYTES: Final = 900_000
"""The size of one large field. Firestore allows 1 MiB for a document with all its names and fields."""

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


@dataclass(frozen=True, slots=True)
class Moment:
    """A timestamp in Unix seconds. A TTL policy needs a value of this type."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Name:
    """The full name of a document, as a query compares it with the field NAME."""

    text: str


NAME: Final = "__name__"
Value: TypeAlias = str | int | float | bytes | Moment | Name | None
Fields: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Write:
    """The write of one document.

    fields      the new fields; None deletes the document
    is_new      create the document. It is a conflict if it exists
    mask        the names of the fields that are written; None replaces the whole document
    increments  the numbers that the same write adds to integer fields
    version     write only if this is still the version of the document. It is a conflict if it is not
    """

    collection: str
    id: str
    fields: Fields | None
    is_new: bool = False
    mask: tuple[str, ...] | None = None
    increments: Mapping[str, int] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Where:
    """A condition of a query. `op` is an operator of Firestore, such as EQUAL or LESS_THAN. IN needs several values."""

    field: str
    op: str
    value: Value | Sequence[Value]


def document_id(text: str) -> str:
    """Return the id of a document for a text: the text itself if Firestore accepts it as an id, else its hash."""
    return text if _PLAIN_ID.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()


def encoded(value: Value | Sequence[Value]) -> JsonObject:
    """Return the value in Firestore's JSON. Raises ValueError for infinity and NaN."""
    match value:
        case None:
            return {"nullValue": "NULL_VALUE"}
        case str():
            return {"stringValue": value}
        case int():
            return {"integerValue": str(value)}
        case float():
            if not isfinite(value):
                raise ValueError("JSON has neither infinity nor NaN")
            return {"doubleValue": value}
        case bytes():
            return {"bytesValue": base64_text(value)}
        case Moment():
            return {"timestampValue": times.rfc3339(value.seconds)}
        case Name():
            return {"referenceValue": value.text}
        case _:
            return {"arrayValue": {"values": [encoded(each) for each in value]}}


def decoded(value: Json) -> Value:
    """Return the value of Firestore's JSON. Return None for a type that `encoded` does not write."""
    [(kind, content)] = value.items() if isinstance(value, dict) and len(value) == 1 else [("nullValue", None)]
    match kind, content:
        case "integerValue", str() | int():
            return int(content)
        case "doubleValue", int() | float():
            return float(content)
        case "stringValue", str():
            return content
        case "bytesValue", str():
            return decode_base64(content, strict=False)
        case "timestampValue", str():
            return Moment(times.unix_seconds(content))
        case _:
            return None


def to_fields(fields: Fields) -> JsonObject:
    return {name: encoded(value) for name, value in fields.items()}


def from_fields(document: JsonObject) -> Fields:
    fields = document.get("fields")
    return {name: decoded(value) for name, value in fields.items()} if isinstance(fields, dict) else {}


def write_document(write: Write, name: str) -> JsonObject:
    """Return a write as JSON. `name` is the document's full name."""
    if write.fields is None:
        deletion: JsonObject = {"delete": name}
        return deletion | {"currentDocument": {"updateTime": write.version}} if write.version else deletion
    document: JsonObject = {"update": {"name": name, "fields": to_fields(write.fields)}}
    if write.mask is not None:
        document["updateMask"] = {"fieldPaths": list(write.mask)}
    if write.is_new:
        document["currentDocument"] = {"exists": False}
    if write.version:
        document["currentDocument"] = {"updateTime": write.version}
    if write.increments:
        document["updateTransforms"] = [
            {"fieldPath": name, "increment": encoded(by)} for name, by in write.increments.items()
        ]
    return document


def query_document(
    collection: str,
    where: Sequence[Where] = (),
    *,
    limit: int,
    order_by: str | None = None,
    descending: bool = False,
    select: Sequence[str] = (),
) -> JsonObject:
    """Return a structured query. Without `select` it reads whole documents."""
    filters: list[Json] = [
        {"fieldFilter": {"field": {"fieldPath": each.field}, "op": each.op, "value": encoded(each.value)}}
        for each in where
    ]
    query: JsonObject = {"from": [{"collectionId": collection}], "limit": limit}
    if len(filters) == 1:
        query["where"] = filters[0]
    elif filters:
        query["where"] = {"compositeFilter": {"op": "AND", "filters": filters}}
    if order_by:
        direction = "DESCENDING" if descending else "ASCENDING"
        query["orderBy"] = [{"field": {"fieldPath": order_by}, "direction": direction}]
    if select:
        query["select"] = {"fields": [{"fieldPath": name} for name in select]}
    return query


def beginning(field: str, prefix: str) -> list[Where]:
    """Return conditions for a text field that begins with the prefix."""
    return [Where(field, "GREATER_THAN_OR_EQUAL", prefix), Where(field, "LESS_THAN", prefix + "\uf8ff")]


CALL_SECONDS: Final = 5.0
TRIES: Final = 5
"""How often a transaction is tried while other transactions are faster."""
CONTENTION_SECONDS: Final = 0.05
"""The wait before the second try is twice as long. It doubles with each further try."""
MAX_IDS_IN_QUERY: Final = 30
MAX_WRITES: Final = 500
OVERTAKEN: Final = frozenset({"ABORTED", "ALREADY_EXISTS"})
"""Firestore's codes for a transaction if another one was faster. Both have the HTTP status 409."""
IS_THERE: Final = frozenset({"ALREADY_EXISTS"})
"""Firestore's code if a document that should be new exists."""
IS_ANOTHER: Final = frozenset({"FAILED_PRECONDITION", "NOT_FOUND"})
"""Firestore's codes if a document does not have the version that a write expects."""
ALONE: Final = retries.PASSING_CODES | {"ABORTED"}
"""The codes after which a request outside a transaction is repeated. There, contention passes as well."""
WHY: Final[Mapping[str, str]] = {
    "PERMISSION_DENIED": ": whoever asks lacks a role such as roles/datastore.user there, or the API is off",
    "NOT_FOUND": ": there is no such database; a deployment makes it",
}

Answer = TypeVar("Answer")
Decide = Callable[[Fields | None], tuple[Answer, Write | None]]
"""Takes the fields of a document, or None if it does not exist. Returns an answer, and the write or None."""
DecideAll = Callable[[Mapping[str, Fields]], tuple[Answer, Sequence[Write]]]
"""Takes the fields of the documents that exist, by their ids. Returns an answer, and the writes."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a collection, by its id. `version` is the time of its last write, as `write_if` answers it."""

    id: str
    fields: Fields
    version: str = ""


class TooLarge(Temporary):
    """The documents that were asked for are larger than `max_answer_bytes`."""


class _Rejection(Exception):
    """Firestore rejected a request. `status` is its code, such as ABORTED; without a code, the HTTP status."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Firestore:
    """A database in Firestore. `code` is the code of the Temporary that its methods raise."""

    def __init__(
        self,
        endpoint: str,
        project: str,
        database: str,
        authorization: Authorization,
        code: TemporaryCode = "ledger_unavailable",
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._client = HttpClient(endpoint, max_answer_bytes)
        self._database = f"projects/{project}/databases/{database}"
        self._documents = f"{self._database}/documents"
        self._authorization = authorization
        self._code = code

    def close(self) -> None:
        self._client.close()

    async def write_if(self, write: Write) -> str | None:
        """Write the document if its condition holds, and return the new version. Return None if it does not hold.

        The condition is `is_new` or `version`. Raises Temporary, as all methods here do.

        A version is the time of the last write that changed the document, and "increases monotonically with each change
        to the document":
        https://firebase.google.com/docs/firestore/reference/rest/v1/projects.databases.documents#Document
        """
        try:
            answer = await self._call("commit", {"writes": [self._written(write)]}, ALONE)
        except _Rejection as rejection:
            if write.is_new and rejection.status in IS_THERE:
                return None
            if not write.is_new and write.version and rejection.status in IS_ANOTHER:
                return None
            raise self._temporary("commit", rejection) from rejection
        results = objects_at(answer, "writeResults")
        return str(results[0].get("updateTime", "")) if results else ""

    async def commit(self, writes: Sequence[Write]) -> None:
        """Make all writes or none. There can be MAX_WRITES at most."""
        await self._ask("commit", {"writes": [self._written(write) for write in writes]})

    async def get(self, collection: str, ids: Sequence[str], mask: Sequence[str] = ()) -> dict[str, Fields]:
        """Return the fields of the documents that exist, by their ids. `mask`: the fields to read; none for all."""
        return {found.id: found.fields for found in await self.find(collection, ids, mask)}

    async def find(self, collection: str, ids: Sequence[str], mask: Sequence[str] = ()) -> list[Document]:
        """Return the documents that exist, with their versions. `mask` is as in `get`."""
        body: JsonObject = {"documents": [self._name(collection, each) for each in ids]}
        if mask:
            body["mask"] = {"fieldPaths": list(mask)}
        return _documents(await self._ask("batchGet", body), "found")

    def name(self, collection: str, doc_id: str) -> Name:
        """Return the document's full name, which a query can compare with NAME."""
        return Name(self._name(collection, doc_id))

    async def query(self, query: JsonObject) -> list[Document]:
        answers = await self._ask("runQuery", {"structuredQuery": query})
        return _documents(answers, "document")

    async def count(self, query: JsonObject) -> int:
        """Count the documents that the query finds, up to its limit. It costs far less than to read them."""
        body: JsonObject = {"structuredQuery": query, "aggregations": [{"alias": "n", "count": {}}]}
        [answer, *_] = _objects(await self._ask("runAggregationQuery", {"structuredAggregationQuery": body}))
        fields = mapping_at(answer, "result", "aggregateFields", "n")
        return int(str(fields["integerValue"]))

    async def transact(self, collection: str, doc_id: str, mask: Sequence[str], decide: Decide[Answer]) -> Answer:
        """Run `transact_all` for a single document."""

        def decide_all(found: Mapping[str, Fields]) -> tuple[Answer, Sequence[Write]]:
            answer, write = decide(found.get(doc_id))
            return answer, () if write is None else (write,)

        return await self.transact_all(collection, [doc_id], mask, decide_all)

    async def transact_all(
        self, collection: str, ids: Sequence[str], mask: Sequence[str], decide: DecideAll[Answer]
    ) -> Answer:
        """Read the documents, let `decide` return the writes, and make them, with no other write in between.

        If another transaction was faster, all of this is tried again, TRIES times at most. `mask` has the fields to
        read. Raises Temporary.
        """
        last: str | None = None
        for number in range(TRIES):
            if number:
                await time_bound.back_off(CONTENTION_SECONDS * 2**number)
            try:
                found, last = await self._begin(collection, ids, mask, last)
                answer, writes = decide(found)
                if not writes:
                    await self._roll_back(last)
                else:
                    written: list[Json] = [self._written(write) for write in writes]
                    await self._call("commit", {"writes": written, "transaction": last})
            except _Rejection as rejection:
                if rejection.status not in OVERTAKEN:
                    raise self._temporary("commit", rejection) from rejection
            else:
                return answer
        raise Temporary(self._code, f"Firestore: others kept writing {collection}/{ids[0]}, {TRIES} times in a row")

    async def _begin(
        self, collection: str, ids: Sequence[str], mask: Sequence[str], last: str | None
    ) -> tuple[Mapping[str, Fields], str]:
        """Begin a transaction. `last` is the previous try, which gives this one its place in the queue."""
        read_write: JsonObject = {"retryTransaction": last} if last else {}
        answers = await self._call(
            "batchGet",
            {
                "documents": [self._name(collection, each) for each in ids],
                "mask": {"fieldPaths": list(mask)},
                "newTransaction": {"readWrite": read_write},
            },
        )
        begun = [str(each["transaction"]) for each in _objects(answers) if each.get("transaction")]
        if not begun:
            raise Temporary(self._code, "Firestore began no transaction")
        return {found.id: found.fields for found in _documents(answers, "found")}, begun[0]

    async def _roll_back(self, transaction: str) -> None:
        """Unlock the document before the transaction is found idle, which is all a failure means."""
        with contextlib.suppress(Temporary, _Rejection):
            await self._call("rollback", {"transaction": transaction})

    async def _ask(self, method: str, body: JsonObject) -> Json:
        try:
            return await self._call(method, body, ALONE)
        except _Rejection as rejection:
            raise self._temporary(method, rejection) from rejection

    async def _call(self, method: str, body: JsonObject, passing: frozenset[str] = retries.PASSING_CODES) -> Json:
        """Call with retries. The whole ends before a lease does: after a slow rejection there is no retry."""
        answer = await retries.with_retries(
            lambda: self._call_once(method, body),
            lambda answer: isinstance(answer, _Rejection) and answer.status in passing,
            retries.PATIENT,
        )
        if isinstance(answer, _Rejection):
            raise answer
        return answer

    async def _call_once(self, method: str, body: JsonObject) -> "Json | _Rejection":
        headers = {"Content-Type": "application/json"}
        if authorization := await self._authorization():
            headers["Authorization"] = authorization
        path, content = f"/v1/{self._documents}:{method}", texts_json(body)  # its few floats are read as the same
        try:
            # A write can safely be sent twice: a conditional write finds its condition gone, and any other writes the
            # same.
            answer = await self._client.call("POST", path, headers, content, CALL_SECONDS, may_repeat=True)
        except AnswerTooLarge as error:
            raise TooLarge(self._code, f"Firestore: {error}") from error
        except OSError as error:
            raise Temporary(self._code, f"Firestore did not answer: {type(error).__name__}") from error
        document = _parsed(answer.body)
        if fault := _fault_in(document):
            return _Rejection(fault)
        if answer.status != 200 or document is None:
            return _Rejection(str(answer.status))
        return document

    def _temporary(self, method: str, rejection: _Rejection) -> Temporary:
        why = WHY.get(rejection.status, "")
        return Temporary(self._code, f"Firestore answered {rejection.status} to {method} in {self._database}{why}")

    def _written(self, write: Write) -> JsonObject:
        return write_document(write, self._name(write.collection, write.id))

    def _name(self, collection: str, doc_id: str) -> str:
        return f"{self._documents}/{collection}/{doc_id}"


def _parsed(body: bytes) -> Json:
    try:
        return from_json(body)
    except ValueError:
        return None


def _fault_in(document: Json) -> str | None:
    """Return the status of an error. A stream of answers is a JSON array, in which an error may come last."""
    for each in _objects(document):
        error = each.get("error")
        if isinstance(error, dict):
            return str(error.get("status", "UNKNOWN"))
    return None


def _objects(document: Json) -> list[JsonObject]:
    listed = document if isinstance(document, list) else [document]
    return [each for each in listed if isinstance(each, dict)]


def _documents(answers: Json, member: str) -> list[Document]:
    found = [each[member] for each in _objects(answers) if member in each]
    return [
        Document(str(each["name"]).rpartition("/")[2], from_fields(each), str(each.get("updateTime", "")))
        for each in found
        if isinstance(each, dict)
    ]


DIGITS: Final = 16
LAST: Final = 10**DIGITS - 1


def sharded(prefix: str, shard: int, moment: int) -> str:
    """Return a text that the index of a single field sorts by prefix, then by shard, then by the moment."""
    return f"{prefix}{shard}/{moment:0{DIGITS}d}"


async def read_shards(
    store: Firestore,
    collection: str,
    field: str,
    limit: int,
    *,
    prefix: str = "",
    low: int = 0,
    high: int = LAST,
    descending: bool = False,
    select: Sequence[str] = (),
) -> list[Document]:
    """Return the first `limit` documents whose moment is at `low` or later and before `high`, in their order.

    Fewer than `limit` are all that there are. `select` has to name the field.
    """

    async def read(shard: int, count: int) -> list[Document]:
        bounds = [
            Where(field, "GREATER_THAN_OR_EQUAL", sharded(prefix, shard, low)),
            Where(field, "LESS_THAN", sharded(prefix, shard, high)),
        ]
        query = query_document(collection, bounds, order_by=field, descending=descending, limit=count, select=select)
        return await store.query(query)

    return await shards.merge_shards(read, lambda each: moment_of(each, field), limit, descending=descending)


def moment_of(document: Document, field: str) -> int:
    """Return the moment in a document's sharded field."""
    return int(str(document.fields[field])[-DIGITS:])
