"""Transform's slice: the routes, the named chains, the operator's own steps, and the files that steps name."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deploy.config.compiling.own_steps import STEP_FILES
from deploy.config.config_file import ConfigFile
from deploy.config.faults import unreadable
from deploy.config.models.route import RouteConfig, StepConfig, StepsConfig
from functions.transform.families import StepClasses, load_own_steps, step_class
from functions.transform.program import NO_OWN_STEPS, read_program
from functions.transform.step import Settings
from functions.transform.verifying import compile_settings
from shared.jsontext import Json, JsonObject
from shared.waiting_route import RETRY_SECONDS


def compiled_routes(
    file: ConfigFile, routes: Iterable[RouteConfig], chains: Mapping[str, StepsConfig], steps_from: Sequence[str]
) -> JsonObject:
    """Return that part of transform's slice. The content of a file replaces its name."""
    sources = STEP_FILES.sources(file, list(steps_from))
    own = load_own_steps(sources)
    compiled_chains: JsonObject = {name: _steps(steps, file, own) for name, steps in chains.items()}
    return {
        "routes": [_route(route, file, own) for route in routes],
        **({"chains": compiled_chains} if compiled_chains else {}),
        **({"own_steps": dict(sources)} if sources else {}),
    }


def compiled_waits(transform: JsonObject) -> JsonObject:
    """Return the part of notify's slice about routes that may wait: the longest schedule of their steps, in seconds.

    It is empty if no step of a route asks another system. `transform` is the compiled slice.
    """
    routes = read_program(transform, is_compiled=True).routes
    asking = [step.step for route in routes for step in route.chain.reachable_steps() if step.asks_others]
    if not asking:
        return {}
    schedules = [getattr(step, "retry", None) for step in asking]
    longest = max(sum(RETRY_SECONDS if retry is None else retry) for retry in schedules)
    return {"waiting_routes": {"longest_seconds": longest}}


def _route(route: RouteConfig, file: ConfigFile, own: StepClasses) -> JsonObject:
    compiled: JsonObject = {
        "name": route.name,
        "from": None if "all" in route.from_ else list(route.from_),
        "types": list(route.types) or None,
        "where": route.where,
        "steps": _steps(route.steps, file, own),
        "to": list(route.to),
    }
    optional: JsonObject = {
        "else": route.else_ or None,
        "enabled": None if route.enabled else False,
        "on_error": None if route.on_error == "dead_letter" else route.on_error,
    }
    return {**compiled, **{key: value for key, value in optional.items() if value is not None}}


def _steps(steps: list[StepConfig], file: ConfigFile, own: StepClasses) -> list[Json]:
    return [_step(step, file, own) for step in steps]


def _step(step: JsonObject, file: ConfigFile, own: StepClasses) -> JsonObject:
    """Return the step with its settings in full, which transform need not verify; those of an own step as written."""
    compiled: JsonObject = {}
    for name, written in step.items():
        settings = with_files(written, name, file.folder, own)
        kind = None if name in own else step_class(name)
        compiled[name] = compile_settings(kind, settings) if kind and issubclass(kind, Settings) else settings
    return compiled


class UnreadableFile(ValueError):
    """A file cannot be read. The text names it."""


def with_files(settings: Json, name: str, folder: Path, own: StepClasses = NO_OWN_STEPS) -> Json:
    """Return a step's settings with the content of files. `own` are the operator's steps. Raises UnreadableFile."""
    keys = _file_keys(name, own)
    if not isinstance(settings, dict):
        return settings
    return {
        key: _content(value, folder) if key in keys and isinstance(value, str) else _filled(value, folder)
        for key, value in settings.items()
    }


def _file_keys(name: str, own: StepClasses) -> tuple[str, ...]:
    kind = own.get(name) or step_class(name)
    return () if kind is None else kind.file_keys


def _filled(value: Json, folder: Path) -> Json:
    if isinstance(value, list):
        return [_filled(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("file")
    if len(value) == 1 and isinstance(name, str):
        return _content(name, folder)
    return {key: _filled(item, folder) for key, item in value.items()}


def _content(name: str, folder: Path) -> Json:
    try:
        content = (folder / name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise UnreadableFile(unreadable(name)) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": b64encode(content).decode("ascii")}
