"""Write the list of the event types that providers send, from packages that they publish.

    python -m tests.event_type_lists 2026-12-01

installs the packages of event_type_lists.yaml into a temporary folder and writes provider_event_types.json in
deploy/config/sections. The argument is the date that the list carries. A package without the expected names is an
error, so that a list never becomes shorter unnoticed.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias, TypedDict

import yaml

from deploy.config.sections.provider_event_types import LIST

Actions: TypeAlias = dict[str, list[str]]
"""The actions of each event type. `*` stands for any action."""


class Place(TypedDict, total=False):
    """The place of a provider's event types in a package: see event_type_lists.yaml."""

    package: str
    files: str
    each: str
    between: list[str]
    item: str
    reader: str
    any_action: bool
    least: int


class Written(TypedDict):
    """Event types from documentation."""

    source: str
    types: Actions


class Lists(TypedDict):
    """The file, by provider."""

    packages: dict[str, list[Place]]
    written: dict[str, Written]


LISTS: Final[Lists] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_QUOTED: Final = r"""["']([^"'\s]+)["']"""


def matches(pattern: str, texts: list[str]) -> Actions:
    """Return what the group of a pattern matches in all texts."""
    return {name: [] for text in texts for name in re.findall(pattern, text, re.MULTILINE)}


def github(texts: list[str]) -> Actions:
    """Read the OpenAPI description: an `operationId` is `issues/opened`, or `push` for an event without actions."""
    types: Actions = {}
    for webhook in json.loads(texts[0])["webhooks"].values():
        name, _, action = webhook["post"]["operationId"].partition("/")
        actions = types.setdefault(name.replace("-", "_"), [])
        if name == "repository-dispatch":  # the action here is an example
            actions.append("*")
        elif action:
            actions.append(action.replace("-", "_"))
    return types


def slack(texts: list[str]) -> Actions:
    """Read the events, without the messages and items inside them, which are indented further."""
    events = matches(r"^    type: '([a-z_]+(?:\.[a-z_]+)?)';$", texts)
    return {name: actions for name, actions in events.items() if name not in ("add", "im", "remove")}


READERS: Final[dict[str, Callable[[list[str]], Actions]]] = {"github": github, "slack": slack}


def event_types(place: Place, texts: list[str]) -> Actions:
    if "reader" in place:
        return READERS[place["reader"]](texts)
    if "each" in place:
        types = matches(place["each"], texts)
    else:
        section = re.compile("(.*?)".join(place["between"]), re.DOTALL | re.MULTILINE)
        found = next(match for text in texts if (match := section.search(text)))
        types = matches(place.get("item", _QUOTED), [found[1]])
    return {name: ["*"] if place.get("any_action") else [] for name in types if name != "*"}


def install(folder: Path) -> None:
    packages = sorted({place["package"] for places in LISTS["packages"].values() for place in places})
    of_npm = ["@".join(package.split()[1:]) for package in packages if package.startswith("npm ")]
    of_pip = ["==".join(package.split()[1:]) for package in packages if package.startswith("pip ")]
    npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    subprocess.run([*npm, "--prefix", str(folder), *of_npm], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "pip")]
    subprocess.run([*pip, *of_pip], check=True)


def read(provider: str, place: Place, folder: Path) -> Actions:
    registry, package, _ = place["package"].split()
    root = folder / "node_modules" / package if registry == "npm" else folder / "pip"
    texts = [file.read_text(encoding="utf-8") for file in sorted(root.glob(place["files"]))]
    types = event_types(place, texts)
    if len(types) < place["least"]:
        raise SystemExit(f"{place['package']}: {len(types)} event types of {provider}; expected {place['least']}")
    return types


def document(folder: Path, date: str) -> dict[str, object]:
    providers: dict[str, tuple[list[str], Actions]] = {}
    for provider, places in LISTS["packages"].items():
        sources, types = providers.setdefault(provider, ([], {}))
        for place in places:
            sources.append(place["package"])
            types |= read(provider, place, folder)
    for provider, written in LISTS["written"].items():
        sources, types = providers.setdefault(provider, ([], {}))
        sources.append(written["source"])
        types |= written["types"]
    return {
        provider: {
            "read_on": date,
            "sources": list(dict.fromkeys(sources)),
            "types": {name: sorted(set(types[name])) for name in sorted(types)},
        }
        for provider, (sources, types) in sorted(providers.items())
    }


def one_line_lists(text: str) -> str:
    """Write each list of a JSON text on one line, so that each event type has a line of its own."""
    return re.sub(r"\[\s+([^][]*?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder_name:
        install(Path(folder_name))
        listed = document(Path(folder_name), sys.argv[1])
        LIST.write_text(one_line_lists(json.dumps(listed, indent=1)) + "\n", encoding="utf-8")
