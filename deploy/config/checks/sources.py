"""Faults of sources that their model cannot find: their schema, their reply, and what they take from the catalogue."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from deploy.config.catalogue import Catalogue, chosen_schemes, load_catalogue
from deploy.config.checks.model_faults import fault_at
from deploy.config.compiling.sources import SchemaFault, schema_document
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from deploy.config.models.provider import SOURCES_SECRET, ProviderEntry
from deploy.config.models.source import SourceConfig
from functions.receive.replies import template_fault
from shared.did_you_mean import did_you_mean, nearest
from shared.jsontext import Json, JsonObject
from shared.secrets import SECRET_NAME

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,1024}")
"""The values of params, which replies carry in headers and handshakes: no server sends anything but Latin-1 there."""


def source_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    sources = document.get("sources")
    for name, settings in sources.items() if isinstance(sources, dict) else ():
        if isinstance(settings, dict):
            for key, rule in (*_document_faults(settings, file), *_catalogue_faults(settings)):
                yield fault_at(file, ("sources", name, *key), rule)


def _document_faults(settings: JsonObject, file: ConfigFile) -> Iterator[tuple[DocumentPath, str]]:
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


def _catalogue_faults(settings: JsonObject) -> Iterator[tuple[DocumentPath, str]]:
    """Yield nothing for a source that its own model rejects."""
    if "provider" not in settings:
        return
    try:
        source = SourceConfig.model_validate(settings)
    except ValidationError:
        return
    for key, rule in provider_faults(source, load_catalogue()):
        yield (key,), rule


def provider_faults(source: SourceConfig, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield the key that is at fault, and the rule."""
    if source.provider is None:
        return
    entry = catalogue.get(source.provider)
    if entry is None:
        near = nearest(source.provider, catalogue)
        listed = "`hookchain providers` lists them; any other sender needs `auth`"
        advice = f"did you mean {near!r}?" if near else listed
        yield "provider", f"the catalogue has no provider {source.provider!r}; {advice}"
        return
    variants = [offered.scheme.variant for offered in entry.auth if offered.scheme.variant]
    if source.variant and source.variant not in variants:
        yield "variant", f"{entry.name} has no variant {source.variant!r}{did_you_mean(source.variant, variants)}"
    if "auth" not in source.model_fields_set:
        yield from _secret_faults(source, entry)
    if source.leeway is not None and not any(offered.scheme.scheme == "jwt" for offered in entry.auth):
        yield "leeway", f"applies to JSON Web Tokens only, and {entry.name} sends none"
    for name in source.params.keys() - entry.params.keys():
        yield "params", f"{entry.name} has no param {name!r}{did_you_mean(name, entry.params)}"
    yield from _param_faults(source, entry)


def _secret_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    if not entry.auth:
        yield "provider", f"{entry.name} does not sign its requests; add `auth`, or an explicit `auth: none`"
    schemes = [offered.scheme.model_dump() for offered in chosen_schemes(entry, source.variant)]
    if source.secret is None and any(each.get("secret") == SOURCES_SECRET for each in schemes):
        yield "provider", f"{entry.name} needs a secret; name it with `secret`"


def _param_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    for name, param in entry.params.items():
        if name not in source.params:
            if param.required:
                yield "params", f"{name} is missing: {param.about}"
            continue
        values = source.params[name]
        for text in values if isinstance(values, list) else [values]:
            if param.secret and not SECRET_NAME.fullmatch(text):
                yield "params", f"{name} must be the name of a secret, not its value"
            elif set(text) & set("{}()"):
                yield "params", f"{name} must not contain braces or parentheses"
            elif not _PRINTABLE.fullmatch(text):
                yield "params", f"{name} must be printable ASCII and not empty; replace the … of the example"
