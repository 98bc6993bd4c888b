"""The target of a deployment in `.env`, so that later commands find the deployment without options.

The target is for example GOOGLE_CLOUD_PROJECT, HOOKCHAIN_REGION and HOOKCHAIN_PREFIX. A variable with its default is
not written.
"""

from collections.abc import Mapping
from pathlib import Path

from deploy.config.dotenv import add_to_dotenv, read_dotenv


def keep_target(
    path: Path, *, target: Mapping[str, str], defaults: Mapping[str, str], settings: Mapping[str, str], comment: str
) -> list[str]:
    """Add the variables of the target, and the settings, to the file. Return a note for each that keeps another value.

    A variable that is in the file is not changed, because a second deployment with a name of its own must not change
    what a command without options means. Raises DotenvFault.
    """
    used = read_dotenv(path)
    if any(name in used and name not in defaults for name in target):
        used = {**defaults, **used}  # the file names a whole target: a variable that it lacks has its default there
    missing: dict[str, str] = {}
    notes: list[str] = []
    for name, value in {**target, **settings}.items():
        if used.get(name, value) != value:
            notes.append(f"note: without an option, commands still use {name}={used[name]} ({path})")
        elif name not in used and value != defaults.get(name):
            missing[name] = value
    if missing:
        add_to_dotenv(path, missing, comment)
    return notes
