"""What a thing on Google Cloud is to a plan: its name, what must be there before it, and the commands that make it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.google import names
from deploy.google.target import Target
from shared.jsontext import JsonObject

ADDRESS: Final = "{address}"
"""Stands in a command for the name that Google gave what exists, where that is no name of ours."""


@dataclass(frozen=True, slots=True)
class Command:
    """`arguments` follow the word gcloud. `secret` names the secret whose value goes to standard input."""

    arguments: tuple[str, ...]
    secret: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """What a command reads; written before it runs."""

    path: Path
    content: str


@dataclass(frozen=True, slots=True)
class Resource:
    """`create` makes it where it is not there; `update` brings what is there up to date, and is empty where all that
    counts is that it is there. `digest` is of everything that decides it; the same digest means nothing to do. `needs`
    are keys of other resources; an update waits for those of `update_needs` too, where they change as well. Others use
    what `is_shared` too, so it carries no label of ours."""

    kind: str
    name: str
    why: str
    create: tuple[Command, ...]
    update: tuple[Command, ...] = ()
    digest: str = ""
    needs: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    update_needs: tuple[str, ...] = ()
    is_shared: bool = False

    @property
    def key(self) -> str:
        return key_of(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Existing:
    """What was found. `digest` is of the plan that made it; empty where nothing says so, or it does not work.
    `address` is Google's own name of it, where it chose one. `ours`: it carries our label. `owner` is the bundle whose
    label it carries, empty where it carries none. `region` is told of databases alone. `description` is the entry of
    gcloud's list; None where nothing describes it."""

    digest: str = ""
    address: str = ""
    ours: bool = True
    owner: str = ""
    region: str = ""
    description: JsonObject | None = None


def key_of(kind: str, name: str) -> str:
    return f"{kind} {name}"


def digest_of(*parts: object) -> str:
    """16 hexadecimal digits, which any label takes. `parts` are what json can write."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def label_text(target: Target, digest: str = "") -> str:
    """As gcloud's --labels takes it."""
    labels: Mapping[str, str] = names.labels(target)
    if digest:
        labels = {**labels, names.PLAN_LABEL: digest}
    return ",".join(f"{name}={value}" for name, value in labels.items())


def one(*arguments: str) -> tuple[Command, ...]:
    return (Command(arguments),)


def keys(resources: Sequence[Resource]) -> tuple[str, ...]:
    return tuple(resource.key for resource in resources)
