"""The slice of subscribe, and the part of notify's slice about subscribers. Nothing without `subscribers`."""

from collections.abc import Mapping

from pydantic import BaseModel

from deploy.config.models.configuration import Configuration
from deploy.config.models.subscribers import SubscribersConfig
from shared.jsontext import JsonObject
from shared.subscribers.sealing import KEY_SECRET

KIND = "subscribers"


def compiled_subscribe(
    config: Configuration, settings: Mapping[str, BaseModel], types: Mapping[str, JsonObject]
) -> JsonObject:
    """Return subscribe's slice but for what every function's has."""
    section = config.subscribers
    assert section is not None
    portal = section.portal
    public: JsonObject = {
        **_common(section),
        "secret": KEY_SECRET,
        "public_url": section.public_url.rstrip("/") if section.public_url else None,
        "portal": {"name": portal.name, "origins": list(portal.origins), "logo": portal.logo},
        "limits": section.limits.model_dump(),
    }
    destinations: JsonObject = {
        name: {
            **settings[name].model_dump(mode="json", by_alias=True),
            **({"rate": destination.rate} if destination.rate else {}),
        }
        for name, destination in config.destinations.items()
        if KIND in destination.kinds
    }
    return {"subscribers": public, "destinations": destinations, "event_types": dict(types)}


def compiled_subscribers(config: Configuration) -> JsonObject:
    """Return the part of notify's slice."""
    section = config.subscribers
    return {} if section is None else {"subscribers": {**_common(section), "secret": KEY_SECRET}}


def subscribers_destinations(config: Configuration) -> list[str]:
    """Return the destinations that tell what happens to endpoints."""
    tell = config.subscribers.tell if config.subscribers else None
    return [name for name in (tell.operator, tell.owners) if name] if tell else []


def _common(section: SubscribersConfig) -> JsonObject:
    return {
        "allow_http": section.allow_http,
        "allow_private": section.allow_private,
        "verify": section.verify,
        "disable_after_seconds": section.disable_after,
        "tell": {"operator": section.tell.operator, "owners": section.tell.owners},
    }
