"""The explanation of receive: the function itself runs on the request, with ports that need no platform.

Receive's checks have a fixed order, so the code of a rejection says which one failed. The checks before it passed, and
those after it were not reached.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.explain.auth_schemes import (
    Secrets,
    Verified,
    is_valid_except_time,
    rejection_reasons,
    secret_names,
    verified_scheme,
)
from deploy.explain.offline import FixedClock, RecordingBus, local_secrets, offline_receiver, receive_request
from deploy.explain.receive_checks import Inspection, Outcome, receive_checks
from deploy.explain.report import Report, Stage
from functions.receive.admission import requested_url, source_name
from functions.receive.diagnosis.diagnose import handshake_cause
from functions.receive.parsing import as_sent_by_provider
from functions.receive.replies import Answered, accepted_reply, rejection_reply
from functions.receive.source import read_sources
from shared.errors import HookchainError, ProblemCode, Temporary
from shared.http import Request
from shared.jsontext import JsonObject
from shared.secrets import SecretStore

NAME: Final = "receive"
FROM_THE_BUS: Final = "the platform brings the message, and nobody else can; assumed here"
_PROOF_CODES: Final[frozenset[ProblemCode]] = frozenset(
    {"signature_mismatch", "timestamp_out_of_range", "invalid_delivery_id", "password_mismatch"}
)

_EXPLAINED_CODES: Final = _PROOF_CODES | {"method_not_allowed"}


def explain_receive(request: Request, slice_: JsonObject, environ: Mapping[str, str], now: float) -> Report:
    """Return what receive would do. `slice_` is receive's."""
    sources = slice_["sources"]
    assert isinstance(sources, dict)
    name = source_name(request.path)
    settings = sources.get(name)
    known = settings if isinstance(settings, dict) else None
    store = local_secrets(environ, FixedClock(now))
    outcome = asyncio.run(_run(request, slice_, store, now))
    secrets = asyncio.run(_values(store, secret_names(known)))
    url = requested_url(request, read_sources(slice_)[name]) if known is not None else ""
    if known is not None:
        request = as_sent_by_provider(read_sources(slice_)[name], request)
    proof = verified_scheme(request, known, secrets, now, url) if known is not None else None
    if known is not None and "bus" in known:
        proof = Verified(FROM_THE_BUS)
    is_valid = known is not None and is_valid_except_time(request, known, secrets, url)
    checks = tuple(receive_checks(Inspection(request, name, known, outcome, proof, is_valid), sources))
    advice: list[str] = []
    if known is not None and outcome.error is not None and outcome.error.code in _EXPLAINED_CODES:
        if cause := handshake_cause(request, read_sources(slice_)[name]):
            advice = [cause]
        elif outcome.error.code in _PROOF_CODES:
            others = asyncio.run(_others(store, sources, name))
            advice = rejection_reasons(request, known, secrets, now, url, others)
    return Report(
        status=outcome.reply.status,
        code=outcome.error.code if outcome.error else None,
        source=name if known is not None else None,
        stages=(Stage(NAME, checks),),
        events=outcome.events,
        reply=_reply_text(outcome),
        advice=tuple(advice),
    )


async def _run(request: Request, slice_: JsonObject, store: SecretStore, now: float) -> Outcome:
    bus = RecordingBus()
    try:
        result = await receive_request(offline_receiver(slice_, store, bus, now), request)
    except HookchainError as error:
        return Outcome(rejection_reply(error), error)
    if isinstance(result, Answered):
        return Outcome(result.reply, handshake=result.reason)
    return Outcome(accepted_reply(result, request), events=result.events)


async def _values(store: SecretStore, names: Sequence[str]) -> Secrets:
    """Return the values of the secrets that can be read. Receive has reported the others."""
    found: dict[str, Sequence[str]] = {}
    for name in names:
        try:
            found[name] = await store.values(name)
        except Temporary:
            continue
    return found


async def _others(store: SecretStore, sources: JsonObject, name: str) -> Secrets:
    """Return the values of the other sources' secrets, by source."""
    found: dict[str, Sequence[str]] = {}
    for other, settings in sources.items():
        values = await _values(store, secret_names(settings)) if other != name else {}
        if values:
            found[other] = [value for each in values.values() for value in each]
    return found


def _reply_text(outcome: Outcome) -> str:
    return outcome.reply.body.decode("utf-8", "replace")
