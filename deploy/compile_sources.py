"""The sources of hookchain.yaml as receive's slice has them."""

from deploy.catalogue import load_catalogue
from deploy.compile_provider import provider_part
from shared.config.bundle import BundleConfig
from shared.config.source import SourceConfig
from shared.jsontext import Json, JsonObject


def compiled_sources(config: BundleConfig) -> JsonObject:
    mailed = _sources_mailed_as_they_came(config)
    return {name: _source(source, name in mailed) for name, source in config.sources.items()}


def _source(source: SourceConfig, is_mailed: bool) -> JsonObject:
    """What the source says itself counts before what its provider's entry says, and that before our defaults."""
    auth: list[Json] = [way.model_dump(exclude_none=True) for way in source.auth] or [{"scheme": "none"}]
    keep_raw = {True: "all", False: "no", None: "body" if is_mailed else "no"}[source.keep_raw]
    settings: JsonObject = source.model_dump(
        include={"methods", "max_body_bytes", "unwrap", "dedupe", "type", "id", "subject", "actor", "time"},
        exclude_none=True,
    )
    taken = provider_part(source, load_catalogue()) if source.provider else {}
    said = {key: value for key, value in settings.items() if key in source.model_fields_set}
    return {"auth": auth, "keep_raw": keep_raw, **settings, **taken, **said}


def _sources_mailed_as_they_came(config: BundleConfig) -> set[str]:
    """A mail without a template of the operator's shows the body as it came, so its sources keep that."""
    plain = {
        name
        for name, destination in config.destinations.items()
        if isinstance(email := destination.kinds.get("email"), dict) and not email.keys() & {"html", "text"}
    }
    routes = [route for route in config.routes if plain.intersection(route.to)]
    return {name for route in routes for name in (config.sources if "all" in route.from_ else route.from_)}
