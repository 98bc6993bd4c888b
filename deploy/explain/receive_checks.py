"""What each of receive's checks found, told from what it decided: the code of its refusal says which one failed."""

from dataclasses import dataclass
from typing import Final

from deploy.explain.authentication import Proof, secret_names
from deploy.explain.receive_descriptions import (
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
from deploy.explain.report import NOT_MADE, Check
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError, Rejected
from shared.event import Event
from shared.http import Reply, Request
from shared.jsontext import JsonObject


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` where it was refused; `handshake` where it was answered without an event."""

    reply: Reply
    error: HookchainError | None = None
    events: tuple[Event, ...] = ()
    handshake: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known once receive has decided. `settings` are the source's; None where there is no such source."""

    request: Request
    name: str
    settings: JsonObject | None
    outcome: Outcome
    proof: Proof | None
    is_right_but_for_time: bool


def checks_of(looked: Looked, sources: JsonObject) -> list[Check]:
    error, handshake = looked.outcome.error, looked.outcome.handshake
    failed = CHECK_OF.get(error.code, "limits") if error else None
    passed = _passed_words(looked)
    found: list[Check] = []
    is_after = False
    for name in ORDER:
        if name == failed and error:
            found.append(Check(name, "failed", _failed_words(error, looked, sources)))
            is_after = True
        elif is_after:
            found.append(Check(name, "skipped", NOT_MADE))
        elif name == "signature" and failed in _BESIDE_SIGNATURE:
            found.append(_beside(failed, looked))
        elif words := passed.get(name):
            found.append(Check(name, "passed", words))
        elif name != "key" and not (handshake and name in _OF_EVENTS):
            found.append(Check(name, "skipped", _SKIPPED.get(name, "nothing to look at")))
    if handshake:
        found.append(Check("handshake", "passed", f"{handshake}: answered, and no event is made"))
    return found


def _beside(failed: str, looked: Looked) -> Check:
    """Receive looks at a signature's id and time first; whether it is right is worth knowing all the same."""
    if looked.is_right_but_for_time:
        return Check("signature", "passed", f"right, but for its {failed}")
    return Check("signature", "failed" if failed == "time" else "skipped", f"cannot be right with this {failed}")


_BESIDE_SIGNATURE: Final = frozenset({"id", "time"})
_OF_EVENTS: Final = frozenset({"id", "time", "parse", "limits", "schema", "event"})
_SKIPPED: Final = {
    "origin": "the source is no form of a browser's",
    "secret": "the source has none",
    "schema": "the source has none",
    "time": "this way of proof signs no time",
}


def _failed_words(error: HookchainError, looked: Looked, sources: JsonObject) -> str:
    if error.code == "address" and looked.settings is not None:
        return address_words(looked.request, looked.settings, "is not within")
    is_unknown = error.code == "unknown_source" and looked.name not in sources
    hint = did_you_mean(looked.name, sources) if is_unknown else ""
    kind = "" if isinstance(error, Rejected) else "not confirmed: "
    return f"{kind}{error.detail}{hint}"


def _passed_words(looked: Looked) -> dict[str, str | None]:
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
        "path": path_words(name, settings),
        "method": method_words(request, settings),
        "size": size_words(request, settings),
        "encoding": encoding_words(request),
        "content type": content_type_words(request, settings),
        "address": address_words(request, settings),
        "origin": origin_words(settings),
        "secret": f"{', '.join(map(repr, names))}: there, and not shown" if names else None,
        "signature": proof.signature if proof else "right, or proven by a part of it",
        "id": id_words(events[0], settings) if events else None,
        "time": proof.time if proof else None,
        "parse": data_words(events[0].data) if events else "it parses",
        "limits": "within all of them",
        "schema": schema_words(settings),
        "event": event_words(events) if not outcome.handshake else None,
    }
