"""The routes of hookchain.yaml as transform's slice has them."""

from shared.config.bundle import BundleConfig
from shared.config.route import RouteConfig
from shared.jsontext import Json, JsonObject


def compiled_routes(config: BundleConfig) -> list[Json]:
    return [_route(route) for route in config.routes]


def _route(route: RouteConfig) -> JsonObject:
    return {
        "name": route.name,
        "from": None if "all" in route.from_ else list(route.from_),
        "types": list(route.types) or None,
        "where": route.where,
        "steps": list(route.steps),
        "to": list(route.to),
    }
