"""The settings of subscribe, as they are in its slice of the compiled configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from shared.jsontext import JsonObject, list_at, mapping_at, mappings_at, value_at
from shared.retention import Retention, retention_of
from shared.settings import SliceFault
from shared.subscribers import model
from shared.subscribers.payload import PayloadStyle

Verification: TypeAlias = Literal["none", "challenge", "cloudevents"]
"""The proof that an endpoint wants events: see verification.py."""
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
    """A configured destination that sends to endpoints. `rate` is the highest rate that an endpoint may set."""

    payload: PayloadStyle = "standard"
    rate: str = ""


@dataclass(frozen=True, slots=True)
class SubscribeSettings:
    """The settings of the slice.

    destinations  those of the kind `subscribers`, by name
    event_types   those of the configuration, by name
    public_url    the URL before `/v1` and `/portal` in links; if it is empty, links have the host of the request
    tell          the destination that gets operational events; empty if none does
    """

    destinations: Mapping[str, SubscribersDestination]
    event_types: Mapping[str, model.EventType] = field(default_factory=dict)
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
        """Return the form of the bodies that endpoints get; `standard` if the destinations differ."""
        styles = {each.payload for each in self.destinations.values()}
        return "data" if styles == {"data"} else "standard"


def read_settings(compiled: JsonObject) -> SubscribeSettings:
    """Read the slice. Fields that a newer version added are ignored. Raises SliceFault."""
    try:
        return _read(compiled)
    except (KeyError, TypeError, ValueError) as error:
        fault = f"the slice of 'subscribe' does not read ({type(error).__name__}: {error}); compile it again"
        raise SliceFault("invalid_slice", fault) from error


def _read(compiled: JsonObject) -> SubscribeSettings:
    written = mapping_at(compiled, "subscribers")
    portal = mapping_at(written, "portal")
    limits = mapping_at(written, "limits")
    # A limit that a newer version added is not in TenantLimits.
    known_limits = {
        name: limit for name, limit in limits.items() if name in TenantLimits.__slots__ and isinstance(limit, int)
    }
    return SubscribeSettings(
        destinations={name: _destination(each) for name, each in sorted(mappings_at(compiled, "destinations").items())},
        event_types={name: _event_type(name, each) for name, each in mappings_at(compiled, "event_types").items()},
        limits=TenantLimits(**known_limits),
        retention=retention_of(compiled),
        public_url=_text(written, "public_url").rstrip("/"),
        portal_name=_text(portal, "name") or _DEFAULT_NAME,
        portal_logo=_text(portal, "logo"),
        portal_origins=tuple(map(str, list_at(portal, "origins"))),
        allow_http=written.get("allow_http") is True,
        allow_private=written.get("allow_private") is True,
        verify=_verification(_text(written, "verify") or "none"),
        tell=_text(mapping_at(written, "tell"), "operator"),
    )


def _verification(text: str) -> Verification:
    for kind in VERIFICATIONS:
        if kind == text:
            return kind
    raise ValueError(f"verify is one of {', '.join(VERIFICATIONS)}")


def _destination(written: JsonObject) -> SubscribersDestination:
    """Return a destination of the slice. Its settings are under the name of its kind, or in the entry itself."""
    payload = value_at(written.get("subscribers", written), "payload")
    return SubscribersDestination("data" if payload == "data" else "standard", _text(written, "rate"))


def _event_type(name: str, written: JsonObject) -> model.EventType:
    return model.EventType(
        name=name,
        description=_text(written, "description"),
        group=_text(written, "group"),
        schema_=mapping_at(written, "schema"),
        examples=tuple(list_at(written, "examples")),
        is_deprecated=written.get("deprecated") is True,
    )


def _text(written: JsonObject, name: str) -> str:
    return str(written.get(name) or "")
