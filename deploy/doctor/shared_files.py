"""The check of Google's files that destinations write into: which ones must be shared with which account."""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.config.notify_destinations import is_caught
from deploy.doctor.checks import Subject
from deploy.secrets.backend import SecretBackend
from deploy.terminal.finding import Check, Finding, problem, unknown
from shared.jsontext import JsonObject, json_or_none, mapping_at, value_at

_FILES: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("sheet", "spreadsheet"): ("https://docs.google.com/spreadsheets/d/", "an editor"),
    ("document", "append_to"): ("https://docs.google.com/document/d/", "an editor"),
    ("document", "template"): ("https://docs.google.com/document/d/", "a viewer"),
    ("document", "folder"): ("the shared drive of https://drive.google.com/drive/folders/", "a contributor"),
}
"""By kind and setting: what comes before the id, and the role that the account needs."""


def sharing_checks(
    subject: Subject, backend: SecretBackend, own_account: str | None = None, *, catches: bool = False
) -> list[Check]:
    """Return the check of Google's files that must be shared. `catches`: rows of sheets without a key are caught."""
    notify = without_caught(subject.notify) if catches else subject.notify
    if not has_shared_files(notify):
        return []
    return [Check("shared files", lambda: sharing(notify, own_account, backend))]


def without_caught(notify: JsonObject) -> JsonObject:
    """Return the slice without the destinations that `hookchain dev` catches."""
    named = mapping_at(notify, "destinations").items()
    return {**notify, "destinations": {name: each for name, each in named if not is_caught(each)}}


def has_shared_files(notify: JsonObject) -> bool:
    """Return whether a destination writes into a file of Google's, which its owner has to share."""
    kinds = {kind for kind, _ in _FILES}
    return any(kind in kinds for _, kind, _ in _destinations(notify))


def sharing(notify: JsonObject, own_account: str | None, backend: SecretBackend) -> Finding:
    """List the files to share, and the accounts. Only the account itself could see whether a file is shared.

    So the finding is `unknown`, or the problem of the first destination that has no account.

    `own_account` is the address of the account of `notify`; None if the platform gives it none.
    """
    lines: list[str] = []
    for name, kind, settings in _destinations(notify):
        files = [(url, role, settings.get(key)) for (each, key), (url, role) in _FILES.items() if each == kind]
        secret = settings.get("secret")
        if files and secret is None and own_account is None:
            rule = f"destination {name!r} has no Google account here"
            return problem(rule, f"name the key of a service account in its `secret`: {kind}: {{secret: …}}")
        account = own_account if secret is None else _account_of(str(secret), backend)
        lines += [f"{url}{file} with {account} as {role}" for url, role, file in files if file is not None]
    return unknown(f"share {'; '.join(dict.fromkeys(lines))}", "nothing to do if they are shared already")


def _account_of(secret: str, backend: SecretBackend) -> str:
    """Return the address in the account's key."""
    stored = backend.find([secret]).get(secret)
    key = json_or_none(((stored and stored.text) or "").encode())
    email = value_at(key, "client_email")
    return email if isinstance(email, str) else f"the account of the secret {secret!r}"


def _destinations(notify: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    """Yield the name, the kind and the settings of each destination."""
    for name, each in mapping_at(notify, "destinations").items():
        yield name, str(value_at(each, "kind")), mapping_at(each, "settings")
