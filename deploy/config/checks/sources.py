"""What is wrong with what a source says itself, where it takes more than its model to tell."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from deploy.config.catalogue import Catalogue, load_catalogue
from deploy.config.checks.model_faults import place
from deploy.config.compiling.provider import chosen_ways
from deploy.config.compiling.sources import SchemaFault, schema_document
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from deploy.config.models.auth import Auth
from deploy.config.models.provider import SOURCES_SECRET, ProviderEntry
from deploy.config.models.source import SourceConfig
from functions.receive.locations import parse_choices
from functions.receive.respond import template_fault
from functions.receive.signed_part import SignedPart, signs_content
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.secrets import SECRET_NAME
from shared.signatures.reading import Reading
from shared.signatures.way import read_way


def source_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    sources = document.get("sources")
    for name, settings in sources.items() if isinstance(sources, dict) else ():
        if isinstance(settings, dict):
            for key, rule in _faults(settings, file):
                path: DocumentPath = ("sources", name, *key)
                yield Fault(file.line(path), place(file, path), rule)


def _faults(settings: JsonObject, file: ConfigFile) -> Iterator[tuple[DocumentPath, str]]:
    if isinstance(schema := settings.get("schema"), str | dict):
        try:
            schema_document(schema, file.folder)
        except SchemaFault as fault:
            yield ("schema",), str(fault)
    if isinstance(respond := settings.get("respond"), dict):
        for text in _texts(respond.get("body")):
            if rule := template_fault(text):
                yield ("respond", "body"), rule


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,1024}")
"""An answer holds them in its headers and handshakes, and no server sends there what is no Latin-1."""


def faults_of_providers(document: JsonObject) -> Iterator[tuple[DocumentPath, str]]:
    """Where, and the rule. A source that its own model refuses is left to that."""
    sources = document.get("sources")
    for name, settings in sources.items() if isinstance(sources, dict) else ():
        if not isinstance(settings, dict) or "provider" not in settings:
            continue
        try:
            source = SourceConfig.model_validate(settings)
        except ValidationError:
            continue
        for key, rule in provider_faults(source, load_catalogue()):
            yield ("sources", name, key), rule


def provider_faults(source: SourceConfig, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """The key that is at fault, and the rule."""
    if source.provider is None:
        return
    entry = catalogue.get(source.provider)
    if entry is None:
        yield "provider", f"the catalogue has no provider {source.provider!r}{did_you_mean(source.provider, catalogue)}"
        return
    variants = [offered.way.variant for offered in entry.auth if offered.way.variant]
    if source.variant and source.variant not in variants:
        yield "variant", f"{entry.name} has no variant {source.variant!r}{did_you_mean(source.variant, variants)}"
    if "auth" not in source.model_fields_set:
        yield from _secret_faults(source, entry)
    if source.leeway is not None and not any(offered.way.scheme == "jwt" for offered in entry.auth):
        yield "leeway", f"{entry.name} sends no JSON Web Token, whose `exp` a leeway is for"
    for name in source.params.keys() - entry.params.keys():
        yield "params", f"{entry.name} has no param {name!r}{did_you_mean(name, entry.params)}"
    yield from _param_faults(source, entry)


def _param_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    for name, param in entry.params.items():
        if name not in source.params:
            if param.required:
                yield "params", f"{name} is missing: {param.about}"
            continue
        for text in _listed(source.params[name]):
            if param.secret and not SECRET_NAME.fullmatch(text):
                yield "params", f"{name} is the name of a secret, never its value"
            elif set(text) & set("{}()"):
                yield "params", f"{name} holds a brace or parenthesis, which no such value has"
            elif not _PRINTABLE.fullmatch(text):
                yield "params", f"{name} is empty, or holds more than printable ASCII: is it the … of an example?"


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _secret_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    ways = chosen_ways(entry, source.variant)
    if not entry.auth:
        rule = f"{entry.name} signs nothing; say how its sender proves itself with `auth`, or `auth: none`"
        yield "provider", f"SECRET_MISSING: {rule}"
    if source.secret is None and any(way.way.model_dump().get("secret") == SOURCES_SECRET for way in ways):
        yield "provider", f"SECRET_MISSING: name the secret that {entry.name} signs or proves itself with: `secret`"


def provider_warnings(source: SourceConfig, bundle_url: str | None) -> Iterator[str]:
    """What is allowed, but seldom meant; nothing for a provider that is not there."""
    entry = load_catalogue().get(source.provider or "")
    if entry is None or "auth" in source.model_fields_set:
        return
    for name, param in entry.params.items():
        if param.recommended and name not in source.params:
            yield f"no param {name}: {param.about}"
    if source.tolerance == 0 and any(_signs_time(offered.way) for offered in chosen_ways(entry, source.variant)):
        yield f"`tolerance: 0s` rejects all that {entry.name} signs: a request always arrives after its timestamp"
    if not (source.public_url or bundle_url) and any(
        signs_url(offered.way) for offered in chosen_ways(entry, source.variant)
    ):
        yield f"{entry.name} signs the URL as you gave it there: say it with `public_url`, unless no proxy changes it"


def _signs_time(way: Auth) -> bool:
    """Whether the age of a request is held against the tolerance."""
    has_age = way.scheme in {"standard-webhooks", "contentful", "aws-sns", "paypal"}
    return has_age or bool(getattr(way, "timestamp", None) or getattr(way, "max_age", None))


def names_events(entry: ProviderEntry) -> bool | None:
    """Whether what it signs holds the delivery's id, by every way that signs; None where none does."""
    ways = [read_way(offered.way.model_dump(exclude_none=True)) for offered in entry.auth]
    parts = [SignedPart(Reading(Request("POST", "/")), way) for way in ways if signs_content(way)]
    if not parts:
        return None
    first = parse_choices(list(entry.event.id or []))[:1]
    return bool(first) and all(part.covers(each.place, each.path) for part in parts for each in first[0])


def signs_url(way: Auth) -> bool:
    return "{url}" in str(getattr(way, "content", "")) or way.scheme == "contentful"
