"""One entry of the catalogue as JSON, for programs."""

from deploy.config.catalogue_source import needs_secret, secret_name_of, source_block, source_name_of
from deploy.config.models.provider import SOURCES_SECRET, ProviderEntry
from shared.jsontext import Json, JsonObject


def entry_document(key: str, entry: ProviderEntry) -> JsonObject:
    written: JsonObject = entry.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"auth"})
    ways: list[Json] = [{**_way(offered.way.model_dump(mode="json", exclude_none=True))} for offered in entry.auth]
    on_request: list[Json] = [str(o.way.model_dump().get("variant")) for o in entry.auth if o.on_request]
    return {
        "key": key,
        **written,
        "auth": ways,
        "on_request": on_request,
        "source": source_name_of(key),
        "secret": secret_name_of(key) if needs_secret(entry) else None,
        "yaml": "\n".join(["sources:", *(f"  {line}" for line in source_block(key, entry))]) + "\n",
    }


def _way(settings: JsonObject) -> JsonObject:
    return {name: value for name, value in settings.items() if value != SOURCES_SECRET}
