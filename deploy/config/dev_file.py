"""`dev.json` in the state folder: how others find what runs, the page above all."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config.ports import Ports
from shared.jsontext import Json, JsonObject, to_json

FILE_NAME: Final = "dev.json"


@dataclass(frozen=True, slots=True)
class Hint:
    """`trial` is a command that sends a first event; it names its secret. `sources` say where to send and how."""

    trial: str
    sources: tuple[str, ...]


def write_dev_file(
    state: Path,
    ports: Ports,
    hint: Hint,
    config: Path | None,
    sends_mail: bool = False,
    by_name: bool = False,
    faults: str = "",
) -> None:
    """Write what runs for the other commands and the page.

    `config` is None in the mode without a file. `sends_mail`: for real, to people. `by_name`: the configuration was
    named when `hookchain dev` was started. `faults`: why the files as they are now are not the ones served.
    """
    document: Json = {
        "process": os.getpid(),
        "ports": dict(ports.named()),
        "trial": hint.trial,
        "sources": list(hint.sources),
        "config": str(config.absolute()) if config else "none",
        "sends_mail": sends_mail,
        "by_name": by_name,
        "faults": faults,
    }
    descriptor = os.open(state / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # it may be there already
        file.write(to_json(document))


def read_hint(state: Path) -> Hint | None:
    """None where no `hookchain dev` is up."""
    document = read_dev_file(state)
    if document is None:
        return None
    sources = document.get("sources")
    return Hint(str(document.get("trial", "")), tuple(map(str, sources)) if isinstance(sources, list) else ())


def is_sending_mail(state: Path) -> bool:
    """Whether the `hookchain dev` that is up sends mails for real."""
    document = read_dev_file(state)
    return document is not None and document.get("sends_mail") is True


def served_config(state: Path) -> str | None:
    """What the `hookchain dev` that is up serves, as HOOKCHAIN_CONFIG would name it; None where none is up."""
    document = read_dev_file(state)
    config = document.get("config") if document else None
    return config if isinstance(config, str) else None


def is_served_by_name(state: Path) -> bool:
    """Return whether the `hookchain dev` that is up was started with the name of its configuration."""
    document = read_dev_file(state)
    return document is not None and document.get("by_name") is True


def config_faults(state: Path) -> str:
    """Return why the `hookchain dev` that is up serves an older configuration; empty where it does not."""
    document = read_dev_file(state)
    return str(document.get("faults", "")) if document else ""


def read_dev_file(state: Path) -> JsonObject | None:
    """None where no `hookchain dev` is up: one that was killed leaves its file behind."""
    try:
        document: Json = json.loads((state / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and _is_alive(document.get("process")) else None


def _is_alive(process: Json) -> bool:
    if not isinstance(process, int) or process < 1:
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def remove_dev_file(state: Path) -> None:
    (state / FILE_NAME).unlink(missing_ok=True)
