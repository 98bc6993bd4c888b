"""The catalogue of providers, shared/providers.yaml, read and checked. Only compiling and the commands need it."""

from functools import cache
from pathlib import Path
from typing import Final

import yaml

from deploy.config.models.provider import ProviderEntry
from shared.jsontext import JsonObject

CATALOGUE: Final = Path(__file__).resolve().parents[2] / "shared" / "providers.yaml"

Catalogue = dict[str, ProviderEntry]


@cache
def load_catalogue() -> Catalogue:
    """By key, in alphabetical order. Raises pydantic's ValidationError for an entry that breaks the model."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(CATALOGUE.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 a safe loader, in C
    return {key: ProviderEntry.model_validate(_whole(document, key)) for key in sorted(document)}


def _whole(document: dict[str, JsonObject], key: str) -> JsonObject:
    """With what `same_as` takes over from another entry, wherever this one says nothing itself."""
    entry = document[key]
    other = entry.get("same_as")
    if not isinstance(other, str):
        return entry
    taken = {name: value for name, value in document[other].items() if name in {"auth", "event", "answer", "params"}}
    return {**taken, **entry}
