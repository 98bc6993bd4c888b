"""A client of Firestore's REST API: it reads, queries and writes documents, one at a time or several in a transaction.

It is used instead of the package google-cloud-firestore, whose import takes 0.23 to 0.35 s by our measurements. That is
too long for the start of a function. This client needs only the HTTP client that the bus needs as well.

https://firebase.google.com/docs/firestore/reference/rest/v1/projects.databases.documents
https://firebase.google.com/docs/firestore/solutions/shard-timestamp
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from shared import time_bound
from shared.cloud import retries, shards
from shared.cloud.gcp.firestore_values import Fields, Name, Where, Write, from_fields, query_document, write_document
from shared.cloud.gcp.tokens import Authorization
from shared.errors import Temporary, TemporaryCode
from shared.jsontext import Json, JsonObject, from_json, mapping_at, objects_at, texts_json
from shared.outgoing.http_client import MAX_ANSWER_BYTES, AnswerTooLarge, HttpClient

CALL_SECONDS: Final = 5.0
TRIES: Final = 5
"""The number of tries of a transaction while other transactions are faster."""
CONTENTION_SECONDS: Final = 0.05
"""Half of the wait before the second try. The wait doubles with each further try."""
MAX_IDS_IN_QUERY: Final = 30
"""The number of values that Firestore accepts in a condition with IN."""
MAX_WRITES: Final = 500
"""The most writes in one commit here. A larger number of rows is written in several commits."""
DIGITS: Final = 16
"""The length of a moment in the text of a sharded field. All have the same, so that texts sort as the moments do."""
LAST: Final = 10**DIGITS - 1
"""The greatest moment."""
OVERTAKEN: Final = frozenset({"ABORTED", "ALREADY_EXISTS"})
"""Firestore's codes for a transaction if another one was faster. Both have the HTTP status 409."""
ALREADY_THERE: Final = frozenset({"ALREADY_EXISTS"})
"""Firestore's code if a document that should be new exists."""
ANOTHER_VERSION: Final = frozenset({"FAILED_PRECONDITION", "NOT_FOUND"})
"""Firestore's codes if a document does not have the version that a write expects."""
REPEATED_CODES: Final = retries.PASSING_CODES | {"ABORTED"}
"""The codes after which a request outside a transaction is repeated. There, contention passes as well."""
CAUSES: Final[Mapping[str, str]] = {
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
    """A database in Firestore. `code` is the code of the Temporary that each of its methods raises.

    A method raises Temporary if Firestore does not answer or rejects the request. A write may then have been made or
    not, and it is safe to make it again. If an answer is larger than `max_answer_bytes`, it raises TooLarge.
    """

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

        The condition is `is_new` or `version`. If the answer to the first try was lost, the second try finds the
        condition gone: then this returns None, although the document was written. After a None, a caller that must know
        reads the document, and recognises its own write.

        A version is the time of the last write that changed the document, and "increases monotonically with each change
        to the document":
        https://firebase.google.com/docs/firestore/reference/rest/v1/projects.databases.documents#Document
        """
        try:
            answer = await self._call("commit", {"writes": [self._written(write)]}, REPEATED_CODES)
        except _Rejection as rejection:
            if write.is_new and rejection.status in ALREADY_THERE:
                return None
            if not write.is_new and write.version and rejection.status in ANOTHER_VERSION:
                return None
            raise self._temporary("commit", rejection) from rejection
        results = objects_at(answer, "writeResults")
        return str(results[0].get("updateTime", "")) if results else ""

    async def commit(self, writes: Sequence[Write]) -> None:
        """Make all writes or none. The caller passes at most MAX_WRITES."""
        await self._ask("commit", {"writes": [self._written(write) for write in writes]})

    async def get(self, collection: str, ids: Sequence[str], mask: Sequence[str] = ()) -> dict[str, Fields]:
        """Return the fields of the documents that exist, by their ids. `mask`: the fields to read; none for all."""
        return {document.id: document.fields for document in await self.find(collection, ids, mask)}

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
        """Return the documents that a query finds, in its order. `query_document` makes a query."""
        answers = await self._ask("runQuery", {"structuredQuery": query})
        return _documents(answers, "document")

    async def count(self, query: JsonObject) -> int:
        """Count the documents that the query finds, up to its limit. It costs far less than to read them."""
        body: JsonObject = {"structuredQuery": query, "aggregations": [{"alias": "n", "count": {}}]}  # any alias does
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

        If another transaction was faster, all of this is tried again, TRIES times at most, and `decide` is called with
        what is stored then. `mask` has the fields to read, and is never empty. Raises Temporary, and what `decide`
        raises.
        """
        transaction: str | None = None
        for number in range(TRIES):
            if number:
                await time_bound.back_off(CONTENTION_SECONDS * 2**number)
            try:
                fields_by_id, transaction = await self._begin(collection, ids, mask, transaction)
                answer, writes = decide(fields_by_id)
                if not writes:
                    await self._roll_back(transaction)
                else:
                    written: list[Json] = [self._written(write) for write in writes]
                    await self._call("commit", {"writes": written, "transaction": transaction})
            except _Rejection as rejection:
                if rejection.status not in OVERTAKEN:
                    raise self._temporary("commit", rejection) from rejection
            else:
                return answer
        raise Temporary(self._code, f"Firestore: others kept writing {collection}/{ids[0]}, {TRIES} times in a row")

    async def _begin(
        self, collection: str, ids: Sequence[str], mask: Sequence[str], previous: str | None
    ) -> tuple[Mapping[str, Fields], str]:
        """Begin a transaction, and read the documents in it. Return their fields by id, and the transaction's name.

        `previous` is the transaction of the previous try, whose place in the queue Firestore gives to this one.
        """
        read_write: JsonObject = {"retryTransaction": previous} if previous else {}
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
        return {document.id: document.fields for document in _documents(answers, "found")}, begun[0]

    async def _roll_back(self, transaction: str) -> None:
        """Unlock the documents now. If this fails, Firestore unlocks them once it finds the transaction idle."""
        with contextlib.suppress(Temporary, _Rejection):
            await self._call("rollback", {"transaction": transaction})

    async def _ask(self, method: str, body: JsonObject) -> Json:
        """Send a request outside a transaction, and return the document of its answer. Raises Temporary."""
        try:
            return await self._call(method, body, REPEATED_CODES)
        except _Rejection as rejection:
            raise self._temporary(method, rejection) from rejection

    async def _call(self, method: str, body: JsonObject, passing: frozenset[str] = retries.PASSING_CODES) -> Json:
        """Send the request, with retries for failures that pass. Raises _Rejection, and Temporary without an answer.

        A rejection that came slowly is not retried, so that the call ends before the lease of its caller.
        """
        answer = await retries.with_retries(
            lambda: self._call_once(method, body),
            lambda answer: isinstance(answer, _Rejection) and answer.status in passing,
            retries.PATIENT,
        )
        if isinstance(answer, _Rejection):
            raise answer
        return answer

    async def _call_once(self, method: str, body: JsonObject) -> "Json | _Rejection":
        """Send the request once. A rejection is returned and not raised, so that `with_retries` can look at it."""
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
        why = CAUSES.get(rejection.status, "")
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
    for answer in _objects(document):
        error = answer.get("error")
        if isinstance(error, dict):
            return str(error.get("status", "UNKNOWN"))
    return None


def _objects(document: Json) -> list[JsonObject]:
    """Return the objects of a stream of answers, or the only answer."""
    answers = document if isinstance(document, list) else [document]
    return [answer for answer in answers if isinstance(answer, dict)]


def _documents(answers: Json, member: str) -> list[Document]:
    """Return the documents in this member of the answers. An answer about a missing document lacks the member."""
    documents = [answer[member] for answer in _objects(answers) if member in answer]
    return [
        Document(str(document["name"]).rpartition("/")[2], from_fields(document), str(document.get("updateTime", "")))
        for document in documents
        if isinstance(document, dict)
    ]


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
