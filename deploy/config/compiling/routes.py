"""The routes, the named chains and the operator's own steps of hookchain.yaml as transform's slice has them."""

from deploy.config.compiling.own_steps import own_step_sources
from deploy.config.compiling.step_files import with_files
from deploy.config.config_file import ConfigFile
from deploy.config.models.configuration import BundleConfig, RouteConfig, StepConfig
from functions.transform.families import StepModels
from functions.transform.own_steps import load_own_steps
from shared.jsontext import Json, JsonObject


def compiled_routes(config: BundleConfig, file: ConfigFile) -> JsonObject:
    """What transform's slice holds of them. What a step names by its file stands in the step."""
    sources = own_step_sources(file, list(config.steps_from))
    own = load_own_steps(sources)
    chains: JsonObject = {name: _steps(steps, file, own) for name, steps in config.chains.items()}
    return {
        "routes": [_route(route, file, own) for route in config.routes],
        **({"chains": chains} if chains else {}),
        **({"own_steps": dict(sources)} if sources else {}),
    }


def _route(route: RouteConfig, file: ConfigFile, own: StepModels) -> JsonObject:
    compiled: JsonObject = {
        "name": route.name,
        "from": None if "all" in route.from_ else list(route.from_),
        "types": list(route.types) or None,
        "where": route.where,
        "steps": _steps(route.steps, file, own),
        "to": list(route.to),
    }
    said: JsonObject = {
        "else": route.else_ or None,
        "enabled": None if route.enabled else False,
        "on_error": None if route.on_error == "dead_letter" else route.on_error,
    }
    return {**compiled, **{key: value for key, value in said.items() if value is not None}}


def _steps(steps: list[StepConfig], file: ConfigFile, own: StepModels) -> list[Json]:
    return [_step(step, file, own) for step in steps]


def _step(step: JsonObject, file: ConfigFile, own: StepModels) -> JsonObject:
    return {name: with_files(settings, name, file.folder, own) for name, settings in step.items()}
