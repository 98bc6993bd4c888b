"""The explanation of receive: the function itself runs on the request, with ports that need no platform.

The code of a rejection says which check failed. The report shows the checks before it as passed, and those after it as
not reached. Receive does not say what a passed check found, so this module composes those sentences from the request
and the source, and verifies the signature once more to tell which scheme and secret it fits.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from deploy.explain.offline import FixedClock, RecordingBus, local_secrets, offline_receiver, receive_request
from deploy.explain.report import HANDSHAKE, NOT_REACHED, Check, Report, Stage, State
from deploy.requests.sources import auth_entries, auth_secret_names
from deploy.terminal.output import count_of
from functions.receive import admission, parsing, receive
from functions.receive.diagnosis import diagnose, signatures
from functions.receive.diagnosis.cases import Case, as_signed, holds
from functions.receive.facts import Item, text_at
from functions.receive.settings_hints import FROM_USUAL_FIELD, lacks_fact, packed_field, packed_hint, settings_hint
from functions.receive.source import Source, read_sources, sender_address
from shared import http, missing_paths, times
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError, ProblemCode, Rejected, Temporary
from shared.event import NO_TYPE, Event, event_id
from shared.jsontext import Json, JsonObject, mappings_at, texts_at
from shared.secrets import SecretStore
from shared.signatures import auth_scheme, key_schemes, links, signature_scheme
from shared.signatures.locations import Choices, Location, first_value_at

NAME: Final = "receive"
CODES_BY_CHECK: Final[Mapping[str, tuple[ProblemCode, ...]]] = {
    "path": ("unknown_source",),
    "method": ("method_not_allowed",),
    "size": (
        "invalid_content_length",
        "body_too_large",
        "headers_too_large",
        "query_too_large",
        "request_timeout",
        "disconnected",
    ),
    "encoding": ("unsupported_encoding",),
    "content type": ("unsupported_content_type",),
    "address": ("address_not_allowed",),
    "origin": ("origin_not_allowed", "prefetch_not_allowed"),
    "secret": ("secret_unavailable", "secret_weak", "secret_unusable"),
    "key": ("key_unavailable",),
    "signature": (
        "signature_mismatch",
        "password_mismatch",
        "certificate_url_not_allowed",
        "subscribe_url_not_allowed",
    ),
    "id": ("invalid_delivery_id",),
    "time": ("timestamp_out_of_range",),
    "parse": ("malformed_body", "multiple_documents", "decoded_body_too_large"),
    "limits": (),
    "schema": ("schema_mismatch",),
    "event": (),
}
"""The checks in the order in which they are shown, and the codes of a rejection by each. Any other code belongs to
`limits`.

This is receive's order, except that most schemes check the signed id and time before the signature."""
_BEFORE_SIGNATURE: Final = frozenset({"id", "time"})
"""The checks that are shown after the signature although a failure of one may hide whether the signature is correct."""
_EVENT_CHECKS: Final = frozenset({"id", "time", "parse", "limits", "schema", "event"})
"""The checks that need not be shown for a handshake, which makes no event."""
_SKIPPED: Final = {
    "origin": "the source is not a browser form",
    "secret": "the source has none",
    "schema": "the source has none",
    "time": "this auth scheme signs no time",
}
"""Why a check had nothing to do, where there is more to say than that."""
FROM_THE_BUS: Final = "the platform brings the message, and nobody else can; assumed here"
VERIFIED: Final = "verified"
"""The text of a request that passed although no secret at hand verifies it: no key is fetched from the network here."""
_AUTHENTICATION_CODES: Final[frozenset[ProblemCode]] = frozenset(
    {"signature_mismatch", "timestamp_out_of_range", "invalid_delivery_id", "password_mismatch"}
)

Secrets = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Verification:
    """A successful verification, in words. `time` is empty if the scheme signs no time."""

    signature: str
    time: str = ""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A request to a configured source, with all that its checks compare it with.

    request   the request as the provider sent it
    source    the source as receive builds it of `settings`
    settings  the source's settings as the slice has them, for what the report quotes
    secrets   the values of the source's secrets that can be read, by name
    url       the URL that the sender called, as receive reconstructs it
    now       the time of the request in Unix seconds
    """

    request: http.Request
    source: Source
    settings: JsonObject
    secrets: Secrets
    url: str
    now: float

    def verification(self) -> Verification | None:
        """Describe the first scheme and secret that verify the request.

        Return None if none does, or only with a key from the network. A bus's message is taken as verified.
        """
        if "bus" in self.settings:
            return Verification(FROM_THE_BUS)
        for auth in auth_schemes(self.settings):
            values = self.secrets.get(auth.secret, ())
            tries = [[value] for value in values] or [[]]  # some schemes have no secret
            for number, tried in enumerate(tries, 1):
                if self._passes(auth, tried):
                    time = _time_description(Case(self.request, auth, tried, self.url), self.now)
                    return Verification(_description(auth, number, len(values)), time)
        return None

    def has_correct_signature(self) -> bool:
        """Return whether a scheme's signature is correct, whatever time is signed."""
        schemes = auth_schemes(self.settings)
        cases = [Case(self.request, auth, self.secrets.get(auth.secret, ()), self.url) for auth in schemes]
        return any(holds(as_signed(case)) for case in cases)

    def _passes(self, auth: auth_scheme.AuthScheme, secrets: Sequence[str]) -> bool:
        try:
            auth_scheme.verify_request(self.request, auth, secrets, {}, self.now, self.url)
        except HookchainError:
            return False
        return True

    def advice(self, code: ProblemCode | None, others: Secrets) -> list[str]:
        """Return the likely causes of a rejection with the code. `others` are the secrets of the other sources."""
        if code not in {*_AUTHENTICATION_CODES, "method_not_allowed"}:
            return []
        if cause := diagnose.handshake_cause(self.request, self.source):
            return [cause]
        return self._rejection_causes(others) if code in _AUTHENTICATION_CODES else []

    def _rejection_causes(self, others: Secrets) -> list[str]:
        """Return one line for each scheme that the request carries credentials for, or for all if it has none."""
        schemes = diagnose.attempted(self.request, auth_schemes(self.settings))
        is_of_provider = "formats" in self.settings
        causes: list[str] = []
        for auth in schemes:
            secrets = self.secrets.get(auth.secret, ())
            cause = diagnose.rejection_cause(self.request, auth, secrets, self.now, self.url, others, is_of_provider)
            if cause:
                causes.append(cause if len(schemes) == 1 else f"{scheme_label(auth)}: {cause}")
        return causes


def auth_schemes(settings: JsonObject) -> list[auth_scheme.AuthScheme]:
    return [auth_scheme.read_scheme(entry) for entry in auth_entries(settings)]


def _time_description(case: Case, now: float) -> str:
    if case.auth.scheme != "link":
        return signatures.time_description(as_signed(case), now)
    expires = next((value for name, value in links.parameters(case.request.query) if name == links.EXPIRES), None)
    return f"valid until {times.rfc3339(int(expires))}" if expires else "valid without a time limit"


def _description(auth: auth_scheme.AuthScheme, number: int, count: int) -> str:
    if auth.scheme == "none":
        return "the source requires no authentication: anyone who finds its URL may send"
    which = f", value {number} of {count}" if count > 1 else ""
    secret = f" with the secret {auth.secret!r}{which}" if auth.secret else ""
    return f"{scheme_label(auth)}{secret}"


def scheme_label(auth: auth_scheme.AuthScheme) -> str:
    algorithm = ""
    if isinstance(
        auth,
        signature_scheme.HmacScheme | signature_scheme.DigestScheme | key_schemes.EcdsaScheme | key_schemes.RsaScheme,
    ):
        algorithm = f" {auth.algorithm}"
    where = "".join(f" in {each.name}" for each in auth.credentials if each.kind == "header")
    variant = f" ({auth.variant})" if auth.variant else ""
    return f"{auth.scheme}{algorithm}{where}{variant}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision of receive. `error` is the rejection; `handshake` names the handshake that was answered.

    `note` is what receive logs with the events.
    """

    reply: http.Reply
    error: HookchainError | None = None
    events: tuple[Event, ...] = ()
    handshake: str = ""
    note: str | None = None


def explain_receive(request: http.Request, slice_: JsonObject, environ: Mapping[str, str], now: float) -> Report:
    """Return what receive would do. `slice_` is receive's."""
    store = local_secrets(environ, FixedClock(now))
    sources = mappings_at(slice_, "sources")
    name = admission.source_name(request.path)
    outcome = asyncio.run(_run(request, slice_, store, now))
    code = outcome.error.code if outcome.error else None
    advice: list[str] = []
    if name not in sources:
        checks = receive_checks(name, None, outcome, sources)
    else:
        source = read_sources(slice_)[name]
        secrets = asyncio.run(_values(store, auth_secret_names(sources[name])))
        url = admission.requested_url(request, source)
        request_as_sent = parsing.with_content_type_of_body(source, request)
        sent = SourceRequest(request_as_sent, source, sources[name], secrets, url, now)
        checks = receive_checks(name, sent, outcome, sources)
        advice = sent.advice(code, asyncio.run(_others(store, sources, name)))
    return Report(
        status=outcome.reply.status,
        code=code,
        source=name if name in sources else None,
        stages=(Stage(NAME, tuple(checks)),),
        events=outcome.events,
        reply=outcome.reply.body.decode("utf-8", "replace"),
        advice=tuple(advice),
    )


async def _run(request: http.Request, slice_: JsonObject, store: SecretStore, now: float) -> Outcome:
    bus = RecordingBus()
    try:
        result = await receive_request(offline_receiver(slice_, store, bus, now), request)
    except HookchainError as error:
        return Outcome(receive.rejection_reply(error), error)
    if isinstance(result, receive.Answered):
        return Outcome(result.reply, handshake=result.reason)
    return Outcome(
        receive.accepted_reply(result, request), events=result.events, note=settings_hint(result.source, result.events)
    )


async def _values(store: SecretStore, names: Sequence[str]) -> Secrets:
    """Return the values of the secrets that can be read. Receive has reported the others."""
    readable: dict[str, Sequence[str]] = {}
    for name in names:
        try:
            readable[name] = await store.values(name)
        except Temporary:
            continue
    return readable


async def _others(store: SecretStore, sources: Mapping[str, JsonObject], name: str) -> Secrets:
    """Return the values of the other sources' secrets, by source."""
    readable: dict[str, Sequence[str]] = {}
    for other, settings in sources.items():
        values = await _values(store, auth_secret_names(settings)) if other != name else {}
        if values:
            readable[other] = [value for each in values.values() for value in each]
    return readable


def receive_checks(name: str, sent: SourceRequest | None, outcome: Outcome, sources: Collection[str]) -> list[Check]:
    """Return the checks in the order of CODES_BY_CHECK. `sent` is None if no source has the name."""
    error, handshake = outcome.error, outcome.handshake
    failed_check = _failed_check(error) if error else None
    passed_texts = _passed_texts(name, sent, outcome) if sent else {}
    checks: list[Check] = []
    is_after_failure = False
    for check in CODES_BY_CHECK:
        if error and check == failed_check:
            checks.append(Check(check, "failed", _failed_text(error, name, sent, sources)))
            is_after_failure = True
        elif is_after_failure:
            checks.append(Check(check, "skipped", NOT_REACHED))
        elif check == "signature" and sent and failed_check in _BEFORE_SIGNATURE:
            checks.append(_signature_check(failed_check, sent))
        elif text := passed_texts.get(check):
            checks.append(Check(check, "passed", text))
        elif check == "key" or (handshake and check in _EVENT_CHECKS):
            # Few sources fetch a key, so it is shown only if that failed. A handshake makes no event.
            continue
        else:
            checks.append(Check(check, "skipped", _SKIPPED.get(check, "nothing to check")))
    if handshake:
        checks.append(Check(HANDSHAKE, "passed", f"{handshake}: answered; no event is created"))
    return checks


def _failed_check(error: HookchainError) -> str:
    return next((check for check, codes in CODES_BY_CHECK.items() if error.code in codes), "limits")


def _signature_check(failed_check: str, sent: SourceRequest) -> Check:
    """Return the signature's own result for a request whose id or time failed, which receive may check first."""
    if sent.has_correct_signature():
        return Check("signature", "passed", f"correct, except for its {failed_check}")
    state: State = "failed" if failed_check == "time" else "skipped"
    return Check("signature", state, f"cannot be correct with this {failed_check}")


def _failed_text(error: HookchainError, name: str, sent: SourceRequest | None, sources: Collection[str]) -> str:
    if error.code == "address_not_allowed" and sent:
        return _address_text(sent, "is not within")
    is_unknown = error.code == "unknown_source" and name not in sources
    hint = did_you_mean(name, sources) if is_unknown else ""
    kind = "" if isinstance(error, Rejected) else "not confirmed: "
    return f"{kind}{error.detail}{hint}"


def _passed_texts(name: str, sent: SourceRequest, outcome: Outcome) -> dict[str, str | None]:
    """Return what each check found if it passed; None for a check that had nothing to do.

    The texts are composed for all checks. Those of a check that failed or was not reached are not shown.
    """
    request, settings = sent.request, sent.settings
    events, verification = outcome.events, sent.verification()
    encoding = request.header("content-encoding") or "none"
    content_type = "present" if request.header("content-type") else "absent, so the body decides"
    accepted_types = ", ".join(texts_at(settings, "content_types")) or "any"
    secrets = ", ".join(map(repr, auth_secret_names(settings)))
    return {
        "path": _source_text(name, settings),
        "method": f"{request.method}; this source accepts {', '.join(sent.source.answered_methods)}",
        "size": f"{count_of(len(request.body), 'byte')} of at most {settings.get('max_body_bytes'):,}",
        "encoding": f"content encoding {encoding}",
        "content type": f"{content_type}; this source accepts {accepted_types}",
        "address": _address_text(sent),
        "origin": "the page's origin is allowed" if "form" in settings else None,
        "secret": f"{secrets}: available" if secrets else None,
        "signature": verification.signature if verification else VERIFIED,
        "id": _id_text(events[0], sent) if events else None,
        "time": verification.time if verification else None,
        "parse": "the body parses",
        "limits": "within all limits",
        "schema": "the data conforms to the source's schema" if "schema" in settings else None,
        "event": None if outcome.handshake else _event_text(events, sent, outcome.note),
    }


def _source_text(name: str, settings: JsonObject) -> str:
    if isinstance(bus := settings.get("bus"), dict):
        return f"the source {name!r}, whose messages a bus brings ({bus.get('kind')})"
    schemes = settings.get("auth")
    count = len(schemes) if isinstance(schemes, list) else 0
    return f"the source {name!r}, with {count_of(count, 'auth scheme')}"


def _address_text(sent: SourceRequest, verb: str = "is within") -> str:
    blocks = texts_at(sent.settings, "allow")
    if not blocks:
        return "any address may send"
    address, by = _sender_address(sent.request, sent.source.trusted_proxies)
    return f"{address}, {by}, {verb} {', '.join(blocks)}"


def _sender_address(request: http.Request, proxies: int) -> tuple[str, str]:
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


def _id_text(event: Event, sent: SourceRequest) -> str:
    settings, choices = sent.settings, sent.source.fact_locations.id
    is_named = bool(event.deliveryid) and event.id == event_id(event.source_name, str(event.deliveryid))
    auth = settings.get("auth")
    signs = isinstance(auth, list) and any(auth_scheme.read_scheme(scheme).signs_content for scheme in auth)
    no_id = "no delivery id"
    if choices and not event.deliveryid:
        no_id = f"no delivery id, because `id` finds nothing{_missing_text(choices, sent, event)}"
    if signs and not is_named and settings.get("dedupe") not in {"delivery_id", "body"}:
        unsigned = "the delivery id is not signed" if event.deliveryid else no_id
        return (
            f"{unsigned}: the signed bytes identify the event, and the same bytes with any headers are a duplicate"
            " (reason same_signed_bytes), unless the source has `dedupe: delivery_id`"
        )
    if event.deliveryid:
        return "the sender's delivery id identifies the event: the same request again is a duplicate"
    if settings.get("dedupe") == "body":
        return f"{no_id}: the body identifies the event, and the same body again is a duplicate"
    return f"{no_id}: the same request again is another event, unless the source has `dedupe: body`"


def _missing_text(choices: Choices, sent: SourceRequest, event: Event) -> str:
    """Return the locations that have no text, in brackets and with the paths that are probably meant.

    It is empty for a message of a bus: its attributes are not in the request.
    """
    if sent.source.bus:
        return ""
    item = Item(sent.request, event.data, event.data)
    # The body of a batch is not known here: the item stands in for it.
    known = [each for joined in choices for each in joined if not (event.item and each.kind == "body")]
    locations = [location for location in known if not text_at(location, item)]
    texts = [_missing_location_text(location, event.data) for location in locations]
    return f" ({'; '.join(texts)})" if texts else ""


def _missing_location_text(location: Location, data: Json) -> str:
    if location.kind != "data":
        verb = "is missing" if location.kind in {"header", "query"} else "has no text"
        return f"{auth_scheme.described(location)} {verb}"
    lacks_condition = location.condition and first_value_at(location.condition, data) is None
    # The first item of a list is read where a location has `*`.
    path = ["0" if name == "*" else name for name in (location.condition if lacks_condition else location.path)]
    if first_value_at(path, data) == "":
        return f"'data.{'.'.join(path)}' is an empty text in this event"
    return missing_paths.missing_path_message(".".join(("data", *path)), {"data": data})


def _event_text(events: tuple[Event, ...], sent: SourceRequest, note: str | None) -> str:
    if len(events) != 1:
        return f"a batch of {count_of(len(events), 'event')}"
    [event] = events
    names = ("type", "action", "subject", "actor", "time")
    facts = ", ".join(f"{name} {value}" for name in names if (value := getattr(event, name)))
    if event.type == NO_TYPE and not sent.settings.get("batch") and (field := packed_field(event.data)):
        note = packed_hint(field)
    return "; ".join([facts, note] if note else [facts, *_missing_fact_texts(event, sent)])


def _missing_fact_texts(event: Event, sent: SourceRequest) -> Iterator[str]:
    """Yield the settings of facts that find nothing. Of a provider, whose events often lack the others, only `type`."""
    found = sent.source.fact_locations
    choices_by_name = {"type": found.type}
    if not sent.source.formats:
        choices_by_name |= {"subject": found.subject, "actor": found.actor, "time": found.time, "action": found.action}
    for name, choices in choices_by_name.items():
        if choices and lacks_fact(sent.source, choices, event, sent.request):
            is_other = name == "type" and event.type != NO_TYPE
            effect = FROM_USUAL_FIELD if is_other else ""
            yield f"`{name}` finds nothing{_missing_text(choices, sent, event)}{effect}"
