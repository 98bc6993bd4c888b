"""The source that uses a provider, ready to be copied into hookchain.yaml."""

from collections.abc import Iterator

from deploy.config.catalogue import chosen_schemes, signs_url
from deploy.config.models.provider import NO_SECRET, SOURCES_SECRET, ProviderEntry
from shared.secrets import variable_name


def source_name_of(key: str) -> str:
    return key.replace("_", "-")


def secret_name_of(key: str) -> str:
    return f"{source_name_of(key)}-secret"


def needs_secret(entry: ProviderEntry) -> bool:
    schemes = chosen_schemes(entry, None)
    return not entry.auth or any(offered.scheme.model_dump().get("secret") == SOURCES_SECRET for offered in schemes)


def source_block(key: str, entry: ProviderEntry) -> list[str]:
    """Return lines of YAML to put under `sources:`."""
    return [f"{source_name_of(key)}:", *(f"  {line}" for line in _settings(key, entry))]


def _settings(key: str, entry: ProviderEntry) -> Iterator[str]:
    yield f"provider: {key}"
    name = secret_name_of(key)
    if not entry.auth:
        yield f"auth: {{scheme: path, secret: {name}}}"
    elif needs_secret(entry):
        yield f"secret: {name}"
    if any(signs_url(offered.scheme) for offered in chosen_schemes(entry, None)):
        yield f"# public_url: https://…/{source_name_of(key)}  # as you gave it to the provider, if a proxy changes it"
    if entry.params:
        yield "params:" if any(param.required for param in entry.params.values()) else "# params:"
    for param, settings in entry.params.items():
        key_text = f"  {param}: " if settings.required else f"#   {param}: "
        yield f"{key_text}{name if settings.secret else '…'}  # {settings.about}"


def own_url(key: str, entry: ProviderEntry, base: str) -> str:
    """Return the URL that the provider sends to. It contains a token if the provider does not authenticate itself."""
    return f"{base}/{source_name_of(key)}" + ("" if entry.auth else f"/<value of {secret_name_of(key)}>")


def secret_line(key: str) -> str:
    return f"{variable_name(secret_name_of(key))} in .env, or: hookchain secrets set {secret_name_of(key)}"


def uses_provider_keys(entry: ProviderEntry) -> bool:
    """Return whether only the provider can sign, with a private key whose public key is downloaded from it."""
    schemes = [offered.scheme.model_dump() for offered in chosen_schemes(entry, None)]
    return bool(schemes) and all(each["scheme"] in NO_SECRET or each.get("keys_url") for each in schemes)
