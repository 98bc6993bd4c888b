"""What the catalogue adds to a source: ways of proof, event fields, handshakes and the answer, as plain JSON."""

import re
from typing import Final

from deploy.config.catalogue import Catalogue
from deploy.config.models.provider import SOURCES_SECRET, Handshake, OfferedWay, ProviderEntry
from deploy.config.models.source import SourceConfig
from shared.jsontext import Json, JsonObject, to_json

_PARAM: Final = re.compile(r"\{param\.(\w+)\}")
_PARAM_NAME: Final = re.compile(r"\bparam\.(\w+)")
_PARAM_IN_CALL: Final = re.compile(r"(?<=[(+])param\.(\w+)(?=[)+])")


def provider_part(source: SourceConfig, catalogue: Catalogue) -> JsonObject:
    """The keys of the source's slice that its entry gives: `auth` (where the source has none of its own), `handshakes`,
    the event's (`type`, `id`, `subject`, `actor`, `time`: lists of locations; `batch`, `unpack`, `unwrap`, `dedupe`,
    `repeats`), `formats` and `respond` (`status`, `body`, `content_type`), the provider's usual answer. Nothing without
    a provider.
    """
    if source.provider is None:
        return {}
    entry = catalogue[source.provider]
    part: JsonObject = {**entry.event.model_dump(exclude_none=True), "formats": list(entry.formats)}
    if "auth" not in source.model_fields_set:
        part["auth"] = [_way(offered, source) for offered in chosen_ways(entry, source.variant)]
    if entry.handshakes:
        part["handshakes"] = _handshakes(entry, source)
    if respond := _respond(entry, source):
        part["respond"] = respond
    return part


def chosen_ways(entry: ProviderEntry, variant: str | None) -> list[OfferedWay]:
    if variant is None:
        return [offered for offered in entry.auth if not offered.on_request]
    return [offered for offered in entry.auth if offered.way.variant == variant]


def _way(offered: OfferedWay, source: SourceConfig) -> JsonObject:
    way: JsonObject = offered.way.model_dump(exclude_none=True)
    if way.get("secret") == SOURCES_SECRET:
        way["secret"] = source.secret
    if source.tolerance is not None and "tolerance_seconds" in way:
        way["tolerance_seconds"] = int(source.tolerance)
    if source.leeway is not None and "leeway_seconds" in way:
        way["leeway_seconds"] = int(source.leeway)
    return _with_params(way, source)


def _with_params(settings: JsonObject, source: SourceConfig) -> JsonObject:
    """With what the source says under `params` in the place of `{param.NAME}`; a key without its param is left out."""
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
    if whole and isinstance(given := source.params[whole[1]], list):
        return list(given)
    return _PARAM.sub(lambda hole: str(source.params[hole[1]]), value)


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _handshakes(entry: ProviderEntry, source: SourceConfig) -> list[Json]:
    """Without those that take a secret or a param which the source does not name."""
    return [found for handshake in entry.handshakes if (found := _handshake(handshake, source))]


def _handshake(handshake: Handshake, source: SourceConfig) -> JsonObject | None:
    """`check`: at which place the value of which secret must stand, the param's or else the source's own."""
    if "auth" in source.model_fields_set and _is_what_has_no_signature(handshake):
        return None  # nor have the events of such a source one
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


def _is_what_has_no_signature(handshake: Handshake) -> bool:
    return bool(handshake.when) and not any(handshake.when.values())


def _respond(entry: ProviderEntry, source: SourceConfig) -> JsonObject:
    answer = entry.answer
    headers: Json = dict(answer.headers) if answer.headers else None
    named: JsonObject = {"status": answer.status, "body": answer.body, "content_type": answer.type, "headers": headers}
    return _with_params({key: value for key, value in named.items() if value is not None}, source)
