"""Firestore over REST: documents read, queried and written, alone or in a transaction.

Not google-cloud-firestore: measured, importing its client costs 0.23 to 0.35 s, which the functions' whole start-up
has no room for; this costs nothing beside the HTTP client that the bus has already.
https://firebase.google.com/docs/firestore/reference/rest/v1/projects.databases.documents
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from shared.back_off import back_off
from shared.cloud.gcp.firestore_values import Fields, Name, Write, from_fields, write_document
from shared.cloud.gcp.tokens import Authorization
from shared.cloud.retries import PASSING_CODES, PATIENT, with_retries
from shared.errors import Temporary, TemporaryCode
from shared.http_client import MAX_ANSWER_BYTES, AnswerTooLarge, HttpClient
from shared.jsontext import Json, JsonObject, from_json, texts_json

CALL_SECONDS: Final = 5.0
TRIES: Final = 5
"""Of one transaction: it is begun again where another was faster."""
CONTENTION_SECONDS: Final = 0.05
MAX_IDS_IN_QUERY: Final = 30
MAX_WRITES: Final = 500
OVERTAKEN: Final = frozenset({"ABORTED", "ALREADY_EXISTS"})
"""What a transaction is told that others were faster than. Both are a 409: only the body tells them apart."""
IS_THERE: Final = frozenset({"ALREADY_EXISTS"})
IS_ANOTHER: Final = frozenset({"FAILED_PRECONDITION", "NOT_FOUND"})
"""What a write is told whose condition does not hold: that the document is new, or of a version."""
ALONE: Final = PASSING_CODES | {"ABORTED"}
"""Outside a transaction, contention passes too."""
WHY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PERMISSION_DENIED": ": whoever asks lacks a role such as roles/datastore.user there, or the API is off",
        "NOT_FOUND": ": there is no such database; a deployment makes it",
    }
)

Answer = TypeVar("Answer")
Decide = Callable[[Fields | None], tuple[Answer, Write | None]]
"""From a document's fields, None if there is none, to an answer and what is to be written, if anything."""
DecideAll = Callable[[Mapping[str, Fields]], tuple[Answer, Sequence[Write]]]
"""The same of many documents, by id: those that exist."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a collection, by its id. `version` is the time of its last write, as `write_if` answers it."""

    id: str
    fields: Fields
    version: str = ""


class TooLarge(Temporary):
    """The documents that were asked for are more than one answer may hold."""


class _Rejection(Exception):
    """Firestore said no. `status` is its own word, such as ABORTED; else HTTP's number."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Firestore:
    """`part` is the code of the Temporary that every failure becomes: which of our parts does not answer."""

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
        """Write where the write's condition holds, if it has one: that the document is new, or of that version.

        Return the document's version then, else None. Raises Temporary, as all of these do. A version is the time of
        the last write that changed the document, and "increases monotonically with each change to the document":
        https://firebase.google.com/docs/firestore/reference/rest/v1/projects.databases.documents#Document
        """
        try:
            answer = await self._call("commit", {"writes": [self._written(write)]}, ALONE)
        except _Rejection as rejection:
            if rejection.status in (IS_THERE if write.is_new else IS_ANOTHER if write.version else ()):
                return None
            raise self._temporary("commit", rejection) from rejection
        results = _objects(answer.get("writeResults")) if isinstance(answer, dict) else []
        return str(results[0].get("updateTime", "")) if results else ""

    async def commit(self, writes: Sequence[Write]) -> None:
        """Write all or none, MAX_WRITES at most."""
        await self._ask("commit", {"writes": [self._written(write) for write in writes]})

    async def get(self, collection: str, ids: Sequence[str], mask: Sequence[str] = ()) -> dict[str, Fields]:
        """Return those that exist, by id."""
        return {found.id: found.fields for found in await self.find(collection, ids, mask)}

    async def find(self, collection: str, ids: Sequence[str], mask: Sequence[str] = ()) -> list[Document]:
        """Return those that exist, with their versions."""
        body: JsonObject = {"documents": [self._name(collection, each) for each in ids]}
        if mask:
            body["mask"] = {"fieldPaths": list(mask)}
        return _documents(await self._ask("batchGet", body), "found")

    def name(self, collection: str, doc_id: str) -> Name:
        """Return what a query compares with NAME."""
        return Name(self._name(collection, doc_id))

    async def query(self, query: JsonObject) -> list[Document]:
        answers = await self._ask("runQuery", {"structuredQuery": query})
        return _documents(answers, "document")

    async def count(self, query: JsonObject) -> int:
        """Count the documents that the query finds, up to its limit: far cheaper than to read them."""
        body: JsonObject = {"structuredQuery": query, "aggregations": [{"alias": "n", "count": {}}]}
        [answer, *_] = _objects(await self._ask("runAggregationQuery", {"structuredAggregationQuery": body}))
        fields = _member(_member(_member(answer, "result"), "aggregateFields"), "n")
        return int(str(fields["integerValue"]))

    async def transact(self, collection: str, doc_id: str, mask: Sequence[str], decide: Decide[Answer]) -> Answer:
        """Do `transact_all` with one document."""

        def decide_all(found: Mapping[str, Fields]) -> tuple[Answer, Sequence[Write]]:
            answer, write = decide(found.get(doc_id))
            return answer, () if write is None else (write,)

        return await self.transact_all(collection, [doc_id], mask, decide_all)

    async def transact_all(
        self, collection: str, ids: Sequence[str], mask: Sequence[str], decide: DecideAll[Answer]
    ) -> Answer:
        """Read, decide, write, as if alone: where another was faster, all of it again, a few times.

        `mask`: the fields that are read. Raises Temporary.
        """
        last: str | None = None
        for number in range(TRIES):
            if number:
                await back_off(CONTENTION_SECONDS * 2**number)
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
        """Begin a transaction. `last` is the one tried before it, which gives it its place in the queue."""
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

    async def _call(self, method: str, body: JsonObject, passing: frozenset[str] = PASSING_CODES) -> Json:
        """Call with retries. The whole ends before a lease does: after a slow rejection there is no retry."""
        answer = await with_retries(
            lambda: self._call_once(method, body),
            lambda answer: isinstance(answer, _Rejection) and answer.status in passing,
            PATIENT,
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
            # Twice is as good as once: what is conditional finds its condition gone, the rest writes the same again.
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


def _member(value: JsonObject, name: str) -> JsonObject:
    found = value.get(name)
    return found if isinstance(found, dict) else {}
