"""The section `develop`: the sources whose requests developers may have copied, its faults and its compiling."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from deploy.config.config_file import ConfigFile, Fault
from deploy.config.model_faults import fault_at, unknown_names
from deploy.config.sections.auth import LinkAuth
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.source import SourceConfig
from functions.transform.paths import Every, Path, parse_path
from functions.transform.steps.shape import InnerPath
from shared.config.rules import Name, listed
from shared.config.values import Model
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, texts_at

_DATA: Final = re.compile(r"\bdata(?:\.[^.\s]+)+")
"""The paths in a location, such as `data.a if data.b`."""


class DevelopConfig(Model):
    """The requests that developers may have copied to their own machines, with `hookchain listen`.

    sources  the sources, each of which authenticates its requests
    redact   paths whose values are masked in each copy
    """

    sources: Annotated[list[Name], BeforeValidator(listed), Field(min_length=1)]
    redact: Annotated[list[InnerPath], BeforeValidator(listed)] = Field(default=[])


def develop_faults(file: ConfigFile) -> Iterator[Fault]:
    yield from unknown_names(file, ("develop", "sources"), "source")


def copied_source_faults(
    file: ConfigFile, develop: DevelopConfig | None, sources: Mapping[str, SourceConfig]
) -> Iterator[Fault]:
    """Yield a fault for each source whose requests must not or cannot be copied."""
    for name in develop.sources if develop else ():
        if name in sources and (rule := _rule(sources[name])):
            yield fault_at(file, ("develop", "sources"), f"{name!r} {rule}. Remove it from the list")


def _rule(source: SourceConfig) -> str:
    if source.bus:
        return "gets messages of a bus, and only requests can be copied"
    if source.accepts_anybody:
        return "has `auth: none`: anybody could send requests to the machines of developers"
    if "POST" not in source.methods or any(isinstance(each, LinkAuth) for each in source.auth):
        return "must take POST, and no links: a copy is a POST with the body"
    entry = load_catalogue().get(source.provider) if source.provider else None
    provider_batch = entry.event.batch if entry else None
    if source.batch or (provider_batch and "batch" not in source.model_fields_set):
        return "splits a body into events (`batch`), which have no request of their own"
    return ""


def with_copied_requests(develop: DevelopConfig | None, receive_sources: JsonObject) -> JsonObject:
    """Return the sources, of which those that are copied keep the whole request."""
    copied = develop.sources if develop else ()
    kept_whole: JsonObject = {name: {**mapping_at(receive_sources, name), "keep_raw": "all"} for name in copied}
    return {**receive_sources, **kept_whole}


def compiled_develop(develop: DevelopConfig | None, receive_sources: JsonObject) -> JsonObject:
    """Return the part of transform's slice. What a source keeps is in `keeps`, because its routes get no more."""
    kept_by_source = {name: source["keep_raw"] for name, source in mappings_at(receive_sources).items()}
    keeps: JsonObject = {name: kept for name, kept in kept_by_source.items() if kept != "no"}
    part: JsonObject = {"keeps": keeps} if keeps else {}
    if develop is None:
        return part
    return {**part, "develop": {"sources": list[Json](develop.sources), "redact": list[Json](develop.redact)}}


def redact_warnings(develop: DevelopConfig, receive_sources: Mapping[str, JsonObject]) -> Iterator[str]:
    """Yield a warning for each type of events that is read from a value which is masked in the data."""
    paths = [parse_path(text) for text in develop.redact]
    for name in develop.sources:
        for location in _DATA.findall(" ".join(texts_at(receive_sources[name], "type"))):
            if any(_is_in_or_around(path, location) for path in paths):
                yield f"the `type` of {name!r} is read from {location}, so each copy has it, masked or not"


def _is_in_or_around(path: Path, location: str) -> bool:
    names = location.split(".")[1:]
    pairs = zip(path.parts, names, strict=False)  # as many as both have
    return all(isinstance(part, Every) or str(part) == name for part, name in pairs)
