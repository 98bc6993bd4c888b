"""The routes of hookchain.yaml as transform's slice has them."""

from pathlib import Path

from deploy.step_files import with_files
from shared.config.bundle import BundleConfig
from shared.config.route import RouteConfig
from shared.jsontext import Json, JsonObject


def compiled_routes(config: BundleConfig, folder: Path) -> list[Json]:
    """`folder`: what the files that steps name are relative to."""
    return [_route(route, folder) for route in config.routes]


def _route(route: RouteConfig, folder: Path) -> JsonObject:
    return {
        "name": route.name,
        "from": None if "all" in route.from_ else list(route.from_),
        "types": list(route.types) or None,
        "where": route.where,
        "steps": [_step(step, folder) for step in route.steps],
        "to": list(route.to),
    }


def _step(step: JsonObject, folder: Path) -> JsonObject:
    return {name: with_files(settings, name, folder) for name, settings in step.items()}
