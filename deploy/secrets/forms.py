"""The secrets whose form their destination or step cannot use: no connection is made, and no text has a value.

A request is made of the value as for a delivery, with plain text in place of each template, so that no event is needed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from deploy.requests.sources import auth_entries, compiled_sources
from functions.notify import http_kind, registry
from functions.notify.destination import read_settings
from functions.notify.http_kind import SecretValues
from functions.notify.registry import Configured, read_destinations
from functions.receive.diagnosis.signatures import api_key_prefix
from shared import errors
from shared.jsontext import Json, JsonObject, objects_at
from shared.secrets import secret_names

if TYPE_CHECKING:
    from functions.notify.destinations.sql.settings import Settings

Values = Callable[[str], Sequence[str]]
"""Returns the values of a secret by its name, the newest first; none for a missing one."""

_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_GOOGLE_KINDS: Final = frozenset({"bigquery", "document", "push", "sheet"})
"""The kinds whose `secret` is the key of a Google service account."""
_SIGN_WITH_API_KEYS: Final = ("paystack",)
_STEPS: Final = ("encrypt", "decrypt")


def unusable_secrets(slices: Mapping[str, JsonObject], values: Values) -> Iterator[tuple[str, str]]:
    """Yield the name of each secret that its user cannot use, and a sentence that names it and says why.

    Two users that cannot use a secret for the same reason are one.
    """
    yield from dict.fromkeys(_unusable_secrets(slices, values))


def _unusable_secrets(slices: Mapping[str, JsonObject], values: Values) -> Iterator[tuple[str, str]]:
    for configured in read_destinations(slices["notify"]).values():
        names = sorted(set(secret_names(configured.settings)))
        known = {name: tuple(values(name)) for name in names}
        if names and all(known.values()) and (fault := _fault(configured, known)):
            yield next((name for name in names if repr(name) in fault), names[0]), fault
    yield from _api_keys(slices["receive"], values)
    for route in objects_at(slices["transform"], "routes"):
        for step in objects_at(route, "steps"):
            yield from _unusable_keys(step, values)


def _api_keys(receive: JsonObject, values: Values) -> Iterator[tuple[str, str]]:
    """Yield the secrets of signatures that look like API keys, which most senders do not sign with."""
    for source in compiled_sources(receive).values():
        for entry in auth_entries(source):
            name, header = str(entry.get("secret")), str(entry.get("header") or entry.get("at"))
            if entry.get("scheme") != "hmac" or any(word in header for word in _SIGN_WITH_API_KEYS):
                continue
            if prefix := api_key_prefix(values(name)):
                rule = f"secret {name!r} begins with `{prefix}`, as an API key does"
                yield name, f"{rule}: this source needs the signing secret, which the sender shows beside the webhook"


def _fault(configured: Configured, secrets: SecretValues) -> str | None:
    try:
        _make(configured, secrets)
    except errors.Temporary as error:
        return error.detail if error.code == "secret_unusable" else None
    except (errors.Permanent, ImportError, KeyError, ValueError):  # not the secret's fault, or a kind of the operator's
        return None
    return None


def _make(configured: Configured, secrets: SecretValues) -> None:
    """Make what a delivery makes of the secrets. Raises Temporary, Permanent and ValueError."""
    kind = registry.module_of(configured)
    settings = read_settings(kind, _without_templates(configured.settings))
    if configured.kind == "sql":
        from functions.notify.destinations.sql.place import database_place  # slow to import, and seldom needed

        database_place(cast("Settings", settings), secrets)
    elif configured.kind in _GOOGLE_KINDS:
        from shared.outgoing.access_tokens import service_account_key

        for name, newest_first in secrets.items():
            service_account_key(name, newest_first[0])
    elif hasattr(kind, "request"):
        kind.request(http_kind.example_delivery({}), settings, secrets, http_kind.ATTEMPT)


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
    for settings in map(step.get, _STEPS):
        name = settings.get("secret") if isinstance(settings, dict) else None
        if not isinstance(settings, dict) or not isinstance(name, str) or not (keys := tuple(values(name))):
            continue
        from functions.transform.steps.encrypt import parse_jwe_keys, parse_keys  # slow to import, and seldom needed

        try:
            (parse_jwe_keys if settings.get("format") == "jwe" else parse_keys)(name, keys)
        except errors.Temporary as error:
            yield name, error.detail
