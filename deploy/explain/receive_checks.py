"""The result of each of receive's checks. The code of a rejection says which check failed."""

from dataclasses import dataclass
from typing import Final

from deploy.explain.auth_schemes import Verified, secret_names
from deploy.explain.receive_descriptions import (
    CHECK_BY_CODE,
    ORDER,
    describe_address,
    describe_content_type,
    describe_data,
    describe_encoding,
    describe_event,
    describe_id,
    describe_method,
    describe_origin,
    describe_path,
    describe_schema,
    describe_size,
)
from deploy.explain.report import HANDSHAKE, NOT_REACHED, Check
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError, Rejected
from shared.event import Event
from shared.http import Reply, Request
from shared.jsontext import JsonObject


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision of receive. `error` is the rejection; `handshake` names the handshake that was answered."""

    reply: Reply
    error: HookchainError | None = None
    events: tuple[Event, ...] = ()
    handshake: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """The facts that the descriptions are made from. `settings` are the source's; None for an unknown source."""

    request: Request
    name: str
    settings: JsonObject | None
    outcome: Outcome
    proof: Verified | None
    is_right_but_for_time: bool


def receive_checks(looked: Inspection, sources: JsonObject) -> list[Check]:
    error, handshake = looked.outcome.error, looked.outcome.handshake
    failed = CHECK_BY_CODE.get(error.code, "limits") if error else None
    passed = _passed_texts(looked)
    found: list[Check] = []
    is_after = False
    for name in ORDER:
        if name == failed and error:
            found.append(Check(name, "failed", _failed_text(error, looked, sources)))
            is_after = True
        elif is_after:
            found.append(Check(name, "skipped", NOT_REACHED))
        elif name == "signature" and failed in _BEFORE_SIGNATURE:
            found.append(_signature_check(failed, looked))
        elif text := passed.get(name):
            found.append(Check(name, "passed", text))
        elif name != "key" and not (handshake and name in _EVENT_CHECKS):
            found.append(Check(name, "skipped", _SKIPPED.get(name, "nothing to check")))
    if handshake:
        found.append(Check(HANDSHAKE, "passed", f"{handshake}: answered; no event is created"))
    return found


def _signature_check(failed: str, looked: Inspection) -> Check:
    """Return the signature's own result for a request whose id or time failed, because receive checks these first."""
    if looked.is_right_but_for_time:
        return Check("signature", "passed", f"correct, except for its {failed}")
    return Check("signature", "failed" if failed == "time" else "skipped", f"cannot be correct with this {failed}")


_BEFORE_SIGNATURE: Final = frozenset({"id", "time"})
_EVENT_CHECKS: Final = frozenset({"id", "time", "parse", "limits", "schema", "event"})
_SKIPPED: Final = {
    "origin": "the source is not a browser form",
    "secret": "the source has none",
    "schema": "the source has none",
    "time": "this auth scheme signs no time",
}


def _failed_text(error: HookchainError, looked: Inspection, sources: JsonObject) -> str:
    if error.code == "address_not_allowed" and looked.settings is not None:
        return describe_address(looked.request, looked.settings, "is not within")
    is_unknown = error.code == "unknown_source" and looked.name not in sources
    hint = did_you_mean(looked.name, sources) if is_unknown else ""
    kind = "" if isinstance(error, Rejected) else "not confirmed: "
    return f"{kind}{error.detail}{hint}"


def _passed_texts(looked: Inspection) -> dict[str, str | None]:
    request, name, settings, outcome, proof = (
        looked.request,
        looked.name,
        looked.settings,
        looked.outcome,
        looked.proof,
    )
    if settings is None:
        return {}
    events = outcome.events
    names = secret_names(settings)
    return {
        "path": describe_path(name, settings),
        "method": describe_method(request, settings),
        "size": describe_size(request, settings),
        "encoding": describe_encoding(request),
        "content type": describe_content_type(request, settings),
        "address": describe_address(request, settings),
        "origin": describe_origin(settings),
        "secret": f"{', '.join(map(repr, names))}: available" if names else None,
        "signature": proof.signature if proof else "verified",
        "id": describe_id(events[0], settings) if events else None,
        "time": proof.time if proof else None,
        "parse": describe_data(events[0].data) if events else "the body parses",
        "limits": "within all limits",
        "schema": describe_schema(settings),
        "event": describe_event(events, settings) if not outcome.handshake else None,
    }
