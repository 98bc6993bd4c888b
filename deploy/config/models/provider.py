"""An entry of the catalogue, shared/providers.yaml: all that is known of how one provider sends."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from deploy.config.models.auth import Auth
from deploy.config.models.locations import DataPath, Place
from shared.casting import Kind
from shared.config.values import Model, Seconds, listed

NO_SECRET = frozenset({"aws-sns", "paypal"})
SOURCES_SECRET = "the-source-s-own"  # noqa: S105 a name that stands for the one the source gives

Texts = Annotated[list[str], BeforeValidator(listed)]
Evidence = Literal["provider", "library", "notes"]
SentFormat = Literal["json", "ndjson", "xml", "form", "multipart"]
Dedupe = Literal["body", "signed", "delivery_id"]


class OfferedWay(Model):
    """One of the ways under `auth`, as an operator would write it but for the secret, which the source names.

    `on_request`: only a source that names the variant takes it. `{param.NAME}` stands for a param of the source.
    """

    way: Auth
    on_request: bool = False

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: object) -> object:
        if not isinstance(value, dict) or "way" in value:
            return value
        way = {key: item for key, item in value.items() if key != "on_request"}
        if way.get("scheme") not in NO_SECRET and "keys_url" not in way:
            way["secret"] = SOURCES_SECRET
        return {"way": way, "on_request": value.get("on_request", False)}


class RepeatingBody(Model):
    """Events whose bodies are alike although they are different events; every place of `when` is in the body."""

    event: str
    when: dict[Annotated[str, Field(pattern=r"^data\.")], str | bool]


class EventFields(Model):
    """Where the event's attributes stand: of several places, the first that holds something counts.

    `header.NAME`, `query.NAME`, `data.path`, `beside.KEY` (the name of the one key beside that one) and, once a batch
    is divided, `body.path` for what stands outside the items. `batch`: the items, such as `data.events.*`, or `data.*`
    where the body is a list; each item is the `data` of an event of its own, and what follows the last `*` leads from
    the element to the item. `unpack`: a field of text that holds the real body as JSON, where it is there. `unwrap`:
    what an XML document's one element holds is the data.
    `cast`: the kinds of values that its XML or forms carry as text.
    `dedupe`: what makes two requests one event, as a source may say it. `repeats`: events that are different though
    their bodies are the same, so they are told apart by the delivery id, signed or not.
    """

    type: Texts | None = None
    id: Texts | None = None
    subject: Texts | None = None
    actor: Texts | None = None
    time: Texts | None = None
    batch: str | None = Field(None, pattern=r"^data\.(.+\.)?\*(\..+)?$")
    unpack: str | None = None
    unwrap: bool | None = None
    cast: dict[DataPath, Kind] | None = None
    dedupe: Dedupe | None = None
    repeats: list[RepeatingBody] | None = None


class Answer(Model):
    """What the provider takes for a yes, and by when. `status`, `body`, `type` and `headers`: where ours do not do."""

    success: str | None = None
    status: int | None = None
    body: str | None = None
    type: str | None = None
    headers: dict[str, str] | None = None
    within: Seconds | None = None
    retries: str | None = None


class Param(Model):
    """What a source may say under `params`. `secret`: the value names a secret. `recommended`: lint misses it."""

    about: str
    secret: bool = False
    required: bool = False
    recommended: bool = False


class Proven(Model):
    """How each signature of the entry was tried.

    `by` is vectors (genuine requests, published), library (signed by the provider's own or an independent library),
    restated (signed in a test by code of its own, written from the facts), or nothing (there is no signature).
    """

    by: Literal["vectors", "library", "restated", "nothing"]
    detail: str | None = None


_HOLES: Final = re.compile(r"\{([^{}]*)\}")
_ARGUMENT: Final = r"(?:(?:header|query|form)\.[^\s{}()+]+|data(?:\.[^.\s{}()+]+)+|param\.\w+|endpoint)"
_HOLE: Final = re.compile(rf"{_ARGUMENT}|(?:hmac-hex|hmac-base64|sha256-hex)\({_ARGUMENT}(?:\+{_ARGUMENT})*\)")


def _filled(text: str) -> str:
    for hole in _HOLES.findall(text):
        if not _HOLE.fullmatch(hole):
            raise ValueError(f"{{{hole}}} is no place, nor hmac-hex(…), hmac-base64(…) or sha256-hex(…) of places")
    return text


Filled = Annotated[str, AfterValidator(_filled)]
"""Text with places in braces: `{query.challenge}`, `{hmac-base64(query.crc_token)}` under the source's secret."""


class HandshakeReply(Model):
    """`text` is sent as text/plain; of `json`, texts may hold places."""

    status: int = 200
    headers: dict[str, Filled] = Field(default={})
    text: Filled | None = None
    json_: dict[str, str | int | bool] | None = Field(None, alias="json")

    @model_validator(mode="after")
    def _holes_are_known(self) -> "HandshakeReply":
        for value in (self.json_ or {}).values():
            if isinstance(value, str):
                _filled(value)
        return self


class Handshake(Model):
    """It is one where the method fits and each place of `when` holds that text (true: any, false: none).

    `signed`: only after the signature has been verified. `check`: the place must hold the secret that the param names,
    or the source's own where it names none. `fetch`: a place with a URL of `fetch_hosts` to fetch before answering.
    """

    name: str
    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = "POST"
    when: dict[Place, str | bool] = Field(default={})
    signed: bool = False
    check: dict[Place, str] = Field(default={})
    fetch: Place | None = None
    reply: HandshakeReply = HandshakeReply()
    note: str | None = None


class ProviderEntry(Model):
    """`known_from` says how sure each group of facts is: from the provider's own documentation or code, a third party's
    library or test suite, or secondary notes. What is `unverified` was told by one source and confirmed by none.
    `formats`: what it sends, JSON if the entry does not say. The first bytes of a body decide which of them it is, in
    this order, and the content type never does; with an empty list, the content type decides.
    """

    name: str
    setup: str | None = None
    same_as: str | None = None
    auth: list[OfferedWay] = Field(default=[])
    formats: list[SentFormat] = Field(default=["json"])
    params: dict[str, Param] = Field(default={})
    event: EventFields = EventFields()
    handshakes: list[Handshake] = Field(default=[])
    answer: Answer = Answer()
    proven: Proven
    known_from: dict[Literal["auth", "event", "handshakes", "answer"], Evidence]
    unverified: list[str] = Field(default=[])
    notes: list[str] = Field(default=[])
    sources: list[str] = Field(min_length=1)
