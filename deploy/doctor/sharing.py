"""The check of files of Google's that destinations write to: the accounts to share each of them with."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.config.slices import is_caught
from deploy.secrets.backend import SecretBackend
from deploy.terminal.finding import Finding, problem, unknown
from shared.jsontext import Json, JsonObject

_FILES: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("sheet", "spreadsheet"): ("https://docs.google.com/spreadsheets/d/", "an editor"),
    ("document", "append_to"): ("https://docs.google.com/document/d/", "an editor"),
    ("document", "template"): ("https://docs.google.com/document/d/", "a viewer"),
    ("document", "folder"): ("the shared drive of https://drive.google.com/drive/folders/", "a contributor"),
}
"""By kind and setting: what comes before the id, and the role that the account needs."""


def without_caught(notify: JsonObject) -> JsonObject:
    """Return the slice without the destinations that `hookchain dev` catches."""
    destinations = notify.get("destinations")
    named = destinations.items() if isinstance(destinations, dict) else ()
    return {**notify, "destinations": {name: each for name, each in named if not is_caught(each)}}


def has_shared_files(notify: JsonObject) -> bool:
    return any(kind in {each for each, _ in _FILES} for _, kind, _ in _destinations(notify))


def sharing(notify: JsonObject, own_account: str | None, place: SecretBackend) -> Finding:
    """Return the files to share, and the accounts. Whether one is shared, only the account itself can see.

    `own_account` is the address of the account of `notify`; None if the platform gives it none.
    """
    lines: list[str] = []
    for name, kind, settings in _destinations(notify):
        files = [(url, role, settings.get(key)) for (each, key), (url, role) in _FILES.items() if each == kind]
        secret = settings.get("secret")
        if files and secret is None and own_account is None:
            rule = f"destination {name!r} has no account of Google's here"
            return problem(rule, f"name the key of a service account in its `secret`: {kind}: {{secret: …}}")
        account = own_account if secret is None else _account_of(str(secret), place)
        lines += [f"{url}{file} with {account} as {role}" for url, role, file in files if file is not None]
    return unknown(f"share {'; '.join(dict.fromkeys(lines))}", "if you have shared them, there is nothing to do")


def _account_of(secret: str, place: SecretBackend) -> str:
    """Return the address in the account's key."""
    stored = place.find([secret]).get(secret)
    try:
        key: Json = json.loads((stored and stored.text) or "")
    except ValueError:
        key = None
    email = key.get("client_email") if isinstance(key, dict) else None
    return email if isinstance(email, str) else f"the account of the secret {secret!r}"


def _destinations(notify: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    """Yield the name, the kind and the settings of each destination."""
    destinations = notify.get("destinations")
    for name, each in destinations.items() if isinstance(destinations, dict) else ():
        settings = each.get("settings") if isinstance(each, dict) else None
        if isinstance(each, dict) and isinstance(settings, dict):
            yield name, str(each.get("kind")), settings
