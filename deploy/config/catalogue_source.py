"""A source of this provider, ready to be put into hookchain.yaml."""

from collections.abc import Iterator

from deploy.config.checks.sources import signs_url
from deploy.config.compiling.provider import chosen_ways
from deploy.config.models.provider import NO_SECRET, SOURCES_SECRET, ProviderEntry
from shared.secrets import variable_name


def source_name_of(key: str) -> str:
    return key.replace("_", "-")


def secret_name_of(key: str) -> str:
    return f"{source_name_of(key)}-secret"


def needs_secret(entry: ProviderEntry) -> bool:
    ways = chosen_ways(entry, None)
    return not entry.auth or any(way.way.model_dump().get("secret") == SOURCES_SECRET for way in ways)


def source_block(key: str, entry: ProviderEntry) -> list[str]:
    """Lines of YAML, to stand under `sources:`."""
    return [f"{source_name_of(key)}:", *(f"  {line}" for line in _settings(key, entry))]


def _settings(key: str, entry: ProviderEntry) -> Iterator[str]:
    yield f"provider: {key}"
    name = secret_name_of(key)
    if not entry.auth:
        yield f"auth: {{scheme: path, secret: {name}}}"
    elif needs_secret(entry):
        yield f"secret: {name}"
    if any(signs_url(way.way) for way in chosen_ways(entry, None)):
        yield f"# public_url: https://…/{source_name_of(key)}  # the URL as you gave it there, where a proxy changes it"
    if entry.params:
        yield "params:" if any(param.required for param in entry.params.values()) else "# params:"
    for param, about in entry.params.items():
        begun = f"  {param}: " if about.required else f"#   {param}: "
        yield f"{begun}{name if about.secret else '…'}  # {about.about}"


def own_url(key: str, entry: ProviderEntry, base: str) -> str:
    """Where the provider is to send to; with the token, for one that proves nothing itself."""
    return f"{base}/{source_name_of(key)}" + ("" if entry.auth else f"/<value of {secret_name_of(key)}>")


def secret_line(key: str) -> str:
    return f"{variable_name(secret_name_of(key))} in .env, or: hookchain secrets set {secret_name_of(key)}"


def is_fetched_key(entry: ProviderEntry) -> bool:
    """Whether only the provider can sign: with a key that is fetched from it."""
    ways = [offered.way.model_dump() for offered in chosen_ways(entry, None)]
    return bool(ways) and all(way["scheme"] in NO_SECRET or way.get("keys_url") for way in ways)
