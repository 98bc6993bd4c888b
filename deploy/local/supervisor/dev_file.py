"""`dev.json` in the state folder: how others find what runs, the page above all."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.supervisor.ports import Ports
from shared.jsontext import Json, to_json

FILE_NAME: Final = "dev.json"


@dataclass(frozen=True, slots=True)
class Hint:
    """`trial` is a command that sends a first event; it holds a secret. `sources` say where to send and how."""

    trial: str
    sources: tuple[str, ...]


def write_dev_file(state: Path, ports: Ports, hint: Hint) -> None:
    document: Json = {
        "process": os.getpid(),
        "ports": dict(ports.named()),
        "trial": hint.trial,
        "sources": list(hint.sources),
    }
    descriptor = os.open(state / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(to_json(document))


def read_hint(state: Path) -> Hint | None:
    """None where no `hookchain dev` is up."""
    try:
        document: Json = json.loads((state / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict):
        return None
    sources = document.get("sources")
    return Hint(str(document.get("trial", "")), tuple(map(str, sources)) if isinstance(sources, list) else ())


def remove_dev_file(state: Path) -> None:
    (state / FILE_NAME).unlink(missing_ok=True)
