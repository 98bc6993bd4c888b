"""The part of a source's slice that comes from its provider: auth schemes, event fields, handshakes and the reply."""

import re
from typing import Final

from deploy.config.catalogue import Catalogue, chosen_schemes
from deploy.config.models.provider import SOURCES_SECRET, Handshake, OfferedScheme, ProviderEntry
from deploy.config.models.source import SourceConfig
from shared.jsontext import Json, JsonObject, to_json

_PARAM: Final = re.compile(r"\{param\.(\w+)\}")
_PARAM_NAME: Final = re.compile(r"\bparam\.(\w+)")
_PARAM_IN_CALL: Final = re.compile(r"(?<=[(+])param\.(\w+)(?=[)+])")


def provider_part(source: SourceConfig, catalogue: Catalogue) -> JsonObject:
    """Return the keys of the slice that the provider defines; none without a provider.

    auth         the schemes, unless the source has its own
    handshakes   those whose secrets and params the source names
    type, id, subject, actor, time            lists of locations
    batch, unpack, unwrap, dedupe, repeats    as in the catalogue
    formats      the formats that the provider sends
    respond      `status`, `body`, `content_type` and `headers` of the reply
    """
    if source.provider is None:
        return {}
    entry = catalogue[source.provider]
    part: JsonObject = {**entry.event.model_dump(exclude_none=True), "formats": list(entry.formats)}
    if "auth" not in source.model_fields_set:
        part["auth"] = [_scheme(offered, source) for offered in chosen_schemes(entry, source.variant)]
    if entry.handshakes:
        part["handshakes"] = _handshakes(entry, source)
    if respond := _respond(entry, source):
        part["respond"] = respond
    return part


def _scheme(offered: OfferedScheme, source: SourceConfig) -> JsonObject:
    scheme: JsonObject = offered.scheme.model_dump(exclude_none=True)
    if scheme.get("secret") == SOURCES_SECRET:
        scheme["secret"] = source.secret
    if source.tolerance is not None and "tolerance_seconds" in scheme:
        scheme["tolerance_seconds"] = int(source.tolerance)
    if source.leeway is not None and "leeway_seconds" in scheme:
        scheme["leeway_seconds"] = int(source.leeway)
    return _with_params(scheme, source)


def _with_params(settings: JsonObject, source: SourceConfig) -> JsonObject:
    """Return the settings with the source's `params` for `{param.NAME}`, without keys whose param is missing."""
    filled: JsonObject = {}
    for key, value in settings.items():
        found = _filled(value, source)
        if found is not None:
            filled[key] = found
    return filled


def _filled(value: Json, source: SourceConfig) -> Json:
    if isinstance(value, dict):
        return _with_params(value, source) or None
    if isinstance(value, list):
        return [item for each in value for item in _items(_filled(each, source))] or None
    if not isinstance(value, str):
        return value
    value = _PARAM_IN_CALL.sub(r"{param.\1}", value)
    names = _PARAM.findall(value)
    if any(name not in source.params for name in names):
        return None
    whole = _PARAM.fullmatch(value)
    if whole and isinstance(param := source.params[whole[1]], list):
        return list(param)
    return _PARAM.sub(lambda hole: str(source.params[hole[1]]), value)


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _handshakes(entry: ProviderEntry, source: SourceConfig) -> list[Json]:
    """Return the handshakes, except those that need a secret or a param which the source does not name."""
    return [found for handshake in entry.handshakes if (found := _handshake(handshake, source))]


def _handshake(handshake: Handshake, source: SourceConfig) -> JsonObject | None:
    """Return the handshake. Its `check` lists locations, each with the name of the secret whose value must be there."""
    if "auth" in source.model_fields_set and _recognised_by_absence(handshake):
        return None  # a source with an auth of its own also gets events without these headers
    written: JsonObject = handshake.model_dump(exclude_defaults=True, by_alias=True, exclude={"note", "check"})
    secrets = [source.params.get(param, source.secret) for param in handshake.check.values()]
    if signs := "hmac-" in to_json(written):
        secrets.append(source.secret)
    named = set(_PARAM_NAME.findall(to_json(written)))
    if None in secrets or named - source.params.keys():
        return None
    if handshake.check:
        written["check"] = [
            {"at": place, "secret": str(secret)} for place, secret in zip(handshake.check, secrets, strict=False)
        ]
    return _with_params({**written, "secret": source.secret} if signs else written, source)


def _recognised_by_absence(handshake: Handshake) -> bool:
    return bool(handshake.when) and not any(handshake.when.values())


def _respond(entry: ProviderEntry, source: SourceConfig) -> JsonObject:
    answer = entry.answer
    headers: Json = dict(answer.headers) if answer.headers else None
    reply: JsonObject = {"status": answer.status, "body": answer.body, "content_type": answer.type, "headers": headers}
    return _with_params({key: value for key, value in reply.items() if value is not None}, source)
