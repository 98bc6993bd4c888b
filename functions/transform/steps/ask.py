"""Ask: another function or system, for new data or for what an event only hints at."""

import hashlib
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field, PrivateAttr

from functions.transform.outside.asking import AskingSettings, Question, ask, kept_or
from functions.transform.outside.cache import AnswerCache
from functions.transform.paths import Path, parse_path
from functions.transform.places import ReadPath, put
from functions.transform.step import AskingStep, Example, Services, StepContext
from functions.transform.steps.compose import merged
from functions.transform.updates import value_at
from shared.config.values import Seconds
from shared.errors import Permanent
from shared.event import NAMES, Event, to_cloudevent, view_of
from shared.jsontext import Json, canonical, to_json
from shared.outgoing.url import read_target

if TYPE_CHECKING:
    from shared.templates import Template

_ORIGIN: Final = re.compile(r"https?://[^/?#{}]+(?=[/?]|$)")
_KEPT: Final = AnswerCache()


def _declared(url: str) -> str:
    """The host stands there as it is: no event chooses whom we ask."""
    if not _ORIGIN.match(url):
        raise ValueError("a URL begins with https:// and a host that is written out; templates come after that")
    return url


def _verify_url(url: str, allow_private: bool) -> None:
    try:
        read_target(url, allow_private)
    except Permanent as fault:
        raise ValueError(fault.detail) from fault


DeclaredUrl = Annotated[str, AfterValidator(_declared)]


class Call(AskingSettings, AskingStep):
    """`url` is posted the event as a CloudEvent in JSON, and what it answers is the data, or goes to `into`.

    An answer without a body leaves the data as it is. Refused with a 4xx, the step fails; at 408, 425, 429 and 5xx the
    event comes again.
    """

    summary: ClassVar[str] = "Post the event to another function and take its answer as the new data."
    example: ClassVar[Example] = Example(
        settings={"url": "https://convert.example.com/in", "secret": "convert-signing"},
        before={"a": 1},
        after={"b": 2},
        secrets={"convert-signing": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
        answers={"https://convert.example.com/in": {"b": 2}},
    )

    url: DeclaredUrl
    into: ReadPath = "data"
    _into: Path = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        _verify_url(self.url, self.allow_private)
        self._into = parse_path(self.into)

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event:
        body = to_json(to_cloudevent(event)).encode()
        question = Question("POST", self.url, body, "application/cloudevents+json")
        answer = await kept_or(partial(ask, self, question, event, services), self, question, event, services.blobs)
        return event if answer is None else put(event, self._into, answer)


class Fetch(AskingSettings, AskingStep):
    """`url` is a template; what fills it is percent-encoded, and its host stands there as it is.

    What comes is merged into what is at `into`, object into object, or takes its place; an answer without a body leaves
    the event as it is. `cached`: so long, this process asks the same URL once.
    """

    summary: ClassVar[str] = "Get what a URL made from the event answers and merge it at a path."
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

    url: DeclaredUrl
    into: ReadPath
    cached: Annotated[Seconds, Field(ge=1, le=86_400)] | None = None
    _into: Path = PrivateAttr()
    _url: "Template" = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        from shared.templates import Template

        origin = _ORIGIN.match(self.url)
        assert origin is not None
        _verify_url(f"{origin[0]}/", self.allow_private)
        self._into = parse_path(self.into)
        self._url = Template("url", self.url, known=frozenset(NAMES), url=True)

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event:
        question = Question("GET", self._url.render(view_of(event)))
        asking = partial(self._cached_or_asked, question, event, services)
        answer = await kept_or(asking, self, question, event, services.blobs)
        if answer is None:
            return event
        there = value_at(event.data, self._into.parts)
        both = merged(there, answer) if isinstance(there, dict) and isinstance(answer, dict) else answer
        return put(event, self._into, both)

    async def _cached_or_asked(self, question: Question, event: Event, services: Services) -> Json:
        if self.cached is None:
            return await ask(self, question, event, services)
        key = hashlib.sha256(canonical([self.model_dump_json(), question.url])).hexdigest()
        kept = _KEPT.get(key, services.now())
        if kept is None:
            kept = to_json(await ask(self, question, event, services)).encode()
            _KEPT.put(key, kept, services.now() + self.cached)
        found: Json = json.loads(kept)
        return found
