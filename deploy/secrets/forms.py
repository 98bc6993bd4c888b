"""The search for secrets whose form their destination or step cannot use, such as a key that is not PEM.

A destination builds a request from the value, as for a delivery, but sends nothing. Templates in its settings are
replaced by plain text, because there is no event. No text that is returned contains a value.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from deploy.config.platform_parts import GOOGLE_KINDS
from deploy.requests.sources import auth_entries, compiled_sources
from functions.notify import destination, examples, http_kind, registry
from functions.receive.diagnosis.signatures import api_key_prefix
from shared import errors
from shared.jsontext import Json, JsonObject, objects_at
from shared.secrets import InvalidSecret, secret_names

if TYPE_CHECKING:
    from functions.notify.destinations.sql.settings import Settings

Values = Callable[[str], Sequence[str]]
"""Returns the values of a secret by its name, the newest first; none for a missing one."""

_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
"""An expression, a statement or a comment of Jinja."""
_SIGN_WITH_API_KEYS: Final = ("paystack",)
"""Parts of the names of the headers whose signatures are made with an API key."""
_STEPS: Final = ("encrypt", "decrypt")
"""The steps that have keys."""


class UnusableSecret(NamedTuple):
    """A secret that its user cannot use.

    reason  a sentence that says why, and in most cases names the secret
    text    the same, in most cases with what to do
    """

    name: str
    reason: str
    text: str


def unusable_secrets(slices: Mapping[str, JsonObject], values: Values) -> list[UnusableSecret]:
    """Return the secrets that a destination, a source or a step cannot use, each reason once."""
    destinations = registry.read_destinations(slices["notify"]).values()
    routes = objects_at(slices["transform"], "routes")
    found = [
        *filter(None, (_unusable_by(each, values) for each in destinations)),
        *_api_keys(slices["receive"], values),
        *(each for route in routes for step in objects_at(route, "steps") for each in _unusable_keys(step, values)),
    ]
    return list(dict.fromkeys(found))


def _api_keys(receive: JsonObject, values: Values) -> Iterator[UnusableSecret]:
    """Yield the secrets of signatures that look like API keys, which most senders do not sign with."""
    for source in compiled_sources(receive).values():
        for entry in auth_entries(source):
            name = str(entry.get("secret"))
            header = str(entry.get("header") or entry.get("at"))
            signs_with_api_key = any(word in header for word in _SIGN_WITH_API_KEYS)
            if entry.get("scheme") != "hmac" or signs_with_api_key:
                continue
            if prefix := api_key_prefix(values(name)):
                rule = f"secret {name!r} begins with `{prefix}`, as an API key does"
                text = f"{rule}: this source needs the signing secret, which the sender shows beside the webhook"
                yield UnusableSecret(name, text, text)


def _unusable_by(configured: registry.DeliveryOptions, values: Values) -> UnusableSecret | None:
    """Return the secret that the destination cannot use.

    Return None if it can use all of them, if one of them is missing, which is reported elsewhere, or if the destination
    fails for another reason.
    """
    secrets = {name: tuple(values(name)) for name in sorted(set(secret_names(configured.settings)))}
    if not secrets or not all(secrets.values()):
        return None
    try:
        _use_secrets(configured, secrets)
    except InvalidSecret as error:
        return UnusableSecret(error.name, error.reason, error.detail)
    except errors.Temporary as error:
        if error.code == "secret_unusable":  # The error names no secret. Most destinations have only one.
            return UnusableSecret(next(iter(secrets)), error.detail, error.detail)
    except (errors.Permanent, ImportError, KeyError, ValueError):  # not the secret's fault, or a kind of the operator's
        pass
    return None


def _use_secrets(configured: registry.DeliveryOptions, secrets: http_kind.SecretValues) -> None:
    """Use the secrets as a delivery does, up to its request. Raises Temporary, Permanent and ValueError."""
    kind = registry.module_of(configured)
    settings = destination.read_settings(kind, _without_templates(configured.settings))
    if configured.kind == "sql":
        from functions.notify.destinations.sql.place import database_place  # slow to import, and seldom needed

        database_place(cast("Settings", settings), secrets)
    elif configured.kind in GOOGLE_KINDS:
        from shared.outgoing.access_tokens import service_account_key  # slow to import, and seldom needed

        for name, newest_first in secrets.items():
            service_account_key(name, newest_first[0])
    elif hasattr(kind, "request"):
        kind.request(examples.example_delivery({}), settings, secrets, examples.ATTEMPT)


def _without_templates(value: Json) -> Json:
    match value:
        case str():
            return _TEMPLATE.sub("x", value)
        case list():
            return [_without_templates(each) for each in value]
        case dict():
            return {key: _without_templates(each) for key, each in value.items()}
    return value


def _unusable_keys(step: JsonObject, values: Values) -> Iterator[UnusableSecret]:
    """Yield the secret of the step, if the step cannot use it as a key."""
    for settings in map(step.get, _STEPS):
        if not isinstance(settings, dict):
            continue
        name = settings.get("secret")
        keys = tuple(values(name)) if isinstance(name, str) else ()
        if not isinstance(name, str) or not keys:
            continue
        from functions.transform.encryption import parse_jwe_keys, parse_keys  # slow to import, and seldom needed

        parse = parse_jwe_keys if settings.get("format") == "jwe" else parse_keys
        try:
            parse(name, keys)
        except errors.Temporary as error:
            yield UnusableSecret(name, error.detail, error.detail)
