"""An authentication scheme of a source, as its slice has it, with its templates compiled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.signatures.content import BODY, Content, parse_content
from shared.signatures.locations import Conditions, Location, parse_location, read_conditions
from shared.signatures.timestamps import TOLERANCE_SECONDS

IN_HEAD: Final = frozenset({"none", "basic", "header", "bearer", "path", "query", "link"})
"""The schemes whose credentials are in the request's head: nobody's body is read before they are verified."""


@dataclass(frozen=True, slots=True)
class AuthScheme:
    """The settings of one scheme. `scheme` decides which of the fields, in deploy/config/models/signed.py, count.

    `at` is the place of the signature or token. `take` is empty where the layout needs none. The fields below `facts`
    follow from the others and are computed once.
    """

    scheme: str
    secret: str = ""
    variant: str = ""
    when: Conditions = ()
    username: str | None = None
    header: str = ""
    parameter: str = ""
    at: Location | None = None
    layout: str = "plain"
    take: frozenset[str] = frozenset()
    separator: str = ","
    prefix: str = ""
    encoding: str = "hex"
    algorithm: str = "sha256"
    content: Content = BODY
    timestamp: Location | None = None
    unit: str = "s"
    tolerance_seconds: int = TOLERANCE_SECONDS
    id: Location | None = None
    url: str = "exact"
    each: Location | None = None
    body_digest: Location | None = None
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

    # Facts
    is_in_head: bool = field(init=False)
    signs_content: bool = field(init=False)
    """The signature covers content of the request; a password or token is the same for every request."""
    signs_fields: bool = field(init=False)
    """The signature covers fields of JSON, and not the whole body."""
    signs_time_in_body: bool = field(init=False)
    """The timestamp is a field of the signed body, which is parsed only once it is verified."""
    can_be_extended: bool = field(init=False)
    """Whoever has seen one signature can make one for longer content: a plain digest goes on from where it ended
    (length extension), unless the secret stands at the end."""
    needs_key: bool = field(init=False)
    """A key or certificate has to be fetched."""

    def __post_init__(self) -> None:
        signed_places = [part for part in self.content if isinstance(part, Location)]
        facts = {
            "is_in_head": self.scheme in IN_HEAD,
            "signs_content": self.scheme not in {*IN_HEAD, "token"}
            and (self.scheme != "jwt" or bool(self.digest_claim)),
            "signs_fields": self.scheme == "aws-sns" or any(place.kind == "data" for place in signed_places),
            "signs_time_in_body": self.timestamp is not None
            and self.timestamp.kind == "data"
            and not {"body", "body.sha256"}.isdisjoint(self.content),
            "can_be_extended": self.scheme == "digest"
            and self.algorithm != "sha384"
            and self.content[-1:] != ("secret",),
            "needs_key": self.scheme in {"aws-sns", "paypal"} or bool(self.keys_url),
        }
        for name, value in facts.items():
            object.__setattr__(self, name, value)  # the class is frozen

    @property
    def looks_in_body(self) -> bool:
        """Whether the body is parsed to find the credentials."""
        places = [self.at, self.timestamp, self.id, self.each, self.body_digest, *(place for place, _ in self.when)]
        kinds = {part.kind for part in (*places, *self.content) if isinstance(part, Location)}
        return bool(kinds & {"data", "form"}) or "form" in self.content


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


def read_scheme(entry: Json) -> AuthScheme:
    """Read a scheme from a slice, whose shape the compiler has checked."""
    assert isinstance(entry, dict)
    tolerance = entry.get("tolerance_seconds", TOLERANCE_SECONDS)
    assert isinstance(tolerance, int)
    leeway = entry.get("leeway_seconds", 0)
    assert isinstance(leeway, int)
    username, claims = entry.get("username"), entry.get("claims")
    scheme = str(entry["scheme"])
    header = _text(entry, "header").lower()
    return AuthScheme(
        scheme=scheme,
        when=read_conditions(entry.get("when")),
        username=None if username is None else str(username),
        header=header,
        at=_place(entry, "at") or (parse_location(f"header.{header}") if header else None),
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


def _text(entry: JsonObject, name: str, default: str = "") -> str:
    return str(entry.get(name, default))


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else () if value is None else (str(value),)


def _place(entry: JsonObject, name: str) -> Location | None:
    value = entry.get(name)
    return parse_location(value) if isinstance(value, str) else None
