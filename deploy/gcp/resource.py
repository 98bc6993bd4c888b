"""A resource on Google Cloud, as a plan sees it: its name, its needs, and the commands that create and update it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cloud_access import gcp_names
from shared.jsontext import JsonObject

ADDRESS: Final = "{address}"
"""The placeholder in a command for the name of an existing resource that Google named."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `arguments` follow the word gcloud. `secret` is the name of the secret to write to standard input."""

    arguments: tuple[str, ...]
    secret: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file that a command reads. It is written before the command runs."""

    path: Path
    content: str


GRANT: Final = "grant"
"""The kind of an IAM binding as a resource."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A binding. `on` is the kind of the resource and `name` its name; `member` is written as in IAM, `condition` as an
    expression."""

    on: str
    name: str
    role: str
    member: str
    condition: str = ""

    @property
    def text(self) -> str:
        """Return the binding as the name of its resource: `ROLE on KIND NAME to MEMBER`, and ` if CONDITION`."""
        text = f"{self.role} on {self.on} {self.name} to {self.member}"
        return f"{text} if {self.condition}" if self.condition else text

    @property
    def key(self) -> str:
        return key_of(GRANT, self.text)


@dataclass(frozen=True, slots=True)
class Resource:
    """A planned resource.

    why            what it is for, in a few words, as a comment in the script of a plan
    create         the commands that create it
    update         the commands that update it; none if it only has to exist
    digest         the digest of all its settings; with the same digest there is nothing to do
    needs          the keys of the resources that must exist before
    files          the files that its commands read
    update_needs   the keys of further resources that an update waits for, if they change too
    is_shared      others use it too, so it has no label of ours
    grant          the binding that a resource of the kind GRANT stands for; None for any other kind
    """

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
    grant: Grant | None = None

    @property
    def key(self) -> str:
        return key_of(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Existing:
    """An existing resource.

    digest        the digest of the plan that made it; empty if it is unknown, or if the resource does not work
    address       Google's own name, if Google named it
    ours          it has our label
    owner         the deployment in its label; empty without a label
    region        the region of a database
    description   the entry of gcloud's list; None if there is none
    """

    digest: str = ""
    address: str = ""
    ours: bool = True
    owner: str = ""
    region: str = ""
    description: JsonObject | None = None


def key_of(kind: str, name: str) -> str:
    """Return the key of a resource in plans and lists. A kind is one word, so the first space ends it."""
    return f"{kind} {name}"


def kind_and_name(key: str) -> tuple[str, str]:
    """Return the two parts of a key, which `key_of` joined."""
    kind, _, name = key.partition(" ")
    return kind, name


def kind_of(key: str) -> str:
    return kind_and_name(key)[0]


def digest_of(*parts: object) -> str:
    """Return a digest of 16 hexadecimal digits, which fits a label. `parts` must be serializable as JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def label_text(target: gcp_names.Target, digest: str = "") -> str:
    """Return the labels as gcloud's --labels expects them."""
    labels: Mapping[str, str] = gcp_names.labels(target)
    if digest:
        labels = {**labels, gcp_names.PLAN_LABEL: digest}
    return ",".join(f"{name}={value}" for name, value in labels.items())


def gcloud(command: str, *arguments: str | tuple[str, ...]) -> tuple[Command, ...]:
    """Return the one command, such as `pubsub topics create`. An argument may stand for several, as a tuple."""
    flat = [text for each in arguments for text in ([each] if isinstance(each, str) else each)]
    return (Command((*command.split(), *flat)),)


def keys(resources: Sequence[Resource]) -> tuple[str, ...]:
    """Return the keys of the resources, in their order."""
    return tuple(resource.key for resource in resources)
