"""One way in, as the slice has it, with its templates compiled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.signatures.content import BODY, Content, parse_content
from shared.signatures.places import Place, parse_place
from shared.signatures.timestamps import TOLERANCE_SECONDS

Conditions = tuple[tuple[Place, str | bool], ...]

IN_HEAD: Final = frozenset({"none", "basic", "header", "bearer", "path", "query", "link"})
"""The schemes whose proof stands in the request's head: the body is not read for a stranger."""


@dataclass(frozen=True, slots=True)
class Way:
    """Which of the fields count depends on `scheme`; deploy/config/models/signed.py says what each means.

    `at` is where the signature or token stands. `take` is empty where the layout needs none.
    """

    scheme: str
    secret: str = ""
    variant: str = ""
    when: Conditions = ()
    username: str | None = None
    header: str = ""
    parameter: str = ""
    at: Place | None = None
    layout: str = "plain"
    take: frozenset[str] = frozenset()
    separator: str = ","
    prefix: str = ""
    encoding: str = "hex"
    algorithm: str = "sha256"
    content: Content = BODY
    timestamp: Place | None = None
    unit: str = "s"
    tolerance_seconds: int = TOLERANCE_SECONDS
    id: Place | None = None
    url: str = "exact"
    each: Place | None = None
    body_digest: Place | None = None
    key: str = "utf8"
    key_prefix: str = ""
    form: str = "der"
    padding: str = "pkcs1"
    names: str = "webhook"
    algorithms: tuple[str, ...] = ()
    keys_url: str = ""
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    digest_claim: str = ""
    max_age: bool = False
    leeway_seconds: int = 0
    topics: tuple[str, ...] = ()
    webhook_id: str = ""

    @property
    def looks_in_body(self) -> bool:
        """Whether the body is parsed to find its proof."""
        places = [self.at, self.timestamp, self.id, self.each, self.body_digest, *(place for place, _ in self.when)]
        kinds = {part.kind for part in (*places, *self.content) if isinstance(part, Place)}
        return bool(kinds & {"data", "form"}) or "form" in self.content

    @property
    def can_be_extended(self) -> bool:
        """Whether whoever has seen one signature can make one for longer content: a plain digest goes on from where
        it ended (length extension), unless the secret stands at the end."""
        return self.scheme == "digest" and self.algorithm != "sha384" and self.content[-1:] != ("secret",)

    @property
    def signs_fields(self) -> bool:
        """Whether some fields of JSON are signed, and not the body."""
        return self.scheme == "aws-sns" or any(isinstance(part, Place) and part.kind == "data" for part in self.content)


def read_way(entry: Json) -> Way:
    """From a slice, whose shape the compiler has checked."""
    assert isinstance(entry, dict)
    tolerance = entry.get("tolerance_seconds", TOLERANCE_SECONDS)
    assert isinstance(tolerance, int)
    leeway = entry.get("leeway_seconds", 0)
    assert isinstance(leeway, int)
    username, claims = entry.get("username"), entry.get("claims")
    scheme = str(entry["scheme"])
    header = _text(entry, "header").lower()
    return Way(
        scheme=scheme,
        when=read_conditions(entry.get("when")),
        username=None if username is None else str(username),
        header=header,
        at=_place(entry, "at") or (parse_place(f"header.{header}") if header else None),
        take=frozenset(_texts(entry.get("take"))),
        content=parse_content(_text(entry, "content", "{body}")),
        timestamp=_place(entry, "timestamp"),
        tolerance_seconds=tolerance,
        id=_place(entry, "id"),
        each=_place(entry, "each"),
        body_digest=None if scheme == "jwt" else _place(entry, "body_digest"),
        digest_claim=_text(entry, "body_digest") if scheme == "jwt" else "",
        key=_text(entry, "key", "base64" if scheme == "standard-webhooks" else "utf8"),
        algorithms=_texts(entry.get("algorithms")),
        claims={name: _texts(wanted) for name, wanted in claims.items()} if isinstance(claims, dict) else {},
        max_age=entry.get("max_age") is True,
        leeway_seconds=leeway,
        topics=_texts(entry.get("topics")),
        **{name: _text(entry, name, default) for name, default in _PLAIN.items()},
    )


_PLAIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "secret": "",
        "variant": "",
        "parameter": "",
        "layout": "plain",
        "separator": ",",
        "prefix": "",
        "encoding": "hex",
        "algorithm": "sha256",
        "unit": "s",
        "url": "exact",
        "key_prefix": "",
        "form": "der",
        "padding": "pkcs1",
        "names": "webhook",
        "keys_url": "",
        "webhook_id": "",
    }
)


def _text(entry: JsonObject, name: str, default: str = "") -> str:
    return str(entry.get(name, default))


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else () if value is None else (str(value),)


def _place(entry: JsonObject, name: str) -> Place | None:
    value = entry.get(name)
    return parse_place(value) if isinstance(value, str) else None


def read_conditions(value: Json) -> Conditions:
    if not isinstance(value, dict):
        return ()
    return tuple((parse_place(at), wanted if isinstance(wanted, bool) else str(wanted)) for at, wanted in value.items())
