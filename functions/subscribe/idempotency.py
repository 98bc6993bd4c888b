"""POST requests with an `Idempotency-Key`: done once in 24 hours, for each caller.

    (new) → running → done          the answer is kept, sealed, and given again
            running → open          it was not done, or nobody knows: the same request may try again

A repeat makes the same ids, from the record's seed, so it finds what the first try made before its answer was lost.
Once the record has expired, the same key makes other ids.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil
from typing import Final, Literal

from functions.subscribe import problems, route
from shared import errors, http, jsontext, store_ports
from shared.subscribers import directory, model

KEEP_SECONDS: Final = 86_400.0
RUNNING_SECONDS: Final = 10.0
"""A request that has not written for longer has ended without its record: its process died."""
RENEW_SECONDS: Final = 3.0
"""A request that takes longer writes again and again that it runs."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_NONCE_BYTES: Final = 12
_SEED_BYTES: Final = 16


class Record(model.Stored):
    """A request with a key. `fingerprint` is the digest of its path and body; `answer` is a sealed reply.

    tenant        the tenant in the path, with which the answer is forgotten; empty: none
    tenant_since  when that tenant was made: the requests of a deleted tenant of the same id are not its own
    seed          the source of the ids that the request makes, at each try the same
    """

    fingerprint: str
    tenant: str = ""
    tenant_since: float = 0.0
    seed: str = ""
    state: Literal["running", "open", "done"] = "running"
    at: float
    until: float
    answer: model.SealedText | None = None


async def answer_once(call: route.Call, key: str, run: Callable[[], Awaitable[http.Reply]]) -> http.Reply:
    """Answer the request, or give the answer that it had before. Raises what `run` raises, and ApiProblem."""
    if not _KEY.fullmatch(key):
        rule = "must be 1 to 255 printable characters without spaces"
        raise problems.ApiProblem("invalid_value", f"Idempotency-Key: {rule}", [("Idempotency-Key", rule)])
    id_ = hashlib.sha256(f"{call.caller.name}\n{key}".encode()).hexdigest()
    record, version = await _begin(call, id_)
    if record.answer is not None:
        return _reply_of((await call.service.keyring.sealer()).open(record.answer, _context(id_)))
    call.seed = record.seed
    renewal = _Renewal(call, id_, record, version)
    try:
        async with renewal:
            reply = await run()
    except (problems.ApiProblem, errors.HookchainError):
        await _write(call, id_, record.model_copy(update={"state": "open"}), renewal.version)
        raise
    sealer = await call.service.keyring.sealer()
    answer = sealer.seal(_text_of(reply), _context(id_), call.service.random_bytes(_NONCE_BYTES))
    await _write(call, id_, record.model_copy(update={"state": "done", "answer": answer}), renewal.version)
    return reply


class _Renewal:
    """The writes that the request runs, until the block ends. `version` is the record's."""

    def __init__(self, call: route.Call, id_: str, record: Record, version: str) -> None:
        self._call = call
        self._id = id_
        self._record = record
        self.version = version

    async def __aenter__(self) -> None:
        self._ended = asyncio.Event()
        self._task = asyncio.create_task(self._renew())

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        await self._task  # and not cancelled: the version of what it is writing is needed

    async def _renew(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), RENEW_SECONDS)
                return
            renewed = self._record.model_copy(update={"at": self._call.service.clock.now()})
            with suppress(errors.Temporary):  # the next one may be written in time
                self.version = await _write(self._call, self._id, renewed, self.version) or self.version


async def _begin(call: route.Call, id_: str) -> tuple[Record, str]:
    """Return the record as it is now, and its version: done, or this request's to do. Raises ApiProblem."""
    now = call.now
    content = f"{call.request.method} {call.request.path}\n".encode() + call.request.body
    new = Record(
        fingerprint=hashlib.sha256(content).hexdigest(),
        tenant=call.params.get("tenant", ""),
        tenant_since=call.tenant_document.created_at if call.tenant_document else 0.0,
        seed=call.service.random_bytes(_SEED_BYTES).hex(),
        at=now,
        until=now + KEEP_SECONDS,
    )
    if (version := await _write(call, id_, new, store_ports.NO_VERSION)) is not None:
        return new, version
    found = await call.service.documents.get(directory.IDEMPOTENCY, id_)
    before = None if found is None else directory.read_stored(Record, found)
    if found is not None and before is not None and now < before.until and not _is_of_former_tenant(before, new):
        if before.fingerprint != new.fingerprint:
            raise problems.ApiProblem("idempotency_key_reused", "this Idempotency-Key was used for another request")
        if before.state == "done":
            return before, found.version
        if before.state == "running" and now < before.at + RUNNING_SECONDS:
            raise _in_progress(1.0 if now < before.at + 1.0 else before.at + RUNNING_SECONDS - now)
        new = new.model_copy(update={"seed": before.seed})
    version = await _write(call, id_, new, store_ports.NO_VERSION if found is None else found.version)
    if version is None:
        raise _in_progress(1.0)
    return new, version


def _is_of_former_tenant(before: Record, new: Record) -> bool:
    return before.tenant == new.tenant and before.tenant_since != new.tenant_since


def _in_progress(seconds: float) -> problems.ApiProblem:
    """Most requests end within a second. Of one that does not, it is not known whether its process died."""
    rule = f"a request with this Idempotency-Key is in progress; send it again in {ceil(seconds)} s"
    return problems.ApiProblem("request_in_progress", rule, retry_after_seconds=ceil(seconds))


async def _write(call: route.Call, id_: str, record: Record, expected: str) -> str | None:
    return await call.service.documents.write(directory.IDEMPOTENCY, id_, record.text(), expected, record.until)


def _context(id_: str) -> str:
    return f"idempotency/{id_}"


def _text_of(reply: http.Reply) -> str:
    return jsontext.to_json(
        {"status": reply.status, "body": reply.body.decode(), "headers": [list(each) for each in reply.headers]}
    )


def _reply_of(text: str) -> http.Reply:
    document = jsontext.from_json(text.encode())
    assert isinstance(document, dict)
    status, body, headers = document["status"], document["body"], document["headers"]
    assert isinstance(status, int)
    assert isinstance(headers, list)
    pairs = [(str(each[0]), str(each[1])) for each in headers if isinstance(each, list)]
    return http.Reply(status, str(body).encode(), (*pairs, ("idempotent-replayed", "true")))
