"""The search for secrets whose form their destination or step cannot use, such as a key that is not PEM.

A destination builds a request from the value, as for a delivery, but sends nothing. Templates in its settings are
replaced by plain text, because there is no event. No text that is returned contains a value.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from deploy.config.slices import GOOGLE_KINDS
from deploy.requests.sources import auth_entries, compiled_sources
from functions.notify import destination, registry
from functions.notify.examples import ATTEMPT, example_delivery
from functions.notify.http_kind import SecretValues
from functions.receive.diagnosis.signatures import api_key_prefix
from shared import errors
from shared.jsontext import Json, JsonObject, objects_at
from shared.secrets import secret_names

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


def unusable_secrets(slices: Mapping[str, JsonObject], values: Values) -> Iterator[tuple[str, str]]:
    """Yield the name of each secret that its user cannot use, and a sentence that names it and says why.

    If several users cannot use a secret for the same reason, yield it once.
    """
    yield from dict.fromkeys(_unusable_secrets(slices, values))


def _unusable_secrets(slices: Mapping[str, JsonObject], values: Values) -> Iterator[tuple[str, str]]:
    for configured in registry.read_destinations(slices["notify"]).values():
        names = sorted(set(secret_names(configured.settings)))
        values_by_name = {name: tuple(values(name)) for name in names}
        is_complete = bool(names) and all(values_by_name.values())  # a missing secret is reported elsewhere
        fault = _destination_fault(configured, values_by_name) if is_complete else None
        if fault:
            # The text of the fault quotes the name of the secret. If it does not, the destination usually has only one.
            yield next((name for name in names if repr(name) in fault), names[0]), fault
    yield from _api_keys(slices["receive"], values)
    for route in objects_at(slices["transform"], "routes"):
        for step in objects_at(route, "steps"):
            yield from _unusable_keys(step, values)


def _api_keys(receive: JsonObject, values: Values) -> Iterator[tuple[str, str]]:
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
                yield name, f"{rule}: this source needs the signing secret, which the sender shows beside the webhook"


def _destination_fault(configured: registry.Configured, secrets: SecretValues) -> str | None:
    """Return why the destination cannot use its secrets; None if it can, or if it fails for another reason."""
    try:
        _use_secrets(configured, secrets)
    except errors.Temporary as error:
        return error.detail if error.code == "secret_unusable" else None
    except (errors.Permanent, ImportError, KeyError, ValueError):  # not the secret's fault, or a kind of the operator's
        return None
    return None


def _use_secrets(configured: registry.Configured, secrets: SecretValues) -> None:
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
        kind.request(example_delivery({}), settings, secrets, ATTEMPT)


def _without_templates(value: Json) -> Json:
    match value:
        case str():
            return _TEMPLATE.sub("x", value)
        case list():
            return [_without_templates(each) for each in value]
        case dict():
            return {key: _without_templates(each) for key, each in value.items()}
    return value


def _unusable_keys(step: JsonObject, values: Values) -> Iterator[tuple[str, str]]:
    """Yield the secret of the step and the reason, if the step cannot use it as a key."""
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
            yield name, error.detail
