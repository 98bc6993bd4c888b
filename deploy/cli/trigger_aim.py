"""Which source a sample goes to, and with which way and secret it is signed."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from deploy.config.catalogue import load_catalogue
from deploy.config.catalogue_source import secret_name_of, source_block, source_name_of
from deploy.config.compiler import read_config
from deploy.config.compiling.provider import provider_part
from deploy.config.configured import Configured, configured
from deploy.config.models.provider import ProviderEntry
from deploy.config.models.source import SourceConfig
from deploy.history.local_bus import own_ports
from functions.receive.forwarded import requested_url
from functions.receive.sources import Source, read_sources
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Aim:
    """`settings` are the source's, as compiled; `source` the same, as receive reads it. `url` is where it is sent."""

    provider: str
    entry: ProviderEntry
    source: Source
    settings: JsonObject
    url: str
    is_configured: bool

    def signed_url(self, request: Request) -> str:
        """The URL as receive will take it to be."""
        return requested_url(request, self.source)


def aimed(provider: str, options: argparse.Namespace, environ: Mapping[str, str]) -> Aim:
    """Raises ValueError, ConfigFaults and DotenvFault."""
    entry = load_catalogue()[provider]
    found = configured(options)
    sources = found.slices["receive"]["sources"]
    assert isinstance(sources, dict)
    name = _source_name(provider, options, found, sources)
    settings = sources.get(name)
    is_configured = isinstance(settings, dict)
    whole = settings if isinstance(settings, dict) else ready_source(provider, entry)
    url = options.to or f"http://localhost:{own_ports(options.state, environ).receive}/{quote(name)}"
    if not urlsplit(url).path.strip("/"):
        url = f"{url.rstrip('/')}/{quote(name)}"
    [source] = read_sources({"sources": {name: whole}}).values()
    return Aim(provider, entry, source, whole, url, is_configured)


def _source_name(provider: str, options: argparse.Namespace, found: Configured, sources: Mapping[str, Json]) -> str:
    if options.source is not None:
        if options.source not in sources:
            raise ValueError(f"there is no source {options.source!r}{did_you_mean(options.source, sources)}")
        return str(options.source)
    if names := sources_of(provider, found.path, found.environ):
        return names[0]
    return source_name_of(provider)


def sources_of(provider: str, path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """The names of the sources that take from this provider."""
    document = read_config(path, environ).document
    sources = document.get("sources") if isinstance(document, dict) else None
    return [
        str(name)
        for name, settings in (sources.items() if isinstance(sources, dict) else ())
        if isinstance(settings, dict) and settings.get("provider") == provider
    ]


def ready_source(provider: str, entry: ProviderEntry) -> JsonObject:
    """A source as `hookchain providers NAME` tells to write it, for a receiver that is configured elsewhere."""
    secret = secret_name_of(provider)
    asked_for = " ".join(str(handshake.reply) for handshake in entry.handshakes)
    params: dict[str, str | list[str]] = {
        name: secret
        for name, param in entry.params.items()
        if param.required or param.secret or f"param.{name}" in asked_for
    }
    proof = {"secret": secret} if entry.auth else {"auth": {"scheme": "path", "secret": secret}}
    config = SourceConfig.model_validate({"provider": provider, "params": params, **proof})
    auth: list[Json] = [way.model_dump(exclude_none=True) for way in config.auth]
    part = provider_part(config, load_catalogue())
    return {"auth": auth, "methods": ["POST"], "max_body_bytes": config.max_body_bytes, **part}


def how_to_configure(provider: str, entry: ProviderEntry) -> str:
    lines = "\n".join(f"  {line}" for line in source_block(provider, entry))
    return f"no source of the configuration takes from {entry.name}; it would be, under `sources`:\n{lines}"
