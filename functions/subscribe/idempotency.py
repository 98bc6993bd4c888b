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
from typing import Final, Literal, Self

from functions.subscribe import problems, route
from shared import errors, http, jsontext, store_ports
from shared.subscribers import directory, model

KEEP_SECONDS: Final = 86_400.0
RUNNING_SECONDS: Final = 10.0
"""A request that has not written for longer has ended without its record: its process died."""
RENEW_SECONDS: Final = 3.0
"""A request that takes longer writes again and again that it runs."""
USUAL_SECONDS: Final = 1.0
"""Most requests end within this time, so a repeated request is told to wait for it."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_NONCE_BYTES: Final = 12
_SEED_BYTES: Final = 16


class Record(model.Stored):
    """A request with a key.

    fingerprint   the digest of its path and body: a key is for one request only
    tenant        the tenant in the path, with which the answer is forgotten; empty: none
    tenant_since  when that tenant was made. If a tenant is deleted and another is made with the same id, this time
                  tells the requests of one from those of the other
    seed          the source of the ids that the request makes, at each try the same
    at            when the request began or was last seen running
    until         when the record expires
    answer        the reply, sealed; only of a request that is done
    """

    fingerprint: str
    tenant: str = ""
    tenant_since: float = 0.0
    seed: str = ""
    state: Literal["running", "open", "done"] = "running"
    at: float
    until: float
    answer: model.SealedText | None = None

    def is_running(self, now: float) -> bool:
        return self.state == "running" and now < self.at + RUNNING_SECONDS

    def is_for(self, request: Self, now: float) -> bool:
        """Return True if the record has not expired, and its tenant is still the one that the request is for."""
        is_of_former_tenant = self.tenant == request.tenant and self.tenant_since != request.tenant_since
        return now < self.until and not is_of_former_tenant


async def answer_once(call: route.Call, key: str, run: Callable[[], Awaitable[http.Reply]]) -> http.Reply:
    """Answer the request, or give the answer that it had before. Raises what `run` raises, and ApiProblem.

    `key` is the value of the header, and `run` does the request. It is called at most once, with `call.seed` set.
    """
    if not _KEY.fullmatch(key):
        rule = "must be 1 to 255 printable characters without spaces"
        raise problems.ApiProblem("invalid_value", f"Idempotency-Key: {rule}", [("Idempotency-Key", rule)])
    id_ = hashlib.sha256(f"{call.caller.name}\n{key}".encode()).hexdigest()
    record, version = await _begin(call, id_)
    if record.answer is not None:
        sealer = await call.service.keyring.sealer()
        return _reply_of(sealer.open(record.answer, _context(id_)))
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
    """A block in which a task writes every RENEW_SECONDS that the request runs. `version` is the record's, as the task
    has last written it.
    """

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
            with suppress(TimeoutError):  # the request still runs
                await asyncio.wait_for(self._ended.wait(), RENEW_SECONDS)
                return
            with suppress(errors.Temporary):  # the next one may be written in time
                await self._write_running()

    async def _write_running(self) -> None:
        renewed = self._record.model_copy(update={"at": self._call.service.clock.now()})
        version = await _write(self._call, self._id, renewed, self.version)
        # Without a new version, another try has taken the record over. This request goes on with its old version, with
        # which it can write nothing more: the record is the other's.
        if version is not None:
            self.version = version


async def _begin(call: route.Call, id_: str) -> tuple[Record, str]:
    """Return the record and its version: of an earlier request that is done, or of this request, which has to run.

    Raises ApiProblem: `idempotency_key_reused` or `request_in_progress`.
    """
    new = _new_record(call)
    version = await _write(call, id_, new, store_ports.NO_VERSION)
    if version is not None:
        return new, version
    document = await call.service.documents.get(directory.IDEMPOTENCY, id_)
    if document is None:  # it was deleted in between
        return await _claim(call, id_, new, store_ports.NO_VERSION)
    earlier = directory.read_stored(Record, document)
    if not earlier.is_for(new, call.now):
        return await _claim(call, id_, new, document.version)
    if earlier.fingerprint != new.fingerprint:
        raise problems.ApiProblem("idempotency_key_reused", "this Idempotency-Key was used for another request")
    if earlier.state == "done":
        return earlier, document.version
    if earlier.is_running(call.now):
        raise _in_progress(_wait_seconds(earlier, call.now))
    return await _claim(call, id_, new.model_copy(update={"seed": earlier.seed}), document.version)


def _new_record(call: route.Call) -> Record:
    """Return the record of a request that begins now."""
    content = f"{call.request.method} {call.request.path}\n".encode() + call.request.body
    return Record(
        fingerprint=hashlib.sha256(content).hexdigest(),
        tenant=call.params.get("tenant", ""),
        tenant_since=call.tenant_document.created_at if call.tenant_document else 0.0,
        seed=call.service.random_bytes(_SEED_BYTES).hex(),
        at=call.now,
        until=call.now + KEEP_SECONDS,
    )


async def _claim(call: route.Call, id_: str, new: Record, expected: str) -> tuple[Record, str]:
    """Write the record if the stored one still has the expected version; otherwise another request was faster."""
    version = await _write(call, id_, new, expected)
    if version is None:
        raise _in_progress(USUAL_SECONDS)
    return new, version


def _wait_seconds(running: Record, now: float) -> float:
    """Return when to ask again. A request that takes unusually long may have died: then its record must run out."""
    if now < running.at + USUAL_SECONDS:
        return USUAL_SECONDS
    return running.at + RUNNING_SECONDS - now


def _in_progress(seconds: float) -> problems.ApiProblem:
    rule = f"a request with this Idempotency-Key is in progress; send it again in {ceil(seconds)} s"
    return problems.ApiProblem("request_in_progress", rule, retry_after_seconds=ceil(seconds))


async def _write(call: route.Call, id_: str, record: Record, expected: str) -> str | None:
    """Return the new version; None if the stored record's version is not the expected one."""
    return await call.service.documents.write(directory.IDEMPOTENCY, id_, record.text(), expected, record.until)


def _context(id_: str) -> str:
    return f"idempotency/{id_}"


def _text_of(reply: http.Reply) -> str:
    """Return the reply as JSON, which `_reply_of` reads."""
    return jsontext.to_json(
        {"status": reply.status, "body": reply.body.decode(), "headers": [list(pair) for pair in reply.headers]}
    )


def _reply_of(text: str) -> http.Reply:
    """Return the reply, with a header that says that it is an earlier one."""
    document = jsontext.from_json(text.encode())
    assert isinstance(document, dict)
    status, body, headers = document["status"], document["body"], document["headers"]
    assert isinstance(status, int)
    assert isinstance(headers, list)
    pairs = [(str(pair[0]), str(pair[1])) for pair in headers if isinstance(pair, list)]
    return http.Reply(status, str(body).encode(), (*pairs, ("idempotent-replayed", "true")))
