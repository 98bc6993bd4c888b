"""`dev.json` in the state folder: how others find what runs, the page above all."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.supervisor.ports import Ports
from shared.jsontext import Json, JsonObject, to_json

FILE_NAME: Final = "dev.json"


@dataclass(frozen=True, slots=True)
class Hint:
    """`trial` is a command that sends a first event; it holds a secret. `sources` say where to send and how."""

    trial: str
    sources: tuple[str, ...]


def write_dev_file(state: Path, ports: Ports, hint: Hint, sends_mail: bool = False) -> None:
    """`sends_mail`: for real, to people."""
    document: Json = {
        "process": os.getpid(),
        "ports": dict(ports.named()),
        "trial": hint.trial,
        "sources": list(hint.sources),
        "sends_mail": sends_mail,
    }
    descriptor = os.open(state / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(to_json(document))


def read_hint(state: Path) -> Hint | None:
    """None where no `hookchain dev` is up."""
    document = _read(state)
    if document is None:
        return None
    sources = document.get("sources")
    return Hint(str(document.get("trial", "")), tuple(map(str, sources)) if isinstance(sources, list) else ())


def is_sending_mail(state: Path) -> bool:
    """Whether the `hookchain dev` that is up sends mails for real."""
    document = _read(state)
    return document is not None and document.get("sends_mail") is True


def _read(state: Path) -> JsonObject | None:
    try:
        document: Json = json.loads((state / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def remove_dev_file(state: Path) -> None:
    (state / FILE_NAME).unlink(missing_ok=True)
