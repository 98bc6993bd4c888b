"""Requests: ask another function or system for new data."""

import hashlib
import json
import re
from functools import partial
from typing import Annotated, ClassVar, Final

from functions.transform.fields import find_value, put
from functions.transform.outside.asking import AnswerCache, AskingSettings, Question, ask, ask_once
from functions.transform.paths import DataPath, parse_path
from functions.transform.step import AskingStep, Example, Noted, Services, StepContext
from functions.transform.steps.compose import merge
from shared.config.rules import Seconds, limits, verified_by
from shared.errors import Permanent
from shared.event import NAMES, Event, to_cloudevent, view_of
from shared.jsontext import Json, canonical, to_json
from shared.outgoing.url import read_target

_ORIGIN: Final = re.compile(r"https?://[^/?#{}]+(?=[/?]|$)")
_HTML: Final = re.compile(r"\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_CACHE: Final = AnswerCache()


def _verify_host(url: str) -> str:
    """Reject a template in the host: no event may choose which system is asked."""
    if not _ORIGIN.match(url):
        raise ValueError("a URL must begin with https:// and a literal host; templates may follow")
    return url


def _verify_url(url: str, allow_private: bool) -> None:
    try:
        read_target(url, allow_private)
    except Permanent as fault:
        raise ValueError(fault.detail) from fault


def _with_note(event: Event, answer: Json) -> Event | Noted:
    """Note an answer that is a page for people: often a login or an error, sent with the status 200."""
    if isinstance(answer, str) and _HTML.match(answer):
        return Noted(event, "the answer is an HTML page and not data: check the URL and its credentials")
    return event


DeclaredUrl = Annotated[str, verified_by(_verify_host)]


class Call(AskingSettings, AskingStep):
    """Post the event as a CloudEvent in JSON. The answer becomes the data, or the value at `into`.

    An answer without a body changes nothing. With the status 408, 425, 429 or 5xx, or without an answer, the route
    waits and runs again; with any other 4xx the step fails.

    url   begins with https:// and a literal host
    into  where the answer goes (default: all of `data`)
    """

    summary: ClassVar[str] = "Post the event to another function and take its answer as the new data."
    example: ClassVar[Example] = Example(
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

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event | Noted:
        body = to_json(to_cloudevent(event)).encode()
        question = Question("POST", self.url, body, "application/cloudevents+json")
        answer = await ask_once(partial(ask, self, question, event, services), self, question, event, services.blobs)
        return event if answer is None else _with_note(put(event, self._into, answer), answer)


class Fetch(AskingSettings, AskingStep):
    """Get a URL and merge the answer into the data at a path.

    An object is merged into the object at `into`; any other answer replaces what is there. An answer without a body
    changes nothing. With the status 408, 425, 429 or 5xx, or without an answer, the route waits and runs again; with
    any other 4xx the step fails.

    url     a Jinja2 template after a literal host; values from the event are percent-encoded
    into    where the answer goes
    cached  how long this process reuses the answer of the same URL (default: never)
    """

    summary: ClassVar[str] = "Get a URL that is built from the event and merge the answer into the data."
    example: ClassVar[Example] = Example(
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
        from shared.templates import Template

        origin = _ORIGIN.match(self.url)
        assert origin is not None
        _verify_url(f"{origin[0]}/", self.allow_private)
        self._into = parse_path(self.into)
        self._url = Template("url", self.url, known=frozenset(NAMES), url=True)

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event | Noted:
        question = Question("GET", self._url.render(view_of(event)))
        asking = partial(self._ask_or_reuse, question, event, services)
        answer = await ask_once(asking, self, question, event, services.blobs)
        if answer is None:
            return event
        before = find_value(event.data, self._into.parts)
        after = merge(before, answer) if isinstance(before, dict) and isinstance(answer, dict) else answer
        return _with_note(put(event, self._into, after), answer)

    async def _ask_or_reuse(self, question: Question, event: Event, services: Services) -> Json:
        if self.cached is None:
            return await ask(self, question, event, services)
        key = hashlib.sha256(canonical([self.given(), question.url])).hexdigest()
        content = _CACHE.get(key, services.now())
        if content is None:
            content = to_json(await ask(self, question, event, services)).encode()
            _CACHE.put(key, content, services.now() + self.cached)
        answer: Json = json.loads(content)
        return answer
