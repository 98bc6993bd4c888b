"""A function's requirements.txt: the packages that its configuration uses, with pinned versions and hashes.

A configuration uses extras of pyproject.toml, such as `crypto` for a source that verifies with a public key. An extra
lists packages, and deploy/pins.txt has the version of each, with the packages that need it (`# via`). The requirements
follow from these two files alone, without a package index or an installed environment.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
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
"""Other extras of Hookchain in an extra, such as `hookchain[crypto, schema]`."""


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
    pins_by_name = {pin.name: pin for pin in read_pins(pins.read_text(encoding="utf-8"))}
    declared = _declared_extras(pyproject)
    packages = {name for extra in extras for name in _packages_of(declared, extra)}
    if missing := packages - pins_by_name.keys():
        raise PinsFault(f"{pins.name} has no version of {', '.join(sorted(missing))}. Update it with `make pins`")
    return "".join(pins_by_name[name].text for name in sorted(_with_needs(packages, pins_by_name)))


def read_pins(text: str) -> Iterator[Pin]:
    """Yield the pins. Below a pin, comments name the packages that need it: `# via NAME`, or `# via` and `#   NAME`."""
    name = ""
    lines: list[str] = []
    needed_by: set[str] = set()
    for line in text.splitlines():
        if pin := _PIN.match(line):
            if name:
                yield Pin(name, "\n".join(lines) + "\n", frozenset(needed_by))
            name = normalized(pin[1])
            lines, needed_by = [line], set()
        elif not line.lstrip().startswith("#"):
            lines.append(line)  # a hash of the package
        elif package := _NAME.match(line.strip().removeprefix("#").strip().removeprefix("via").strip()):
            needed_by.add(normalized(package[0]))
    if name:
        yield Pin(name, "\n".join(lines) + "\n", frozenset(needed_by))


def normalized(name: str) -> str:
    """Return the normalized name (https://packaging.python.org/en/latest/specifications/name-normalization/)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared_extras(pyproject: Path) -> dict[str, list[str]]:
    with pyproject.open("rb") as file:
        extras: dict[str, list[str]] = tomllib.load(file)["project"]["optional-dependencies"]
    return extras


def _packages_of(extras: dict[str, list[str]], extra: str) -> Iterator[str]:
    """Yield the names of the packages that an extra lists, also in its other extras. Raises PinsFault."""
    if extra not in extras:
        raise PinsFault(f"pyproject.toml has no extra {extra!r}; there are: {', '.join(sorted(extras))}")
    for requirement in extras[extra]:
        if own := _OWN_EXTRAS.fullmatch(requirement):
            for name in own[1].split(","):
                yield from _packages_of(extras, name.strip())
        elif package := _NAME.match(requirement):
            yield normalized(package[0])


def _with_needs(packages: set[str], pins_by_name: dict[str, Pin]) -> set[str]:
    """Return the packages with everything that they need. Extras of a package are not distinguished."""
    found = set(packages)
    while True:
        needed = {name for name, pin in pins_by_name.items() if pin.needed_by & found}
        if needed <= found:
            return found
        found |= needed


PUBLIC_KEYS: Final = frozenset({"ed25519", "ecdsa", "rsa", "aws-sns", "paypal", "standard-webhooks"})
"""Schemes that may verify with a public key. Standard Webhooks does if its secret is a public key."""


def needed_extras(function: str, compiled: JsonObject) -> tuple[str, ...]:
    """Return the extras that a function needs for its slice of the compiled configuration, in alphabetical order."""
    match function:
        case "receive":
            extras = _extras_for_sources(compiled)
        case "transform":
            extras = _extras_for_steps(compiled)
        case "notify":
            extras = _extras_for_destinations(compiled)
        case _:
            return ()
    return tuple(sorted(set(extras)))


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
    for chain in [*(route.chain.steps for route in program.routes), *program.chains.values()]:
        for named_step in chain:
            yield from named_step.step.needs()
    if _has_account_key(compiled):
        yield "crypto"


def _extras_for_destinations(compiled: JsonObject) -> Iterator[str]:
    """Yield the extras of each destination. The model of its settings lists them, under two names:

    extras              the extras of every destination of this kind
    extras_with_secret  the further extras of a destination with the setting `secret`
    """
    own = own_kinds_of(compiled)
    for destination in mappings_at(compiled, "destinations").values():
        model = settings_model(str(destination["kind"]), own)
        yield from getattr(model, "extras", ())
        if value_at(destination, "settings", "secret") is not None:
            yield from getattr(model, "extras_with_secret", ())
    if _has_account_key(compiled["destinations"]):
        yield "crypto"
    if "people" in compiled:
        yield "zones"


def _has_account_key(settings: Json) -> bool:
    """Return whether a request authenticates by the key of a Google service account, which signs by RSA."""
    return any(
        value_at(value, "scheme") == "google_oauth" and value_at(value, "secret") is not None
        for _, value in values_in(settings)
    )
