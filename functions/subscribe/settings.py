"""The function's settings: its slice, read once at the start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from shared.jsontext import Json, JsonObject
from shared.retention import Retention, retention_of
from shared.settings import SliceFault
from shared.subscribers.model import EventType
from shared.subscribers.payload import PayloadStyle

Verification: TypeAlias = Literal["none", "challenge", "cloudevents"]
VERIFICATIONS: Final[tuple[Verification, ...]] = get_args(Verification)
_DEFAULT_NAME: Final = "Webhooks"


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """The limits of a tenant (endpoints) and of an endpoint (all others)."""

    endpoints: int = 20
    headers: int = 10
    fields: int = 20
    types: int = 50
    filter_characters: int = 500


@dataclass(frozen=True, slots=True)
class SubscribersDestination:
    """A configured destination that sends to endpoints. `rate`: an endpoint's own is at most that."""

    payload: PayloadStyle = "standard"
    rate: str = ""


@dataclass(frozen=True, slots=True)
class SubscribeSettings:
    """
    destinations  those of the kind `subscribers`, by name
    event_types   those of the configuration, by name
    public_url    stands before `/v1` and `/portal` in links; empty: the host that the request was sent to
    tell          the destination that gets operational events; empty: none
    """

    destinations: Mapping[str, SubscribersDestination]
    event_types: Mapping[str, EventType] = field(default_factory=dict)
    limits: TenantLimits = field(default_factory=TenantLimits)
    retention: Retention = field(default_factory=Retention)
    public_url: str = ""
    portal_name: str = _DEFAULT_NAME
    portal_logo: str = ""
    portal_origins: tuple[str, ...] = ()
    allow_http: bool = False
    allow_private: bool = False
    verify: Verification = "none"
    tell: str = ""

    @property
    def payload(self) -> PayloadStyle:
        """Return the form of the bodies that endpoints get; `standard` where the destinations differ."""
        styles = {each.payload for each in self.destinations.values()}
        return "data" if styles == {"data"} else "standard"


def read_settings(compiled: JsonObject) -> SubscribeSettings:
    """Read the slice. What a newer version added is ignored. Raises SliceFault."""
    try:
        return _read(compiled)
    except (KeyError, TypeError, ValueError) as error:
        fault = f"the slice of 'subscribe' does not read ({type(error).__name__}: {error}); compile it again"
        raise SliceFault("invalid_slice", fault) from error


def _read(compiled: JsonObject) -> SubscribeSettings:
    written, portal = _object(compiled, "subscribers"), _object(_object(compiled, "subscribers"), "portal")
    tell = written.get("tell")
    return SubscribeSettings(
        destinations={
            name: _destination(each, name) for name, each in sorted(_object(compiled, "destinations").items())
        },
        event_types={name: _event_type(name, each) for name, each in _object(compiled, "event_types").items()},
        limits=TenantLimits(
            **{
                name: each
                for name, each in _object(written, "limits").items()
                if name in TenantLimits.__slots__ and isinstance(each, int)
            }
        ),
        retention=retention_of(compiled),
        public_url=_text(written, "public_url").rstrip("/"),
        portal_name=_text(portal, "name") or _DEFAULT_NAME,
        portal_logo=_text(portal, "logo"),
        portal_origins=tuple(map(str, _list(portal, "origins"))),
        allow_http=written.get("allow_http") is True,
        allow_private=written.get("allow_private") is True,
        verify=_verification(_text(written, "verify") or "none"),
        tell=_text(tell, "operator") if isinstance(tell, dict) else "",
    )


def _verification(text: str) -> Verification:
    for kind in VERIFICATIONS:
        if kind == text:
            return kind
    raise ValueError(f"verify is one of {', '.join(VERIFICATIONS)}")


def _destination(written: Json, name: str) -> SubscribersDestination:
    if not isinstance(written, dict):
        raise TypeError(f"destinations.{name} is an object")
    own = written.get("subscribers", written)
    payload = own.get("payload") if isinstance(own, dict) else None
    return SubscribersDestination("data" if payload == "data" else "standard", _text(written, "rate"))


def _event_type(name: str, written: Json) -> EventType:
    if not isinstance(written, dict):
        raise TypeError(f"event_types.{name} is an object")
    return EventType(
        name=name,
        description=_text(written, "description"),
        group=_text(written, "group"),
        schema_=_object(written, "schema"),
        examples=tuple(_list(written, "examples")),
        is_deprecated=written.get("deprecated") is True,
    )


def _object(written: JsonObject, name: str) -> JsonObject:
    found = written.get(name)
    if found is not None and not isinstance(found, dict):
        raise TypeError(f"{name} is an object")
    return found or {}


def _list(written: JsonObject, name: str) -> list[Json]:
    found = written.get(name)
    if found is not None and not isinstance(found, list):
        raise TypeError(f"{name} is a list")
    return found or []


def _text(written: JsonObject, name: str) -> str:
    found = written.get(name)
    if found is not None and not isinstance(found, str):
        raise TypeError(f"{name} is text")
    return found or ""
