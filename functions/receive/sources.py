"""The sources of the compiled slice, as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.receive.locations import Choices, parse_choices
from functions.receive.source_parts import read_parts
from functions.receive.ways import read_ways
from shared.jsontext import Json, JsonObject
from shared.signatures.places import Place
from shared.signatures.way import Conditions, Way, read_conditions

if TYPE_CHECKING:
    from functions.receive.allow import AllowList
    from functions.receive.browser_form import BrowserForm
    from functions.receive.casts import Cast
    from functions.receive.handshakes import Handshake
    from functions.receive.respond import Respond
    from functions.receive.schema import SchemaCheck


@dataclass(frozen=True, slots=True)
class Source:
    """`auth` passes if any of its ways does. `keep_raw` is `no`, `body` or `all`; `dedupe` is empty, `body`, `signed`
    or `delivery_id`.

    unwrap              what an XML document's one element holds is the data
    unpack              a field of text that holds the real body as JSON, where it is there
    body                the format, whatever the content type says; empty where that decides
    formats             those that its provider sends: the body's first bytes decide which; none where that is not known
    repeats             conditions on the body: each is true of events that are different though their bodies are alike
    batch               the way to the items of a body that tells of several things; empty where it does not
    content_types       those taken, such as `application/json`, `text/*` or `*+json`; any where there are none
    trusted_proxies     how many of the last in X-Forwarded-For are ours
    public_url          the URL that its sender uses, as written, without a query; empty where the request says it
    casts               values converted to the kinds that the source declares
    handshake_methods   which methods its provider's handshakes come by
    type_words          how many words of an event's type a log may hold, where the type comes from a header
    """

    name: str
    auth: tuple[Way, ...]
    methods: tuple[str, ...] = ("POST",)
    max_body_bytes: int = 1_048_576
    unwrap: bool = False
    unpack: Choices = ()
    body: str = ""
    formats: tuple[str, ...] = ()
    repeats: tuple[Conditions, ...] = ()
    batch: tuple[str, ...] = ()
    keep_raw: str = "no"
    dedupe: str = ""
    type: Choices = ()
    id: Choices = ()
    subject: Choices = ()
    actor: Choices = ()
    time: Choices = ()
    content_types: tuple[str, ...] = ()
    trusted_proxies: int = 0
    public_url: str = ""
    handshake_methods: tuple[str, ...] = ()
    type_words: int = 1
    allow: "AllowList | None" = None
    schema: "SchemaCheck | None" = None
    respond: "Respond | None" = None
    form: "BrowserForm | None" = None
    handshakes: "tuple[Handshake, ...]" = ()
    casts: "tuple[Cast, ...]" = ()

    @property
    def takes_links(self) -> bool:
        return any(way.scheme == "link" for way in self.auth)

    @property
    def body_tokens(self) -> tuple[Place, ...]:
        """Where its sender puts a token into the body."""
        places = [way.at for way in self.auth if way.scheme == "token" and way.at]
        return tuple(place for place in places if place.kind in {"data", "form"})

    @property
    def answered_methods(self) -> tuple[str, ...]:
        """With those that never make an event."""
        head = ("HEAD",) if "GET" in self.methods else ()
        asked_before = ("OPTIONS",) if self.form else ()
        return tuple(dict.fromkeys((*self.methods, *head, *asked_before, *self.handshake_methods)))


def read_sources(document: JsonObject) -> Mapping[str, Source]:
    """From receive's slice, whose shape the compiler has checked."""
    sources = document["sources"]
    assert isinstance(sources, dict)
    return {name: _source(name, settings) for name, settings in sources.items()}


def _source(name: str, settings: Json) -> Source:
    assert isinstance(settings, dict)
    size, batch = settings["max_body_bytes"], settings.get("batch")
    assert isinstance(size, int)
    proxies = settings.get("trusted_proxies", 0)
    type_words = settings.get("type_words", 1)
    assert isinstance(proxies, int)
    assert isinstance(type_words, int)
    return Source(
        name=name,
        auth=read_ways(settings["auth"]),
        methods=_texts(settings["methods"]),
        max_body_bytes=size,
        unwrap=settings.get("unwrap") is True,
        unpack=parse_choices(settings.get("unpack")),
        body=str(settings.get("body", "")),
        formats=_texts(settings.get("formats", [])),
        repeats=_repeats(settings.get("repeats", [])),
        batch=tuple(batch.split(".")[1:]) if isinstance(batch, str) else (),
        keep_raw=str(settings.get("keep_raw", "no")),
        dedupe=str(settings.get("dedupe", "")),
        type=parse_choices(settings.get("type")),
        id=parse_choices(settings.get("id")),
        subject=parse_choices(settings.get("subject")),
        actor=parse_choices(settings.get("actor")),
        time=parse_choices(settings.get("time")),
        content_types=_texts(settings.get("content_types", [])),
        trusted_proxies=proxies,
        public_url=str(settings.get("public_url", "")),
        handshake_methods=_handshake_methods(settings.get("handshakes", [])),
        type_words=type_words,
        **read_parts(settings),
    )


def _texts(value: Json) -> tuple[str, ...]:
    assert isinstance(value, list)
    return tuple(map(str, value))


def _repeats(value: Json) -> tuple[Conditions, ...]:
    assert isinstance(value, list)
    return tuple(read_conditions(each.get("when")) for each in value if isinstance(each, dict))


def _handshake_methods(handshakes: Json) -> tuple[str, ...]:
    assert isinstance(handshakes, list)
    return tuple(str(each.get("method", "POST")) for each in handshakes if isinstance(each, dict))
