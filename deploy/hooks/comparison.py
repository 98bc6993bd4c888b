"""The comparison of a provider's hook with the configuration and with what is remembered: a pure function."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from deploy.hooks.kind import Hook, HookKind, Wanted
from functions.notify.hook_expiry import RENEW_SECONDS
from shared.times import rfc3339

IS_OLDER: Final = "its secret is older than the stored one"
Action: TypeAlias = Literal["none", "create", "change", "extend", "renew", "finish", "delete", "forget"]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A hook that we made or adopted, as it is remembered.

    url        as the provider had it after our last change
    secret     the fingerprint of its secret; empty if that is not known
    is_made    we made it, so that `remove` may delete it
    stage      of a creation that has begun, empty once it is over: `creating` (the answer may be lost), `created` (its
               secret is not stored yet), `stored` (instances may not have read it yet), `enabled` (the hook that it
               replaces still exists)
    known      the ids that the place had before the creation; once the new hook is enabled, the id and the URL of the
               hook that it replaces
    new_id     of the hook that is being created, which at last takes the place of `id`
    new_secret its fingerprint
    stored_at  Unix seconds: when its secret was stored
    expires_at Unix seconds; 0 if it does not expire or that is not known
    """

    id: str = ""
    url: str = ""
    secret: str = ""
    is_made: bool = False
    stage: str = ""
    known: tuple[str, ...] = ()
    new_id: str = ""
    new_secret: str = ""
    stored_at: float = 0.0
    expires_at: float = 0.0


class Difference(NamedTuple):
    """The change that the hook at a place needs, and why.

    hook        the hook as it is; None if there is none
    overwrites  the URL that somebody else gave to it, which only the operator's consent to this URL overwrites
    is_foreign  the hook is not ours
    unknown     what the provider does not tell, so that the hook cannot be called equal
    notes       what the operator should know, which nothing changes
    """

    at: str
    action: Action
    reasons: tuple[str, ...] = ()
    hook: Hook | None = None
    overwrites: str = ""
    is_foreign: bool = False
    unknown: str = ""
    notes: tuple[str, ...] = ()


def fingerprint(source: str, value: str) -> str:
    """Return what tells two values of a secret apart and reveals neither."""
    return hashlib.sha256(f"hookchain hook {source}\0{value}".encode()).hexdigest()[:16]


def compare(
    kind: HookKind,
    at: str,
    wanted: Wanted,
    hooks: Sequence[Hook],
    row: Remembered | None,
    stored: Sequence[str],
    now: float,
    extend_seconds: float = RENEW_SECONDS,
) -> Difference:
    """Compare the hooks at a place. `stored` are the fingerprints of the secret's values, newest first.

    A hook that expires within `extend_seconds` of `now` (Unix seconds) has to be extended.
    """
    hook = _find(kind, wanted, hooks, row)
    notes = _notes(wanted, hooks, hook)
    if row and row.stage:
        return Difference(at, "finish", (f"the last command ended before it was {_UNFINISHED[row.stage]}",), hook)
    if hook is None:
        return Difference(at, "create", ("the hook is gone" if row else "there is no hook",), notes=notes)
    former_url = row.url if row else ""
    own = row if row and (kind.is_single or hook.id == row.id) else None
    is_elsewhere = hook.url not in (former_url, wanted.url)  # somebody else gave this URL to it
    if is_elsewhere and kind.is_single:
        return Difference(at, "change", (f"it belongs to {hook.url}",), hook, hook.url, is_foreign=True, notes=notes)
    reasons = [] if own else ["Hookchain did not make it"]
    reasons += _settings(wanted, hook, former_url)
    is_secret_unknown = kind.secret is not None and not (own and own.secret)
    is_unreadable = is_secret_unknown and not stored
    secret = [f"{kind.title} shows its secret only once, and it is not stored"] if is_unreadable else []
    secret += _secret(kind, hook, own, stored)
    is_fixed = kind.is_fixed and any(each != hook.inactive for each in reasons) and (own or hook.url != wanted.url)
    is_renewed = bool(kind.secret and secret) or bool(is_fixed)
    action: Action = "none" if not reasons and not secret else "renew" if is_renewed else "change"
    unknown = f"whether the stored secret is its secret, because {kind.title} shows it only once"
    if action == "renew" or not is_secret_unknown:
        unknown = ""
    if action == "none" and hook.expires_at and hook.expires_at < now + extend_seconds:
        expiry = f"it expires at {rfc3339(hook.expires_at)}"
        return Difference(at, "extend", (expiry,), hook, unknown=unknown, notes=notes)
    is_blocked = is_elsewhere or is_unreadable or (own is None and action == "renew")
    overwrites = hook.url if is_blocked else ""
    return Difference(at, action, (*reasons, *secret), hook, overwrites, own is None, unknown, notes)


_UNFINISHED: Final = {
    "creating": "known whether the hook was created",
    "created": "stored which secret the new hook has",
    "stored": "certain that every instance has the new secret",
    "enabled": "known whether the replaced hook is deleted",
}


def _find(kind: HookKind, wanted: Wanted, hooks: Sequence[Hook], row: Remembered | None) -> Hook | None:
    """Return the remembered hook, else one with our URL, else one with our former URL."""
    if kind.is_single:
        return next((hook for hook in hooks if hook.url), None)
    wanted_first = [hook for hook in hooks if row and hook.id == row.id]
    wanted_first += [hook for hook in hooks if hook.url == wanted.url]
    wanted_first += [hook for hook in hooks if row and hook.url == row.url]
    return next(iter(wanted_first), None)


def _settings(wanted: Wanted, hook: Hook, former_url: str) -> list[str]:
    found: list[str] = []
    if hook.url != wanted.url:
        former = " (our former URL)" if hook.url == former_url else ""
        found.append(f"its URL is {hook.url}{former}")
    found += _events(wanted.events, hook.events)
    if hook.inactive:
        found.append(hook.inactive)
    return [*found, *hook.faults]


def _events(wanted: Collection[str] | None, found: Collection[str] | None) -> list[str]:
    if wanted is None:
        return [] if found is None else ["it has some event types, and a route needs all"]
    if found is None:
        return ["it has all event types, and the routes need some"]
    missing = sorted({*wanted} - {*found})
    surplus = sorted({*found} - {*wanted})
    texts = (("event types are missing", missing), ("event types that no route needs", surplus))
    return [f"{text}: {', '.join(names)}" for text, names in texts if names]


def _secret(kind: HookKind, hook: Hook, row: Remembered | None, stored: Sequence[str]) -> list[str]:
    if kind.is_account_signed:
        return []
    if not hook.has_secret:
        return ["it has no secret"]
    if row is None or not row.secret:
        return [] if kind.secret or row is None else ["it is not known whether it has the stored secret"]
    if kind.secret:
        return [] if row.secret in stored else ["its secret is not stored any more"]
    return [] if stored[:1] == [row.secret] else [IS_OLDER]


def _notes(wanted: Wanted, hooks: Sequence[Hook], hook: Hook | None) -> tuple[str, ...]:
    same_url = [each.id for each in hooks if each.url == wanted.url and each != hook]
    notes = [f"the hook {id} has the same URL, so that events may come twice; it is left alone" for id in same_url]
    return (*notes, hook.note) if hook and hook.note else tuple(notes)
