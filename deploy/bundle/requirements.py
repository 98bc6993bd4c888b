"""A function's requirements.txt: the extras of pyproject.toml that its configuration uses, with pins and hashes.

deploy/pins.txt names below each package those that need it (`# via`). The requirements follow from these two files
alone, without a package index or an installed environment.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config.sections.kinds import settings_model
from deploy.requests.sources import auth_entries, compiled_sources
from deploy.terminal.command_line import CommandError
from deploy.topology.buses import GOOGLE_BUS_KINDS
from functions.notify.own_kinds import own_kinds_of
from functions.transform.program import read_program
from shared.jsontext import Json, JsonObject, list_at, mappings_at, value_at, values_in

_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==\S+")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_OWN_EXTRAS: Final = re.compile(r"hookchain\[([a-z, -]+)\]")


class PinsFault(CommandError):
    """pyproject.toml and deploy/pins.txt contradict each other."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned package. `text` is the version with its hashes, as pip reads it; `needed_by` are names of packages."""

    name: str
    text: str
    needed_by: frozenset[str]


def requirements(pyproject: Path, pins: Path, extras: Sequence[str]) -> str:
    """Return the text of a requirements.txt: the pins of the extras' packages and of everything that these need.

    Raises PinsFault if an extra is not declared, or a package has no pin.
    """
    pinned = {pin.name: pin for pin in read_pins(pins.read_text(encoding="utf-8"))}
    named = {name for extra in extras for name in _packages_of(_declared_extras(pyproject), extra)}
    if missing := named - pinned.keys():
        raise PinsFault(f"{pins.name} has no version of {', '.join(sorted(missing))}. Update it with `make pins`")
    return "".join(pinned[name].text for name in sorted(_with_needs(named, pinned)))


def read_pins(text: str) -> Iterator[Pin]:
    """Yield the pins. Below a pin, comments name the packages that need it: `# via NAME`, or `# via` and `#   NAME`."""
    lines: list[str] = []
    needed_by: set[str] = set()
    for line in text.splitlines():
        if _PIN.match(line) and lines:
            yield _pin(lines, needed_by)
            lines, needed_by = [], set()
        if not line.lstrip().startswith("#"):
            lines.append(line)
        elif lines and (package := _NAME.match(line.strip().removeprefix("#").strip().removeprefix("via").strip())):
            needed_by.add(normalized(package[0]))
    if lines:
        yield _pin(lines, needed_by)


def _pin(lines: list[str], needed_by: set[str]) -> Pin:
    [name] = re.findall(r"^[A-Za-z0-9._-]+(?===)", lines[0])
    return Pin(normalized(name), "\n".join(lines) + "\n", frozenset(needed_by))


def normalized(name: str) -> str:
    """Return the normalized name (https://packaging.python.org/en/latest/specifications/name-normalization/)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared_extras(pyproject: Path) -> dict[str, list[str]]:
    with pyproject.open("rb") as file:
        extras: dict[str, list[str]] = tomllib.load(file)["project"]["optional-dependencies"]
    return extras


def _packages_of(extras: dict[str, list[str]], extra: str) -> Iterator[str]:
    if extra not in extras:
        raise PinsFault(f"pyproject.toml has no extra {extra!r}; there are: {', '.join(sorted(extras))}")
    for requirement in extras[extra]:
        if own := _OWN_EXTRAS.fullmatch(requirement):
            for name in own[1].split(","):
                yield from _packages_of(extras, name.strip())
        elif package := _NAME.match(requirement):
            yield normalized(package[0])


def _with_needs(names: set[str], pinned: dict[str, Pin]) -> set[str]:
    """Return the packages with everything that they need. Extras of a package are not distinguished."""
    found = set(names)
    while more := {name for name, pin in pinned.items() if name not in found and pin.needed_by & found}:
        found |= more
    return found


PUBLIC_KEYS: Final = frozenset({"ed25519", "ecdsa", "rsa", "aws-sns", "paypal", "standard-webhooks"})
"""Schemes that may verify with a public key. Standard Webhooks does if its secret is a public key."""


def needed_extras(function: str, compiled: JsonObject) -> tuple[str, ...]:
    """Return the names of the extras that a function needs, each once, in alphabetical order."""
    found = _EXTRAS_BY_FUNCTION[function](compiled) if function in _EXTRAS_BY_FUNCTION else ()
    return tuple(sorted(set(found)))


def _extras_for_sources(compiled: JsonObject) -> Iterator[str]:
    if "recovered" in compiled:
        yield "crypto"  # the token of a push
    for source in compiled_sources(compiled).values():
        if "schema" in source:
            yield "schema"
        if any(map(_has_public_key, auth_entries(source))):
            yield "crypto"
        if isinstance(bus := source.get("bus"), dict) and bus["kind"] in GOOGLE_BUS_KINDS:
            yield "crypto"  # the token of a push


def _has_public_key(scheme: JsonObject) -> bool:
    if scheme["scheme"] != "jwt":
        return scheme["scheme"] in PUBLIC_KEYS
    return not all(str(algorithm).startswith("HS") for algorithm in list_at(scheme, "algorithms"))


def _extras_for_steps(compiled: JsonObject) -> Iterator[str]:
    program = read_program(compiled)
    chains = [*(route.chain.steps for route in program.routes), *program.chains.values()]
    for steps in chains:
        for named in steps:
            yield from named.step.needs()
    if _has_account_key(compiled):
        yield "crypto"


def _extras_for_destinations(compiled: JsonObject) -> Iterator[str]:
    """Yield the extras of each kind of destination, which its settings name in `extras`.

    `extras_with_secret` are the extras of a destination that names a `secret`.
    """
    destinations = mappings_at(compiled, "destinations")
    own = own_kinds_of(compiled)
    for kind, has_secret in {(str(each["kind"]), _has_secret(each)) for each in destinations.values()}:
        model = settings_model(kind, own)
        extras: tuple[str, ...] = getattr(model, "extras", ())
        with_secret: tuple[str, ...] = getattr(model, "extras_with_secret", ()) if has_secret else ()
        yield from (*extras, *with_secret)
    if _has_account_key(compiled["destinations"]):
        yield "crypto"
    if "people" in compiled:
        yield "zones"


_EXTRAS_BY_FUNCTION: Final[Mapping[str, Callable[[JsonObject], Iterator[str]]]] = {
    "receive": _extras_for_sources,
    "transform": _extras_for_steps,
    "notify": _extras_for_destinations,
}
"""By function: yields the extras that its slice needs. A function that is missing needs none."""


def _has_account_key(settings: Json) -> bool:
    """Return whether a request authenticates by the key of a Google service account, which signs by RSA."""
    schemes = (each for _, each in values_in(settings) if value_at(each, "scheme") == "google_oauth")
    return any(value_at(each, "secret") is not None for each in schemes)


def _has_secret(destination: Json) -> bool:
    return value_at(destination, "settings", "secret") is not None
