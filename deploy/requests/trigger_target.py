"""The source that a provider's sample is sent to: one of the configuration, or one that its receiver is to have."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from deploy.config.configured import LoadedConfig
from deploy.config.sections import catalogue, catalogue_pages, provider_settings
from deploy.config.sections.source import SourceConfig
from deploy.requests.sources import compiled_sources
from functions.receive.admission import requested_url
from functions.receive.source import Source, read_sources
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import Json, JsonObject, mapping_at, value_at


@dataclass(frozen=True, slots=True)
class TriggerTarget:
    """The source that a sample is sent to.

    provider       the provider's key in the catalogue, and `entry` its entry there
    settings       the source's compiled settings; `source` is how receive reads them
    is_configured  False if the configuration has no such source, so that the settings are those that it should have
    """

    provider: str
    entry: catalogue.ProviderEntry
    source: Source
    settings: JsonObject
    url: str
    is_configured: bool

    def signed_url(self, request: Request) -> str:
        """Return the URL as receive reconstructs it."""
        return requested_url(request, self.source)


def trigger_target(
    provider: str, configuration: LoadedConfig, source_name: str | None, to_url: str | None, receive_port: int
) -> TriggerTarget:
    """Return the source to which the sample is sent.

    `source_name` and `to_url` are those that the user chose. By default, the source is the first one of the provider,
    and its URL is on this machine. Raises ValueError if there is no source of this name.
    """
    entry = catalogue.load_catalogue()[provider]
    sources = compiled_sources(configuration.slices["receive"])
    if source_name is not None and source_name not in sources:
        raise ValueError(f"there is no source {source_name!r}{did_you_mean(source_name, sources)}")
    name = source_name or _usual_source(provider, configuration.document)
    configured_settings = sources.get(name)
    settings = ready_source(provider, entry) if configured_settings is None else configured_settings
    url = to_url or f"http://localhost:{receive_port}/{quote(name)}"
    if not urlsplit(url).path.strip("/"):
        url = f"{url.rstrip('/')}/{quote(name)}"
    [source] = read_sources({"sources": {name: settings}}).values()
    return TriggerTarget(provider, entry, source, settings, url, is_configured=configured_settings is not None)


def _usual_source(provider: str, document: Json) -> str:
    """Return the name of the configuration's first source with this provider, else the name that it should have."""
    for name, settings in mapping_at(document, "sources").items():
        if value_at(settings, "provider") == provider:
            return str(name)
    return catalogue_pages.source_name_of(provider)


def ready_source(provider: str, entry: catalogue.ProviderEntry) -> JsonObject:
    """Return the source that `hookchain providers NAME` prints, for a receiver that is configured elsewhere."""
    secret = catalogue_pages.secret_name_of(provider)
    asked_for = " ".join(str(handshake.reply) for handshake in entry.handshakes)
    params: dict[str, str | list[str]] = {
        name: secret
        for name, param in entry.params.items()
        if param.required or param.secret or f"param.{name}" in asked_for
    }
    proof = {"secret": secret} if entry.auth else {"auth": {"scheme": "path", "secret": secret}}
    config = SourceConfig.model_validate({"provider": provider, "params": params, **proof})
    auth: list[Json] = [each.model_dump(exclude_none=True) for each in config.auth]
    part = provider_settings.provider_part(config, entry)
    return {"auth": auth, "methods": ["POST"], "max_body_bytes": config.max_body_bytes, **part}


def missing_source_text(provider: str, entry: catalogue.ProviderEntry) -> str:
    lines = "\n".join(f"  {line}" for line in catalogue_pages.source_block(provider, entry))
    return f"the configuration has no source for {entry.name}. Add one under `sources`:\n{lines}"
