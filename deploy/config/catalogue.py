"""The catalogue of providers, shared/providers.yaml, loaded and validated; and what a provider's auth schemes cover."""

from functools import cache
from pathlib import Path
from typing import Final

import yaml

from deploy.config.models.auth import Auth
from deploy.config.models.provider import OfferedScheme, ProviderEntry
from shared.http import Request
from shared.jsontext import JsonObject
from shared.signatures.auth_scheme import read_scheme
from shared.signatures.locations import parse_choices

CATALOGUE: Final = Path(__file__).resolve().parents[2] / "shared" / "providers.yaml"

Catalogue = dict[str, ProviderEntry]


@cache
def load_catalogue() -> Catalogue:
    """Return the providers by key, in alphabetical order. Raises pydantic's ValidationError for an invalid entry."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(CATALOGUE.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 a safe loader, in C
    return {key: ProviderEntry.model_validate(_with_inherited(document, key)) for key in sorted(document)}


def _with_inherited(document: dict[str, JsonObject], key: str) -> JsonObject:
    """Return the entry with the settings of the entry that `same_as` names, except those that it sets itself."""
    entry = document[key]
    other = entry.get("same_as")
    if not isinstance(other, str):
        return entry
    shared = {name: value for name, value in document[other].items() if name in {"auth", "event", "answer", "params"}}
    return {**shared, **entry}


def chosen_schemes(entry: ProviderEntry, variant: str | None) -> list[OfferedScheme]:
    """Return the provider's scheme of this variant, or without a variant all that apply by default."""
    if variant is None:
        return [offered for offered in entry.auth if not offered.on_request]
    return [offered for offered in entry.auth if offered.scheme.variant == variant]


def signs_url(scheme: Auth) -> bool:
    return "{url}" in str(getattr(scheme, "content", "")) or scheme.scheme == "contentful"


def signs_delivery_id(entry: ProviderEntry) -> bool | None:
    """Return whether every scheme that signs content also signs the delivery id; None if no scheme signs content."""
    schemes = [read_scheme(offered.scheme.model_dump(exclude_none=True)) for offered in entry.auth]
    coverages = [scheme.coverage("", Request("POST", "/")) for scheme in schemes if scheme.signs_content]
    if not coverages:
        return None
    first = parse_choices(list(entry.event.id or []))[:1]
    return bool(first) and all(coverage.covers(first[0]) for coverage in coverages)
