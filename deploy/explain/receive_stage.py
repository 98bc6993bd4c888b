"""The explanation of receive: the function itself runs on the request, with ports that need no platform.

Receive's checks have a fixed order, so the code of a rejection says which one failed. The checks before it passed, and
those after it were not reached.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from deploy.explain.offline import FixedClock, RecordingBus, local_secrets, offline_receiver, receive_request
from deploy.explain.report import HANDSHAKE, NOT_REACHED, Check, Report, Stage
from deploy.terminal.output import count_of
from functions.receive.admission import requested_url, sender_address, source_name
from functions.receive.diagnosis.diagnose import attempted, handshake_cause, rejection_cause
from functions.receive.diagnosis.signatures import Case, as_signed, holds, time_description
from functions.receive.parsing import as_sent_by_provider
from functions.receive.replies import Answered, accepted_reply, rejection_reply
from functions.receive.source import read_sources
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError, ProblemCode, Rejected, Temporary
from shared.event import Event, event_id
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject
from shared.secrets import SecretStore
from shared.signatures.auth_scheme import AuthScheme, read_scheme, verify
from shared.signatures.key_schemes import EcdsaScheme, RsaScheme
from shared.signatures.links import EXPIRES, parameters
from shared.signatures.signature_scheme import DigestScheme, HmacScheme
from shared.times import rfc3339

Settings = JsonObject


Secrets = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Verified:
    """A successful verification, in words. `time` is empty if the scheme signs no time."""

    signature: str
    time: str = ""


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


CHECK_BY_CODE: Final[Mapping[ProblemCode, str]] = {
    "unknown_source": "path",
    "method_not_allowed": "method",
    "invalid_content_length": "size",
    "body_too_large": "size",
    "headers_too_large": "size",
    "query_too_large": "size",
    "request_timeout": "size",
    "disconnected": "size",
    "unsupported_encoding": "encoding",
    "unsupported_content_type": "content type",
    "address_not_allowed": "address",
    "origin_not_allowed": "origin",
    "prefetch_not_allowed": "origin",
    "secret_unavailable": "secret",
    "secret_weak": "secret",
    "secret_unusable": "secret",
    "key_unavailable": "key",
    "signature_mismatch": "signature",
    "password_mismatch": "signature",
    "certificate_url_not_allowed": "signature",
    "subscribe_url_not_allowed": "signature",
    "invalid_delivery_id": "id",
    "timestamp_out_of_range": "time",
    "malformed_body": "parse",
    "multiple_documents": "parse",
    "decoded_body_too_large": "parse",
    "schema_mismatch": "schema",
}
"""The check to which the code of a rejection belongs. Any other code belongs to `limits`."""

ORDER: Final = (
    "path",
    "method",
    "size",
    "encoding",
    "content type",
    "address",
    "origin",
    "secret",
    "key",
    "signature",
    "id",
    "time",
    "parse",
    "limits",
    "schema",
    "event",
)


def describe_path(name: str, settings: Settings) -> str:
    if isinstance(bus := settings.get("bus"), dict):
        return f"the source {name!r}, whose messages a bus brings ({bus.get('kind')})"
    schemes = settings.get("auth")
    count = len(schemes) if isinstance(schemes, list) else 0
    return f"the source {name!r}, with {count_of(count, 'auth scheme')}"


def describe_method(request: Request, settings: Settings) -> str:
    return f"{request.method}; this source accepts {', '.join(_texts(settings.get('methods')))}"


def describe_size(request: Request, settings: Settings) -> str:
    return f"{count_of(len(request.body), 'byte')} of at most {settings.get('max_body_bytes'):,}"


def describe_encoding(request: Request) -> str:
    return f"content encoding {request.header('content-encoding') or 'none'}"


def describe_content_type(request: Request, settings: Settings) -> str:
    sent = "present" if request.header("content-type") else "absent, so the body decides"
    accepted = _texts(settings.get("content_types"))
    return f"{sent}; this source accepts {', '.join(accepted) or 'any'}"


def describe_address(request: Request, settings: Settings, verb: str = "is within") -> str:
    blocks = _texts(settings.get("allow"))
    if not blocks:
        return "any address may send"
    proxies = settings.get("trusted_proxies")
    address, by = _sender_address(request, proxies if isinstance(proxies, int) else 0)
    return f"{address}, {by}, {verb} {', '.join(blocks)}"


def _sender_address(request: Request, proxies: int) -> tuple[str, str]:
    """Return the sender's address, and where it was found."""
    try:
        address = str(ip_address(sender_address(request, proxies)))
    except ValueError:
        address = "no address"
    if not request.header("x-forwarded-for"):
        return address, "the address that connects"
    if not proxies:
        return address, "the address that connects (X-Forwarded-For counts only with `trusted_proxies`)"
    return address, f"from X-Forwarded-For behind {count_of(proxies, 'trusted proxy', 'trusted proxies')}"


def describe_schema(settings: Settings) -> str | None:
    return "the data conforms to the source's schema" if "schema" in settings else None


def describe_origin(settings: Settings) -> str | None:
    return "the page's origin is allowed" if "form" in settings else None


def describe_id(event: Event, settings: Settings) -> str:
    is_named = bool(event.deliveryid) and event.id == event_id(event.source_name, str(event.deliveryid))
    auth = settings.get("auth")
    signs = isinstance(auth, list) and any(read_scheme(scheme).signs_content for scheme in auth)
    if signs and not is_named and settings.get("dedupe") not in {"delivery_id", "body"}:
        unsigned = "the delivery id is not signed" if event.deliveryid else "no delivery id"
        return (
            f"{unsigned}: the signed bytes identify the event, and the same bytes with any headers are a duplicate"
            " (reason same_signed_bytes), unless the source has `dedupe: delivery_id`"
        )
    if event.deliveryid:
        return "the sender's delivery id identifies the event: the same request again is a duplicate"
    return "no delivery id: the same request again is another event, unless the source has `dedupe: body`"


def describe_data(data: Json) -> str:
    if isinstance(data, dict):
        return f"an object with {count_of(len(data), 'field')}"
    if isinstance(data, list):
        return f"a list of {count_of(len(data), 'item')}"
    return {str: "a text", bool: "a truth value", type(None): "nothing"}.get(type(data), "a number")


def describe_event(events: tuple[Event, ...], settings: JsonObject) -> str:
    if len(events) != 1:
        return f"a batch of {count_of(len(events), 'event')}"
    [event] = events
    named = {"type": event.type, "subject": event.subject, "actor": event.actor, "time": event.time}
    found = ", ".join(f"{name} {value}" for name, value in named.items() if value)
    if event.type != "received" or "type" not in settings:
        return found
    texts = event.data.items() if isinstance(event.data, dict) else ()
    packed = [name for name, text in texts if isinstance(text, str) and text.lstrip()[:1] in {"{", "["}]
    advice = f"; the field {packed[0]!r} holds JSON: set `unpack: data.{packed[0]}`" if packed else ""
    return f"{found} (nothing was found for the source's `type`{advice})"


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def auth_schemes(settings: JsonObject) -> list[AuthScheme]:
    auth = settings.get("auth")
    return [read_scheme(entry) for entry in auth] if isinstance(auth, list) else []


def verified_scheme(request: Request, settings: JsonObject, secrets: Secrets, now: float, url: str) -> Verified | None:
    """Return the first scheme that verifies the request; None if none does without a key from the network."""
    for auth in auth_schemes(settings):
        values = secrets.get(auth.secret, ())
        for number, value in enumerate(values or [""], 1):
            if _passes(request, auth, [value] if values else [], now, url):
                return Verified(
                    _description(auth, number, len(values)), _time_description(Case(request, auth, [value], url), now)
                )
    return None


def is_valid_except_time(request: Request, settings: JsonObject, secrets: Secrets, url: str) -> bool:
    schemes = [as_signed(Case(request, auth, secrets.get(auth.secret, ()), url)) for auth in auth_schemes(settings)]
    return any(holds(case) or _passes(request, case.auth, case.secrets, 0, url) for case in schemes)


def _time_description(case: Case, now: float) -> str:
    if case.auth.scheme != "link":
        return time_description(as_signed(case), now)
    expires = next((value for name, value in parameters(case.request.query) if name == EXPIRES), None)
    return f"valid until {rfc3339(int(expires))}" if expires else "valid without a time limit"


def _description(auth: AuthScheme, number: int, count: int) -> str:
    if auth.scheme == "none":
        return "the source requires no authentication: anyone who finds its URL may send"
    which = f", value {number} of {count}" if count > 1 else ""
    secret = f" with the secret {auth.secret!r}{which}" if auth.secret else ""
    return f"{scheme_label(auth)}{secret}"


def scheme_label(auth: AuthScheme) -> str:
    algorithm = ""
    if isinstance(auth, HmacScheme | DigestScheme | EcdsaScheme | RsaScheme):
        algorithm = f" {auth.algorithm}"
    where = "".join(f" in {each.name}" for each in auth.credentials if each.kind == "header")
    variant = f" ({auth.variant})" if auth.variant else ""
    return f"{auth.scheme}{algorithm}{where}{variant}"


def _passes(request: Request, auth: AuthScheme, secrets: Sequence[str], now: float, url: str) -> bool:
    try:
        verify(request, auth, secrets, {}, now, url)
    except HookchainError:
        return False
    return True


def rejection_reasons(
    request: Request, settings: JsonObject, secrets: Secrets, now: float, url: str, others: Secrets
) -> list[str]:
    """Return one line for each scheme that the request carries credentials for, or for all schemes if it has none."""
    schemes = attempted(request, auth_schemes(settings))
    causes: list[str] = []
    for auth in schemes:
        cause = rejection_cause(request, auth, secrets.get(auth.secret, ()), now, url, others)
        if cause:
            causes.append(cause if len(schemes) == 1 else f"{scheme_label(auth)}: {cause}")
    return causes


def secret_names(settings: Json) -> list[str]:
    auth = settings.get("auth") if isinstance(settings, dict) else None
    schemes = auth if isinstance(auth, list) else []
    return list(dict.fromkeys(str(each["secret"]) for each in schemes if isinstance(each, dict) and each.get("secret")))
