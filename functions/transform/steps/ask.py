"""The steps `call` and `fetch`, which ask another system for data, and how they ask it.

Both get their answer from `answer_once`. It looks in three places, of which the first one that has an answer counts:

1. the answer that is stored for this event, so that an event that comes again is transformed as before
2. with `cached`, the answer that this process keeps for the URL
3. the system itself, by `request_answer`, once its host has a place for the request (functions/transform/hosts.py)
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, NamedTuple

from functions.transform import step
from functions.transform.paths import DataPath, find_value, parse_path, put
from functions.transform.steps.compose import merge
from shared import errors, fetch
from shared.config.rules import LISTED, Seconds, SecretName, limits, verified_by
from shared.event import NAMES, Event, to_cloudevent, view_of
from shared.formats.parse import parse_body
from shared.jsontext import Json, JsonObject, canonical, to_json
from shared.outgoing.allowed_urls import read_target
from shared.timed_cache import TimedCache

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from functions.transform.hosts import StepHosts
    from shared.outgoing.auth import AnyRequestAuth


MAX_ANSWER_BYTES: Final = 1_048_576
"""The largest answer that is read."""
MAX_CACHED_BYTES: Final = 8 * 1_048_576
"""The most bytes of answers that this process keeps for `cached`."""
_RETRIED_STATUSES: Final = frozenset({408, 425, 429})
"""Statuses below 500 by which a server says that the same request may succeed later."""
_CACHE: Final[TimedCache[bytes]] = TimedCache(MAX_CACHED_BYTES, weight=len)
"""The answers that this process keeps for `cached`, as JSON."""


class _AuthSchemes:
    """The rule of the setting `auth`. Its models are imported only if a step has the setting."""

    def __get_pydantic_core_schema__(self, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from shared.outgoing.auth import AnyRequestAuth

        return handler.generate_schema(list[AnyRequestAuth])


class AskingSettings(step.Settings):
    """
    secret         the name of a key that signs the request, as Standard Webhooks defines it, under the event's id
    auth           one scheme or a list: `{scheme: basic, username, secret}`, `{scheme: bearer, secret}`,
                   `{scheme: header, header, prefix, secret}`, `{scheme: query, parameter, secret}`,
                   `{scheme: oauth2, token_url, client_id, secret, scope, audience, style}`,
                   `{scheme: aws, service, region, access_key_id, secret}`, `{scheme: google_oauth, scope, secret}`, or
                   `{scheme: google, audience}` for a private Cloud Run function
    timeout        until the whole answer has arrived (default: 10s)
    retry          the waits between tries while the system is unavailable (default: 5s to 1h, over 16 hours)
    allow_private  allow private addresses and plain http (default: false)
    """

    secret: SecretName | None = None
    auth: Annotated[Sequence[JsonObject], _AuthSchemes(), LISTED] = ()
    timeout: Annotated[Seconds, limits(ge=1, le=30)] = 10.0
    retry: Annotated[Sequence[Seconds], limits(max_length=50)] | None = None  # chain.py reads it
    allow_private: bool = False

    def prepare(self) -> None:
        self.schemes: Sequence[AnyRequestAuth] = ()
        if self.auth:
            from shared.outgoing.auth import read_request_auth

            self.schemes = read_request_auth(self.auth)


@dataclass(frozen=True, slots=True)
class Question:
    """A request to another system. `url` is without credentials; `content_type` is the content type of the body."""

    method: str
    url: str
    body: bytes = b""
    content_type: str = ""

    @property
    def host(self) -> str:
        after_scheme = self.url.partition("//")[2]
        return re.split("[/?]", after_scheme, maxsplit=1)[0]


class Asking(NamedTuple):
    """A step that asks a question for an event."""

    settings: AskingSettings
    question: Question
    event: Event
    services: step.Services


async def answer_once(asking: Asking, cached_seconds: float | None = None) -> Json:
    """Return the answer that is stored for this event and question. If there is none, get one and store it.

    An answer that this process got less than `cached_seconds` ago serves other events too; None means that each event
    asks. Without blobs, nothing is stored for the event. Raises as `request_answer` does.
    """
    blobs = asking.services.blobs
    if blobs is None:
        return await _reused_answer(asking, cached_seconds)
    name = _answer_name(asking)
    stored = await blobs.get(name)
    if stored is not None:
        stored_answer: Json = json.loads(stored)
        return stored_answer
    answer = await _reused_answer(asking, cached_seconds)
    await blobs.put(name, to_json(answer).encode())
    return answer


def _answer_name(asking: Asking) -> str:
    """Return the name of the blob of an answer. It is another one after a change of the step's settings."""
    question = asking.question
    body_hash = hashlib.sha256(question.body).hexdigest()
    facts: list[Json] = [asking.settings.given(), question.method, question.url, body_hash]
    facts_hash = hashlib.sha256(canonical(facts)).hexdigest()
    return f"answers/{asking.event.id}/{facts_hash[:32]}"


async def _reused_answer(asking: Asking, cached_seconds: float | None) -> Json:
    """Return the answer that this process keeps for the URL, or request one and keep it for `cached_seconds`."""
    if cached_seconds is None:
        return await request_answer(asking)
    key = hashlib.sha256(canonical([asking.settings.given(), asking.question.url])).hexdigest()
    content = _CACHE.get(key, asking.services.now())
    if content is None:
        content = to_json(await request_answer(asking)).encode()
        _CACHE.put(key, content, asking.services.now(), cached_seconds)
    answer: Json = json.loads(content)
    return answer


async def request_answer(asking: Asking) -> Json:
    """Return what the other system answers, parsed by its content type; null for an empty answer.

    Raises Permanent: `request_rejected`, `malformed_response`, `response_too_large`, `address_blocked` or
    `invalid_url`. Raises Temporary: `host_unavailable`, `host_unreachable` or `secret_…`. Raises SystemUnavailable
    (`host_unavailable`) if the host was not asked, because earlier requests to it have failed.
    """
    question, services = asking.question, asking.services
    request = await _request(asking)
    if services.hosts is None:
        answer = await services.authenticator.send(asking.settings.schemes, request)
    else:
        answer = await _send_in_turn(services.hosts, asking, request)
    _verify_answer(answer, question)
    if not answer.body.strip():
        return None
    try:
        return parse_body(answer.body, answer.header("content-type")).data
    except errors.Rejected as error:
        raise errors.Permanent(
            "malformed_response", f"the answer of {question.host} does not parse: {error.detail}"
        ) from error


async def _send_in_turn(hosts: "StepHosts", asking: Asking, request: fetch.Outgoing) -> fetch.Fetched:
    """Send the request once the host has a place for it, and tell `hosts` whether the host failed.

    Return any answer. Raises as `request_answer` does, if there is none.
    """
    question = asking.question
    step_id = id(asking.settings)  # each step of the configuration has a settings object of its own
    key = await hosts.enter(step_id, question.host, asking.event)
    if not isinstance(key, str):  # NotNow, with the reason
        raise step.SystemUnavailable("host_unavailable", key.reason, until=key.until)
    has_failed: bool | None = None  # None is neither: the outcome says nothing about the host
    reason = ""
    try:
        answer = await asking.services.authenticator.send(asking.settings.schemes, request)
        reason = _unavailability(answer, question)
        has_failed = reason != ""
    except errors.Temporary as error:
        # Trouble of a part of ours, such as the store of secrets, says nothing about the host.
        has_failed = True if error.code in step.UNAVAILABLE_CODES else None
        reason = error.detail
        raise
    finally:
        hosts.leave(key, has_failed=has_failed, reason=reason)
    # After a failure, the other instances do not ask the host until the lease of this one ends.
    if not has_failed:
        await hosts.give_back(question.host)
    return answer


async def _request(asking: Asking) -> fetch.Outgoing:
    """Return the request. The authenticator adds the credentials of `auth` to it. Raises Permanent and Temporary."""
    settings, question, event, services = asking
    read_target(question.url, settings.allow_private)
    headers = [("accept", "application/json, */*;q=0.5"), ("hookchain-hops", str(event.hops + 1))]
    if question.content_type:
        headers.append(("content-type", question.content_type))
    if settings.secret is not None:
        headers += await _signature(settings.secret, question.body, event, services)
    return fetch.Outgoing(
        question.method,
        question.url,
        tuple(headers),
        question.body,
        settings.timeout,
        MAX_ANSWER_BYTES,
        settings.allow_private,
    )


async def _signature(secret: str, body: bytes, event: Event, services: step.Services) -> list[tuple[str, str]]:
    """Return the headers of a signature by the newest value of the secret."""
    from shared.signatures.standard_webhooks import sign_standard

    timestamp = int(services.now())
    newest, *_ = await services.secrets.values(secret)
    return [
        ("webhook-id", event.id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", sign_standard(newest, event.id, timestamp, body)),
    ]


def _verify_answer(answer: fetch.Fetched, question: Question) -> None:
    """Raise Temporary for an answer after which the route runs again later, and Permanent for any other bad one."""
    if reason := _unavailability(answer, question):
        raise errors.Temporary("host_unavailable", reason)
    if not 200 <= answer.status < 300:
        hint = _redirect_hint(answer, question)
        raise errors.Permanent("request_rejected", f"{question.host} answered {answer.status}{hint}")
    if answer.is_cut:
        raise errors.Permanent("response_too_large", f"{question.host} answered more than {MAX_ANSWER_BYTES} bytes")


def _unavailability(answer: fetch.Fetched, question: Question) -> str:
    """Return the reason why the request may succeed later; empty if the answer does not say so."""
    is_unavailable = answer.status in _RETRIED_STATUSES or answer.status >= 500
    return f"{question.host} answered {answer.status}" if is_unavailable else ""


def _redirect_hint(answer: fetch.Fetched, question: Question) -> str:
    if answer.status not in fetch.REDIRECTS:
        return ""
    target = fetch.redirect_target(question.url, answer.header("location"))
    advice = f"it leads to {target}, so correct `url`" if target else "set `url` to the address that it names"
    return f"; redirects are not followed: {advice}"


# The steps

_ORIGIN: Final = re.compile(r"https?://[^/?#{}]+(?=[/?]|$)")
"""The scheme and host of a URL, which have no placeholder of a template. `_verify_url` rejects plain http, unless
`allow_private` is set."""
_HTML: Final = re.compile(r"\s*<(?:!doctype html|html)\b", re.IGNORECASE)


def _verify_host(url: str) -> str:
    """Reject a template in the host: no event may choose which system is asked."""
    if not _ORIGIN.match(url):
        raise ValueError("a URL must begin with https:// and a literal host; templates may follow")
    return url


def _verify_url(url: str, allow_private: bool) -> None:
    """Raise ValueError for a URL that must not be asked."""
    try:
        read_target(url, allow_private)
    except errors.Permanent as fault:
        raise ValueError(fault.detail) from fault


def _with_note(event: Event, answer: Json) -> Event | step.Noted:
    """Return the event, with a note if the answer is a page for people: often a login or an error, with the status
    200."""
    if isinstance(answer, str) and _HTML.match(answer):
        return step.Noted(event, "the answer is an HTML page and not data: check the URL and its credentials")
    return event


DeclaredUrl = Annotated[str, verified_by(_verify_host)]


class Call(AskingSettings, step.AskingStep):
    """Post the event as a CloudEvent in JSON. The answer becomes the data, or the value at `into`.

    An answer without a body changes nothing. With the status 408, 425, 429 or 5xx, or without an answer, the route
    waits and runs again; with any other 4xx the step fails.

    url   begins with https:// and a literal host
    into  where the answer goes (default: all of `data`)
    """

    summary: ClassVar[str] = "Post the event to another function and take its answer as the new data."
    example: ClassVar[step.Example] = step.Example(
        settings={"url": "https://convert.example.com/in", "secret": "convert-signing"},
        before={"a": 1},
        after={"b": 2},
        secrets={"convert-signing": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
        answers={"https://convert.example.com/in": {"b": 2}},
    )

    asks_others: ClassVar[bool] = True

    url: DeclaredUrl
    into: DataPath = "data"

    def prepare(self) -> None:
        super().prepare()
        _verify_url(self.url, self.allow_private)
        self._into = parse_path(self.into)

    def removes(self) -> tuple[str, ...]:
        return (self.into,)

    async def ask(self, event: Event, _: step.StepContext, services: step.Services) -> Event | step.Noted:
        body = to_json(to_cloudevent(event)).encode()
        question = Question("POST", self.url, body, "application/cloudevents+json")
        answer = await answer_once(Asking(self, question, event, services))
        return event if answer is None else _with_note(put(event, self._into, answer), answer)


class Fetch(AskingSettings, step.AskingStep):
    """Get a URL and merge the answer into the data at a path.

    An object is merged into the object at `into`; any other answer replaces what is there. An answer without a body
    changes nothing. With the status 408, 425, 429 or 5xx, or without an answer, the route waits and runs again; with
    any other 4xx the step fails.

    url     a Jinja2 template after a literal host; values from the event are percent-encoded
    into    where the answer goes
    cached  how long this process reuses the answer of the same URL (default: never)
    """

    summary: ClassVar[str] = "Get a URL that is built from the event and merge the answer into the data."
    example: ClassVar[step.Example] = step.Example(
        settings={
            "url": "https://api.example.com/1/cards/{{ data.card }}?fields=name",
            "auth": [{"scheme": "query", "parameter": "token", "secret": "api-token"}],
            "into": "data.details",
            "cached": "5m",
        },
        before={"card": "a/b"},
        after={"card": "a/b", "details": {"name": "Ada"}},
        secrets={"api-token": "0123456789abcdef"},
        answers={"https://api.example.com/1/cards/a%2Fb?fields=name&token=0123456789abcdef": {"name": "Ada"}},
    )
    extras: ClassVar[tuple[str, ...]] = ("templates",)
    asks_others: ClassVar[bool] = True

    url: DeclaredUrl
    into: DataPath
    cached: Annotated[Seconds, limits(ge=1, le=86_400)] | None = None

    def prepare(self) -> None:
        super().prepare()
        from shared.templating.template import Template, url_segment

        origin = _ORIGIN.match(self.url)
        assert origin is not None
        _verify_url(f"{origin[0]}/", self.allow_private)
        self._into = parse_path(self.into)
        self._url = Template("url", self.url, known=frozenset(NAMES), encode=url_segment)

    async def ask(self, event: Event, _: step.StepContext, services: step.Services) -> Event | step.Noted:
        question = Question("GET", self._url.render(view_of(event)))
        answer = await answer_once(Asking(self, question, event, services), self.cached)
        if answer is None:
            return event
        before = find_value(event.data, self._into.parts)
        after = merge(before, answer) if isinstance(before, dict) and isinstance(answer, dict) else answer
        return _with_note(put(event, self._into, after), answer)
