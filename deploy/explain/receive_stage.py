"""What receive would do with a request: the function itself is run, over ports without a platform.

Nothing is decided here. Receive's checks come in a fixed order, so the code of its refusal says which one failed: those
before it passed, those after it were never made.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from deploy.explain.offline import RememberingBus, body_reader, offline_receiver, secret_store
from deploy.explain.proof import Proof, Secrets, proof_of, reasons, secret_names
from deploy.explain.receive_words import (
    CHECK_OF,
    ORDER,
    address_words,
    content_type_words,
    data_words,
    encoding_words,
    event_words,
    id_words,
    method_words,
    origin_words,
    path_words,
    schema_words,
    size_words,
)
from deploy.explain.report import NOT_MADE, Check, Report, Stage
from deploy.faults import did_you_mean
from functions.receive.admission import source_name
from functions.receive.forwarded import requested_url
from functions.receive.outcomes import Accepted, Answered
from functions.receive.replies import accepted_reply, refusal_reply
from functions.receive.sources import read_sources
from shared.errors import HookchainError, Rejected, Temporary
from shared.event import Event
from shared.http import Reply, Request
from shared.jsontext import JsonObject
from shared.secrets import SecretStore

NAME: Final = "receive"
_PROOF_CODES: Final = frozenset({"sig", "ts", "id", "password"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` where it was refused; `handshake` where it was answered without an event."""

    reply: Reply
    error: HookchainError | None = None
    events: tuple[Event, ...] = ()
    handshake: str = ""


def explain_receive(request: Request, slice_: JsonObject, environ: Mapping[str, str], now: float) -> Report:
    """`slice_` is receive's."""
    sources = slice_["sources"]
    assert isinstance(sources, dict)
    name = source_name(request.path)
    settings = sources.get(name)
    known = settings if isinstance(settings, dict) else None
    store = secret_store(environ, now)
    outcome = asyncio.run(_run(request, slice_, store, now))
    secrets = asyncio.run(_values(store, secret_names(known)))
    url = requested_url(request, read_sources(slice_)[name]) if known is not None else ""
    proof = proof_of(request, known, secrets, now, url) if known is not None else None
    checks = tuple(_checks(request, name, known, outcome, proof, sources))
    advice: list[str] = []
    if known is not None and outcome.error is not None and outcome.error.code in _PROOF_CODES:
        others = asyncio.run(_others(store, sources, name))
        advice = reasons(request, known, secrets, now, url, others)
    return Report(
        status=outcome.reply.status,
        code=outcome.error.code if outcome.error else None,
        source=name if known is not None else None,
        stages=(Stage(NAME, checks),),
        events=outcome.events,
        reply=_reply_words(outcome),
        advice=tuple(advice),
    )


async def _run(request: Request, slice_: JsonObject, store: SecretStore, now: float) -> Outcome:
    bus = RememberingBus()
    head = replace(request, body=b"")
    try:
        taken = await offline_receiver(slice_, store, bus, now).receive(head, body_reader(request))
    except HookchainError as error:
        return Outcome(refusal_reply(error), error)
    if isinstance(taken, Answered):
        return Outcome(taken.reply, handshake=taken.reason)
    assert isinstance(taken, Accepted)
    return Outcome(accepted_reply(taken, request), events=taken.events)


async def _values(store: SecretStore, names: Sequence[str]) -> Secrets:
    """Of those that can be had: what is missing or weak, receive has said."""
    found: dict[str, Sequence[str]] = {}
    for name in names:
        try:
            found[name] = await store.values(name)
        except Temporary:
            continue
    return found


async def _others(store: SecretStore, sources: JsonObject, name: str) -> Secrets:
    """By source."""
    found: dict[str, Sequence[str]] = {}
    for other, settings in sources.items():
        values = await _values(store, secret_names(settings)) if other != name else {}
        if values:
            found[other] = [value for each in values.values() for value in each]
    return found


def _checks(
    request: Request,
    name: str,
    settings: JsonObject | None,
    outcome: Outcome,
    proof: Proof | None,
    sources: JsonObject,
) -> list[Check]:
    error = outcome.error
    failed = CHECK_OF.get(error.code, "limits") if error else None
    passed = _passed_words(request, name, settings, outcome, proof)
    found: list[Check] = []
    is_after = False
    for check in ORDER:
        if check == failed and error:
            found.append(Check(check, "failed", _failed_words(error, name, sources)))
            is_after = True
        elif is_after:
            found.append(Check(check, "skipped", NOT_MADE))
        elif words := passed.get(check):
            found.append(Check(check, "passed", words))
        elif outcome.handshake and check in {"id", "time", "parse", "limits", "schema", "event"}:
            continue
        else:
            found.append(Check(check, "skipped", _SKIPPED.get(check, "nothing to look at")))
    if outcome.handshake:
        found.append(Check("handshake", "passed", f"{outcome.handshake}: answered, and no event is made"))
    return found


_SKIPPED: Final = {
    "origin": "the source is no form of a browser's",
    "secret": "the source has none",
    "schema": "the source has none",
    "time": "this way of proof signs no time",
}


def _failed_words(error: HookchainError, name: str, sources: JsonObject) -> str:
    hint = did_you_mean(name, sources) if error.code == "unknown_source" else ""
    kind = "" if isinstance(error, Rejected) else "not confirmed: "
    return f"{kind}{error.detail}{hint}"


def _passed_words(
    request: Request, name: str, settings: JsonObject | None, outcome: Outcome, proof: Proof | None
) -> dict[str, str | None]:
    if settings is None:
        return {}
    events = outcome.events
    names = secret_names(settings)
    return {
        "path": path_words(name, settings),
        "method": method_words(request, settings),
        "size": size_words(request, settings),
        "encoding": encoding_words(request),
        "content type": content_type_words(request, settings),
        "address": address_words(request, settings),
        "origin": origin_words(settings),
        "secret": f"{', '.join(map(repr, names))}: there, and not shown" if names else None,
        "signature": proof.signature if proof else "right, or proven by a part of it",
        "id": id_words(events[0]) if events else None,
        "time": proof.time if proof else None,
        "parse": data_words(events[0].data) if events else "it parses",
        "limits": "within all of them",
        "schema": schema_words(settings),
        "event": event_words(events) if not outcome.handshake else None,
    }


def _reply_words(outcome: Outcome) -> str:
    return outcome.reply.body.decode("utf-8", "replace")
