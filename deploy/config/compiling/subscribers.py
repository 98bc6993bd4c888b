"""The slice of subscribe, and the part of notify's slice about subscribers. Nothing without `subscribers`."""

from collections.abc import Mapping

from pydantic import BaseModel

from deploy.config.models.destination import DestinationConfig
from deploy.config.models.subscribers import SubscribersConfig
from shared.jsontext import JsonObject
from shared.subscribers.sealing import KEY_SECRET

KIND = "subscribers"


def compiled_subscribe(
    section: SubscribersConfig,
    destinations: Mapping[str, DestinationConfig],
    settings: Mapping[str, BaseModel],
    types: Mapping[str, JsonObject],
) -> JsonObject:
    """Return subscribe's slice but for what every function's has."""
    portal = section.portal
    public: JsonObject = {
        **_common(section),
        "secret": KEY_SECRET,
        "public_url": section.public_url.rstrip("/") if section.public_url else None,
        "portal": {"name": portal.name, "origins": list(portal.origins), "logo": portal.logo},
        "limits": section.limits.model_dump(),
    }
    compiled_destinations: JsonObject = {
        name: {
            **settings[name].model_dump(mode="json", by_alias=True),
            **({"rate": destination.rate} if destination.rate else {}),
        }
        for name, destination in destinations.items()
        if KIND in destination.kinds
    }
    return {"subscribers": public, "destinations": compiled_destinations, "event_types": dict(types)}


def compiled_subscribers(section: SubscribersConfig | None) -> JsonObject:
    """Return the part of notify's slice."""
    return {} if section is None else {"subscribers": {**_common(section), "secret": KEY_SECRET}}


def subscribers_destinations(section: SubscribersConfig | None) -> list[str]:
    """Return the destinations that tell what happens to endpoints."""
    tell = section.tell if section else None
    return [name for name in (tell.operator, tell.owners) if name] if tell else []


def _common(section: SubscribersConfig) -> JsonObject:
    return {
        "allow_http": section.allow_http,
        "allow_private": section.allow_private,
        "verify": section.verify,
        "disable_after_seconds": section.disable_after,
        "tell": {"operator": section.tell.operator, "owners": section.tell.owners},
    }
