"""The settings by which a source uses an entry of the catalogue: their model, their faults and their compiling.

A source names its `provider`. The provider's entry then defines how requests are authenticated, where the facts of an
event are, which handshakes there are and how requests are answered, except for what the source sets itself.
"""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import Field

from deploy.config.sections.auth import MAX_LEEWAY_SECONDS
from deploy.config.sections.catalogue import SOURCES_SECRET, Handshake, OfferedScheme, ProviderEntry, chosen_schemes
from shared.config.rules import Seconds, SecretName
from shared.config.signed import MAX_TOLERANCE_SECONDS
from shared.config.values import Model
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, to_json
from shared.secrets import SECRET_NAME


class ProviderSettings(Model):
    """The settings that a source takes from the catalogue.

    provider    a key of shared/providers.yaml; its auth schemes, event fields, handshakes and reply apply, except those
                that the source sets itself (`auth` replaces all schemes of the provider)
    secret      the name of the secret that the provider's schemes use
    variant     only the scheme of this name
    tolerance   replaces the provider's tolerance (`90s`, `10m`)
    leeway      how long after its `exp` a JSON Web Token is still accepted
    params      values that the provider needs, such as an account id; some are names of secrets
    """

    provider: str | None = None
    secret: SecretName | None = None
    variant: str | None = None
    tolerance: Seconds | None = Field(None, ge=0, le=MAX_TOLERANCE_SECONDS)
    leeway: Seconds | None = Field(None, ge=0, le=MAX_LEEWAY_SECONDS)
    params: dict[str, str | list[str]] = Field(default={})

    @property
    def uses_provider_auth(self) -> bool:
        """Return whether the auth schemes are the provider's, because the source has a provider and no `auth`."""
        return self.provider is not None and "auth" not in self.model_fields_set


# Faults

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,1024}")
"""The values of params, which replies carry in headers and handshakes: no server sends anything but Latin-1 there."""


def provider_faults(settings: ProviderSettings, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    """Yield the key that is at fault, and the rule. `entry` is the provider's."""
    variants = [offered.scheme.variant for offered in entry.auth if offered.scheme.variant]
    if settings.variant and settings.variant not in variants:
        yield "variant", f"{entry.name} has no variant {settings.variant!r}{did_you_mean(settings.variant, variants)}"
    if settings.uses_provider_auth:
        yield from _secret_faults(settings, entry)
    if settings.leeway is not None and not any(offered.scheme.scheme == "jwt" for offered in entry.auth):
        yield "leeway", f"applies to JSON Web Tokens only, and {entry.name} sends none"
    for name in settings.params.keys() - entry.params.keys():
        yield "params", f"{entry.name} has no param {name!r}{did_you_mean(name, entry.params)}"
    yield from _param_faults(settings, entry)


def _secret_faults(settings: ProviderSettings, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    if not entry.auth:
        yield "provider", f"{entry.name} does not sign its requests; add `auth`, or an explicit `auth: none`"
    schemes = [offered.scheme.model_dump() for offered in chosen_schemes(entry, settings.variant)]
    if settings.secret is None and any(each.get("secret") == SOURCES_SECRET for each in schemes):
        yield "provider", f"{entry.name} needs a secret; name it with `secret`"


def _param_faults(settings: ProviderSettings, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    for name, param in entry.params.items():
        if name not in settings.params:
            if param.required:
                yield "params", f"{name} is missing: {param.about}"
            continue
        values = settings.params[name]
        for text in values if isinstance(values, list) else [values]:
            if param.secret and not SECRET_NAME.fullmatch(text):
                yield "params", f"{name} must be the name of a secret, not its value"
            elif set(text) & set("{}()"):
                yield "params", f"{name} must not contain braces or parentheses"
            elif not _PRINTABLE.fullmatch(text):
                yield "params", f"{name} must be printable ASCII and not empty; replace the … of the example"


# Compiling


def provider_part(settings: ProviderSettings, entry: ProviderEntry) -> JsonObject:
    """Return the keys of a source in receive's slice that its provider's entry defines.

    auth         the schemes, unless the source has its own
    handshakes   those whose secrets and params the source names
    type, id, subject, actor, time, action    lists of locations
    batch, unpack, unwrap, dedupe, repeats    as in the catalogue
    formats      the formats that the provider sends
    respond      `status`, `body`, `content_type` and `headers` of the reply
    """
    part: JsonObject = {**entry.event.model_dump(exclude_none=True), "formats": list(entry.formats)}
    if settings.uses_provider_auth:
        part["auth"] = [_scheme(offered, settings) for offered in chosen_schemes(entry, settings.variant)]
    if entry.handshakes:
        possible = [_handshake(each, settings) for each in entry.handshakes]
        part["handshakes"] = [each for each in possible if each is not None]
    if respond := _respond(entry, settings):
        part["respond"] = respond
    return part


def _scheme(offered: OfferedScheme, settings: ProviderSettings) -> JsonObject:
    scheme: JsonObject = offered.scheme.model_dump(exclude_none=True)
    if scheme.get("secret") == SOURCES_SECRET:
        scheme["secret"] = settings.secret
    if settings.tolerance is not None and "tolerance_seconds" in scheme:
        scheme["tolerance_seconds"] = int(settings.tolerance)
    if settings.leeway is not None and "leeway_seconds" in scheme:
        scheme["leeway_seconds"] = int(settings.leeway)
    return _with_params(scheme, settings)


def _handshake(handshake: Handshake, settings: ProviderSettings) -> JsonObject | None:
    """Return the handshake; None if it does not apply, or needs a secret or a param that the source does not name.

    `check` of the handshake lists locations, each with the name of the secret whose value must be there.
    """
    is_recognised_by_absence = bool(handshake.when) and not any(handshake.when.values())
    if is_recognised_by_absence and not settings.uses_provider_auth:
        return None  # with another `auth`, events may also lack the header by whose absence it is recognised
    compiled: JsonObject = handshake.model_dump(exclude_defaults=True, by_alias=True, exclude={"note", "check"})
    text = to_json(compiled)
    named_params = set(_PARAM_NAME.findall(text))
    secrets = {place: settings.params.get(param, settings.secret) for place, param in handshake.check.items()}
    is_signed = "hmac-" in text
    if named_params - settings.params.keys() or None in secrets.values() or (is_signed and settings.secret is None):
        return None
    if secrets:
        compiled["check"] = [{"at": place, "secret": str(secret)} for place, secret in secrets.items()]
    if is_signed:
        compiled["secret"] = settings.secret
    return _with_params(compiled, settings)


def _respond(entry: ProviderEntry, settings: ProviderSettings) -> JsonObject:
    answer = entry.answer
    headers: Json = dict(answer.headers) if answer.headers else None
    reply: JsonObject = {"status": answer.status, "body": answer.body, "content_type": answer.type, "headers": headers}
    return _with_params({key: value for key, value in reply.items() if value is not None}, settings)


_PARAM: Final = re.compile(r"\{param\.(\w+)\}")
_PARAM_NAME: Final = re.compile(r"\bparam\.(\w+)")
_PARAM_IN_CALL: Final = re.compile(r"(?<=[(+])param\.(\w+)(?=[)+])")
"""A param without braces of its own: it is an argument, as in `{hmac-hex(query.token+param.app)}`."""


def _with_params(part: JsonObject, settings: ProviderSettings) -> JsonObject:
    """Return the part with the source's `params` for `{param.NAME}`, without keys whose param is missing."""
    filled = {key: _filled(value, settings) for key, value in part.items()}
    return {key: value for key, value in filled.items() if value is not None}


def _filled(value: Json, settings: ProviderSettings) -> Json:
    """Return the value with its params; None if it has none of those that it needs."""
    if isinstance(value, dict):
        return _with_params(value, settings) or None
    if isinstance(value, list):
        return [item for each in value for item in _items(_filled(each, settings))] or None
    if not isinstance(value, str):
        return value
    value = _PARAM_IN_CALL.sub(r"{param.\1}", value)
    names = _PARAM.findall(value)
    if any(name not in settings.params for name in names):
        return None
    whole = _PARAM.fullmatch(value)
    if whole and isinstance(param := settings.params[whole[1]], list):
        return list(param)
    return _PARAM.sub(lambda hole: str(settings.params[hole[1]]), value)


def _items(value: Json) -> list[Json]:
    """Return the items that the value is in a list: a param may stand for several, or for none."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
