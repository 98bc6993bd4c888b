"""The interface of a kind of destinations that sends HTTP requests, and what such kinds are made of.

A kind is two pure functions over plain values, and most have 30 to 60 lines. A kind named `chat` is the module
`functions.notify.destinations.chat`. It has

    Settings   a pydantic model, frozen, extra="forbid", whose docstring's first line is its summary in
               `hookchain destinations`. A field `secret`, or one that ends in `_secret`, holds the name of a secret
    request    `(delivery, settings, secrets, attempt) -> OutgoingRequest`
    outcome    `(response) -> Outcome`. It is called only if a response came: only the engine returns Unknown

`Settings` may say more of the kind, for example which packages it needs: see kind_settings.py.

Its examples, which `hookchain destinations chat` prints and a test runs, are data: `chat.yaml` in
deploy/explain/destination_examples. An operator's own kind has them in its module, as `EXAMPLES`.

If the receiver guarantees that it acts only once on the key in a request, the module has `DEDUPES_REPEATS = True`.

If a response does not show whether an earlier attempt succeeded, a kind can also have

    check_after       `(response, request) -> OutgoingRequest | None`: a request that reads what the receiver has; None
                      if the response says enough
    outcome_of_check  `(response, request) -> Outcome`: the outcome by the response to that request. `request` is the
                      first request

and, to warn of a response that may be no success although its status says so,

    doubt_of          `(response) -> str | None`: a text that the attempt's record shows instead of the response. It is
                      not called if the destination has `success_when`

The engine (http_engine.py) reads the secrets, authenticates the request, sends it through the guarded fetch, bounds the
time, classifies the network's errors, and keeps the beginning of the response for people to read.
"""

import json
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from shared import fetch, times
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater
from shared.event import Event, oneline, to_cloudevent, view_of
from shared.jsontext import Json, JsonObject, json_or_none, to_json, value_at
from shared.secrets import InvalidSecret
from shared.templating.template import Template, one_line_template

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person
    from shared.outgoing.auth import AnyRequestAuth


MAX_RESPONSE_BYTES: Final = 65_536
"""The most bytes of a response's body that are read."""
MAX_EXCERPT_CHARACTERS: Final = 500
"""The length of the beginning of a response that is kept for people."""
MAX_STATED_SECONDS: Final = 1e12
"""A wait in a response that is longer than this is not believed."""
_RETRY_AFTER_STATUSES: Final = frozenset({408, 425, 429})
"""The 4xx statuses whose `Retry-After` is respected."""
UNREMARKABLE_SECONDS: Final = 60.0
"""A reason names a longer wait for which the receiver asks, because it may explain a late attempt."""

SecretValues: TypeAlias = Mapping[str, tuple[str, ...]]
"""The values of the secrets that the settings name, by the secrets' names. The newest value of a secret is first, so
`secrets[name][0]` is the one to use. A secret without a value is never in it."""


# Not frozen, because a frozen dataclass takes four times as long to create. Nothing changes it.
@dataclass(slots=True)
class OutgoingRequest:
    """A request that the engine sends.

    auth           schemes that need the network or the whole request (OAuth, AWS), which the engine applies
    allow_private  the operator allows an address that is not public, and plain http to any address
    tls            a client certificate, or the authorities that verify the server's certificate, in PEM
    allow_http     the operator allows plain http; an address that is not public needs `allow_private`
    credentials    texts that are masked in the response, besides the values of the secrets
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    auth: "tuple[AnyRequestAuth, ...]" = ()
    allow_private: bool = False
    tls: fetch.Tls | None = None
    allow_http: bool = False
    credentials: tuple[str, ...] = ()


class Response(NamedTuple):
    """A response to a request of a kind, in which credentials are masked.

    headers      names are in lower case
    body         at most MAX_RESPONSE_BYTES
    now          when it came, in Unix seconds
    is_cut       the body was longer, and was cut
    redirect_to  a description of where a redirect leads; empty if that is not known
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    now: float
    is_cut: bool = False
    redirect_to: str = ""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Json:
        """Return the value of the body as JSON; None if the body is not JSON."""
        return json_or_none(self.body)

    def member(self, *path: str | int) -> Json:
        """Return the value at this path of names and indices in the body's JSON; None if there is none."""
        return value_at(self.json(), *path)

    def seconds(self, value: Json) -> float | None:
        """Return the wait in seconds that `value`, a member of the body, states.

        If it is no number of seconds, return the wait of `Retry-After`.
        """
        # The bounds also exclude NaN and numbers of 400 digits.
        if isinstance(value, int | float) and 0 <= value <= MAX_STATED_SECONDS:
            return float(value)
        return self.retry_after_seconds

    @property
    def excerpt(self) -> str:
        """The status, the address of a redirect, and the beginning of the body, for people to read."""
        location = (self.header("location") or "") if self.redirect_to else ""
        text = f"{self.status} {location} {self.body.decode('utf-8', 'replace')}"
        return oneline(text).strip()[:MAX_EXCERPT_CHARACTERS]

    @property
    def retry_after_seconds(self) -> float | None:
        """The wait that `Retry-After` asks for; None if it asks for none."""
        return fetch.retry_after_seconds(self.header("retry-after"), self.now)


@dataclass(frozen=True, slots=True)
class HttpExample:
    """An example of a destination's settings, and of the request for an event.

    settings  the kind's settings, as the configuration has them
    data      the event's data
    secrets   the value of each secret that the settings name
    url       the URL of the request
    headers   headers that the request has, among others; names in lower case
    body      the JSON of the body, or its text
    """

    settings: Json
    data: Json
    url: str
    body: Json
    method: str = "POST"
    secrets: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


# Making a request


def utf8(text: str) -> bytes:
    """Return the text in UTF-8. Half a surrogate pair, which a sender may have written, becomes a question mark."""
    return text.encode("utf-8", "replace")


def json_body(value: Json) -> bytes:
    """Return the JSON, as `utf8` encodes it."""
    return utf8(to_json(value))


def json_request(
    url: str,
    body: Json,
    *headers: tuple[str, str],
    auth: "tuple[AnyRequestAuth, ...]" = (),
    allow_private: bool = False,
) -> OutgoingRequest:
    """Return a POST of the JSON."""
    all_headers = (("content-type", "application/json"), *headers)
    return OutgoingRequest("POST", url, all_headers, json_body(body), auth, allow_private)


def bearer(token: str) -> tuple[str, str]:
    """Return the header that carries the token."""
    return "authorization", f"Bearer {token}"


def basic(user: str, password: str) -> tuple[str, str]:
    """Return the header of basic authentication."""
    return "authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def unusable_secret(name: str, fault: str) -> InvalidSecret:
    """Return the error for a secret that the operator must correct. Until then, its destination is held.

    `fault` continues a sentence that begins with the secret's name.
    """
    return InvalidSecret(name, fault)


# The event, and the templates that read it


def template_view(delivery: Delivery, person: "Person | None" = None) -> JsonObject:
    """Return the names and values that a template in the settings may use."""
    names: JsonObject = {"route": delivery.route, "destination": delivery.destination, "count": delivery.merged or 1}
    view = {**view_of(delivery.event), **names}
    return view if person is None else {**view, "person": person.view}


# Settings are plain values, so that the templates in them are compiled at their first use.
_template = lru_cache(maxsize=1_000)(Template)
_line_template = lru_cache(maxsize=1_000)(one_line_template)


def rendered(name: str, text: str, view: JsonObject) -> str:
    """Return the result of the template. `name` is that of its setting. Raises Permanent, as `Template.render`."""
    return _template(name, text).render(view)


def rendered_line(name: str, text: str, view: JsonObject) -> str:
    """Return the result of the template as one line of text. Raises Permanent."""
    return oneline(_line_template(name, text).render(view))


def json_in(text: str) -> Json:
    """Return the JSON in the result of a template. Raises ValueError, also for 1e999 and NaN, and RecursionError."""
    value: Json = json.loads(text, parse_float=_finite, parse_constant=_finite)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("JSON has neither infinity nor NaN")
    return number


def public_cloudevent(event: Event) -> JsonObject:
    """Return the event as others may see it: without the raw request and without what only Hookchain uses."""
    shown = replace(
        event, rawbody=None, rawbase64=None, rawtype=None, rawheaders=None, signedas=None, datatype=None, item=0
    )
    return to_cloudevent(shown)


def digest_words(delivery: Delivery) -> tuple[str, str] | None:
    """Return the title and the text of a digest; None for any other delivery.

    The operator's templates are about one event, and do not fit a digest.
    """
    if not delivery.merged:
        return None
    # Imported here, because few deliveries are digests.
    from functions.notify.digests.digest_text import title_and_text

    return title_and_text(delivery)


# The outcome of a response


def held(response: Response, service: str, advice: str) -> Disabled:
    """Return the outcome for a key, token or address that the service rejects. `advice` says what to correct."""
    return Disabled(f"{service} answered {response.status}: {advice}", response.excerpt)


def outcome_by_status(
    response: Response, service: str, *, failed: Collection[int] = (), held_advice: str = ""
) -> Outcome:
    """Return the usual outcome of a response, which the first of these decides:

    2xx                    delivered
    401, 403 and 404       holds the destination, if there is `held_advice`, which says what to correct
    a status in `failed`   fails for good
    410                    disables the destination
    any other              retried. A redirect is not followed, because the operator may correct the URL

    `service` names the receiver in reasons.
    """
    status = response.status
    excerpt = response.excerpt
    if 200 <= status < 300:
        return Delivered(excerpt)
    if held_advice and status in {401, 403, 404}:
        return held(response, service, held_advice)
    if status in failed:
        return Failed("request_rejected", f"{service} rejects the request ({status})", excerpt)
    if status == 410:
        return Disabled(f"{service} answered 410: this address is gone for good", excerpt)
    may_ask_to_wait = status in _RETRY_AFTER_STATUSES or status >= 500
    after = response.retry_after_seconds if may_ask_to_wait else None
    if status in fetch.REDIRECTS:
        advice = "set `url` to the address that it names"
        if response.redirect_to:
            advice = f"it leads to {response.redirect_to}, so correct `url`"
        return RetryLater(f"{service} answered {status}; redirects are not followed: {advice}", after, excerpt)
    reason = f"{service} answered {status}"
    if after is not None and after > UNREMARKABLE_SECONDS:
        reason += f" and asks for a wait of {times.duration_text(round(after))}"
    return RetryLater(reason, after, excerpt)
