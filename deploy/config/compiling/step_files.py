"""The files that steps' settings name, put into the settings: a slice needs no file beside it."""

from base64 import b64encode
from pathlib import Path

from deploy.config.faults import unreadable
from functions.transform.families import StepModels, step_model
from functions.transform.read_chains import NO_OWN_STEPS
from functions.transform.step import Step
from shared.jsontext import Json


class UnreadableFile(ValueError):
    """It names the file, and what it is relative to."""


def with_files(settings: Json, name: str, folder: Path, own: StepModels = NO_OWN_STEPS) -> Json:
    """A step's settings; `own` are the operator's steps. Raises UnreadableFile."""
    keys = _file_keys(name, own)
    if not isinstance(settings, dict):
        return settings
    return {
        key: _content(value, folder) if key in keys and isinstance(value, str) else _filled(value, folder)
        for key, value in settings.items()
    }


def _file_keys(name: str, own: StepModels) -> tuple[str, ...]:
    model = own.get(name) or step_model(name)
    return model.file_keys if model is not None and issubclass(model, Step) else ()


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
