"""The `hookchain dev` or `hookchain serve` that runs with a state folder, as three files of the folder show it.

    dev.json       what is served, and at which ports; only while one runs, but a killed one leaves the file behind
    production     marks the folder of `hookchain serve`; without it, `hookchain dev` runs
    restored.json  marks a folder from a backup, from which nothing is delivered yet

The supervisor writes dev.json; the other commands and the page read it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deploy.config.local_ports import Ports
from shared.jsontext import Json, JsonObject, mapping_at, texts_at, to_json

OTHER_FOLDER: Final = (
    "If Hookchain was started with another HOOKCHAIN_STATE, set the same here. Most commands also have --state."
)
"""The advice if a state folder does not have the data that a command looks for."""
NO_CONFIG: Final = "none"
"""The value of HOOKCHAIN_CONFIG for the mode without a file."""

# dev.json

FILE_NAME: Final = "dev.json"


@dataclass(frozen=True, slots=True)
class DevFile:
    """The content of dev.json: what runs with a state folder.

    ports            None if another version runs, which has other ports
    trial            a command that sends a first event; empty if none can be offered
    sources          lines with the sources' URLs
    config           the absolute path of the configuration file, or NO_CONFIG
    by_name          it was started with the name of its configuration
    unchanged_since  when the configuration was read, in Unix seconds; None if a later version is served at once
    faults           the reason why an older version of the files is served; empty if it is the newest
    env_file         the absolute path of the env file
    env_version      the version of the env file when it was read: see file_version
    sends_mail       mails are sent to people
    aws              the environment of a function if the functions run on the local AWS, otherwise None
    """

    ports: Ports | None
    trial: str = ""
    sources: tuple[str, ...] = ()
    config: str = NO_CONFIG
    by_name: bool = False
    unchanged_since: float | None = None
    faults: str = ""
    env_file: str | None = None
    env_version: int | None = None
    sends_mail: bool = False
    aws: Mapping[str, str] | None = None

    def env_changed_at(self, env_file: Path) -> float | None:
        """Return when the env file was changed since it was read, in Unix seconds; None if it was not.

        A file that was deleted since counts as changed at 0.
        """
        version = file_version(env_file)
        return None if version == self.env_version else (version or 0) / 1e9


def file_version(path: Path) -> int | None:
    """Return the file's modification time in nanoseconds; None if the file does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def write_dev_file(state: Path, dev: DevFile) -> None:
    """Write the file, which names this process as the one that runs. Only its owner can read it.

    Raises OSError. The former file then stays as it is.
    """
    document: JsonObject = {"process": os.getpid(), **asdict(dev)}
    new_file = state / f"{FILE_NAME}.new"
    new_file.unlink(missing_ok=True)
    with os.fdopen(os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(to_json(document))
    new_file.replace(state / FILE_NAME)


def read_dev_file(state: Path) -> DevFile | None:
    """Return what runs with the state folder; None if nothing does."""
    try:
        document: Json = json.loads((state / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or not _is_alive(document.get("process")):
        return None
    ports: Ports | None
    try:
        ports = Ports(**{name: port for name, port in mapping_at(document, "ports").items() if isinstance(port, int)})
    except TypeError:  # another version wrote other ports
        ports = None
    unchanged_since = document.get("unchanged_since")
    env_file = document.get("env_file")
    env_version = document.get("env_version")
    aws = document.get("aws")
    return DevFile(
        ports=ports,
        trial=str(document.get("trial", "")),
        sources=tuple(texts_at(document, "sources")),
        config=str(document.get("config", NO_CONFIG)),
        by_name=document.get("by_name") is True,
        unchanged_since=unchanged_since if isinstance(unchanged_since, float) else None,
        faults=str(document.get("faults", "")),
        env_file=env_file if isinstance(env_file, str) else None,
        env_version=env_version if isinstance(env_version, int) else None,
        sends_mail=document.get("sends_mail") is True,
        aws={name: str(value) for name, value in aws.items()} if isinstance(aws, dict) else None,
    )


def _is_alive(process: Json) -> bool:
    if not isinstance(process, int) or process < 1:
        return False
    try:
        os.kill(process, 0)  # the signal 0 only asks if the process exists
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def remove_dev_file(state: Path) -> None:
    (state / FILE_NAME).unlink(missing_ok=True)


def read_aws_environ(state: Path) -> Mapping[str, str] | None:
    """Return the environment of a function of a running `hookchain dev --platform aws`; None if none is running."""
    dev = read_dev_file(state)
    return dev.aws if dev else None


def config_faults(state: Path) -> str:
    """Return why what runs serves an older configuration; empty if it serves the newest, or if nothing runs."""
    dev = read_dev_file(state)
    return outdated(state) or (dev.faults if dev else "")


def outdated(state: Path) -> str:
    """Return a sentence if what runs was told not to read a changed configuration, and it has changed; else nothing."""
    dev = read_dev_file(state)
    if dev is None or dev.unchanged_since is None:
        return ""
    try:
        is_changed = Path(dev.config).stat().st_mtime > dev.unchanged_since
    except OSError:  # the file is gone: what is served is not older than it
        return ""
    if not is_changed:
        return ""
    if is_production(state):
        return f"{dev.config} has changed since `hookchain serve` read it: send it SIGHUP to serve it"
    return f"{dev.config} has changed since `hookchain dev --no-reload` read it: restart that to serve it"


# The marks of a folder

PRODUCTION_FILE: Final = "production"
"""An empty file in the state of `hookchain serve`, whose deliveries leave this machine."""


def is_production(state: Path) -> bool:
    return (state / PRODUCTION_FILE).exists()


def command_of(state: Path) -> str:
    """Return the command that runs with the state folder."""
    return "hookchain serve" if is_production(state) else "hookchain dev"


def start_command(state: Path) -> str:
    """Return the command that starts Hookchain with the state folder, as an operator types it."""
    return "hookchain serve" if is_production(state) else "make dev"


PAUSE_FILE: Final = "restored.json"
"""An empty file in a state folder that `hookchain restore` made: nothing is delivered until `hookchain resume --all`
removes it."""
NOT_RESUMED: Final = "restored from a backup, delivers nothing yet"
RESUME_ALL: Final = "hookchain resume --all"


def is_paused(state: Path) -> bool:
    """Return whether nothing is delivered since a restore."""
    return (state / PAUSE_FILE).exists()
