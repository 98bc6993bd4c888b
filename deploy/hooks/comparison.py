"""The comparison of the hooks that a provider lists with the configuration and with the remembered hook.

`compare` returns the change that a place needs. A hook is ours if Hookchain made it, or if it has a URL that we want or
that a request of ours may have given to it: `our_hooks`. All functions are pure.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from deploy.hooks.kind import Hook, HookKind, Wanted
from functions.notify.hook_expiry import RENEW_SECONDS
from shared.times import rfc3339

IS_OLDER: Final = "its secret is older than the stored one"
IS_UNKNOWN: Final = "it is not known whether it has the stored secret"
CREATION_SECONDS: Final = 60.0
"""How much the provider's time of a creation may differ from ours: a request takes seconds, and clocks differ."""
Action: TypeAlias = Literal["none", "create", "change", "extend", "renew", "finish", "delete", "forget"]
_IS_UNFINISHED: Final = "the last command did not finish creating the hook"


class ReplacedHook(NamedTuple):
    """A hook that a new one replaces. It is deleted last."""

    id: str
    url: str


NONE_REPLACED: Final = ReplacedHook("", "")


@dataclass(frozen=True, slots=True)
class RememberedHook:
    """The hook of a place as its row stores it: Hookchain made it, or adopted one that somebody else had made.

    All commands read these fields. An adopted hook has no `secret` at first:
    id          empty if there is only a creation that was begun
    url         the hook's URL after our last change
    secret      the fingerprint of its secret; empty if the secret is unknown, as while a new one is being sent
    is_made     Hookchain made the hook, so `remove` may delete it
    expires_at  Unix seconds; 0 if the hook does not expire or its expiry is unknown

    A change sets this field before its request, and clears it after the answer; so does a creation:
    new_url     the URL that the request sends

    A creation (deploy/hooks/creation.py) sets these fields, and clears them at its end, except `stored_at`. Before the
    stage `enabled`, `id` and `secret` are those of the hook that it replaces, and empty if there is none:
    stage       empty if no creation was begun. `creating`: the answer may be lost. `created`: the secret is not stored
                yet. `stored`: instances may not have read the secret yet. `enabled`: the new hook has become this one,
                and the replaced hook still exists
    known       the ids that the place had before the creation; empty at the stage `enabled`
    replaced    at the stage `enabled`, the replaced hook, which may still exist. Otherwise its fields are empty
    new_id      the id of the hook that is being created, which becomes `id` at the end
    new_secret  the fingerprint of its secret
    stored_at   Unix seconds: when its creation was sent, or when the secret that its provider made was stored; 0 if
                that is not known
    """

    id: str = ""
    url: str = ""
    secret: str = ""
    is_made: bool = False
    expires_at: float = 0.0
    new_url: str = ""
    stage: str = ""
    known: tuple[str, ...] = ()
    replaced: ReplacedHook = NONE_REPLACED
    new_id: str = ""
    new_secret: str = ""
    stored_at: float = 0.0

    @property
    def urls(self) -> list[str]:
        """Return the URLs that our requests may have set, and the one of a replaced hook that may still exist."""
        return [url for url in (self.url, self.new_url, self.replaced.url) if url]

    @property
    def registered_url(self) -> str:
        """Return the URL that the hook should have."""
        return self.new_url or self.url

    @property
    def is_secret_unknown(self) -> bool:
        """Return whether the hook, or a replaced one that may still exist, signs with a secret that is not known."""
        return not self.secret or self.stage == "enabled"

    def may_sign_with(self, value_fingerprint: str) -> bool:
        """Return whether the hook may sign with the value that has this fingerprint."""
        return self.is_secret_unknown or value_fingerprint in (self.secret, self.new_secret)

    def is_same(self, kind: HookKind, hook: Hook) -> bool:
        """Return whether this is the hook that the provider lists at the same place."""
        return kind.is_single or hook.id == self.id


class OurHook(NamedTuple):
    """A hook at the provider that Hookchain made, or that has one of our URLs.

    is_made  Hookchain certainly made it; otherwise a person may have
    """

    hook: Hook
    is_made: bool


class Difference(NamedTuple):
    """The change that the hook at a place needs, and why.

    at          the place; empty for the only one of an account
    action      what `Registration.apply` does; `none` also if there is a fault
    reasons     why, each a clause such as "it is not active"; none for the action `none`
    hook        the provider's hook; None if there is none
    consent_url the URL of a hook that somebody else may use, or of a missing one that may still exist: the operator
                must consent to the change, by `--replace` with this URL. Empty if the change needs no consent
    is_foreign  Hookchain did not make or adopt the hook
    unknown     a clause such as "whether the stored secret is its secret" if the provider does not show this, so the
                hook may differ; empty otherwise
    steps       what a person has to do at the provider, because its API cannot
    notes       facts for the operator that need no change
    fault       why the place cannot be compared or changed; empty if it can
    is_gone     the fault is that the place does not exist any more
    """

    at: str
    action: Action
    reasons: tuple[str, ...] = ()
    hook: Hook | None = None
    consent_url: str = ""
    is_foreign: bool = False
    unknown: str = ""
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""
    is_gone: bool = False

    @property
    def is_different(self) -> bool:
        """Return whether the hook differs, or may differ, from the wanted one."""
        return self.action != "none" or bool(self.unknown or self.steps)


def fingerprint(source: str, value: str) -> str:
    """Return a hash that is equal for equal values of a secret, and reveals nothing about a value."""
    return hashlib.sha256(f"hookchain hook {source}\0{value}".encode()).hexdigest()[:16]


def compare(
    kind: HookKind,
    at: str,
    wanted: Wanted,
    hooks: Sequence[Hook],
    *,
    remembered: RememberedHook | None,
    fingerprints: Sequence[str],
    now: float,
    extend_seconds: float = RENEW_SECONDS,
) -> Difference:
    """Compare the hooks at a place with the wanted hook and the remembered one.

    `hooks` are all that the provider lists there. `remembered` is None if the row has none. `fingerprints` are those of
    the secret's stored values, newest first. A hook that expires within `extend_seconds` of `now` (Unix seconds) has to
    be extended.

    The order: a hook that no change could correct, an interrupted creation, a hook that is not listed, a listed one.
    """
    steps = _steps(kind, wanted, hooks)
    if not kind.api_selects_events and not steps:
        # A person has selected all event types that are needed. Further ones do no harm, so they are no difference.
        hooks = [each._replace(events=wanted.events) for each in hooks]
    hook = _find(kind, wanted, hooks, remembered)
    notes = _notes(wanted, hooks, hook)
    if hook and hook.limit:
        advice = f"Delete it at {kind.title}, then run the command again"
        return Difference(at, "none", fault=f"{wanted.source}: the hook {hook.id} {hook.limit}. {advice}")
    is_expired = remembered is not None and 0.0 < remembered.expires_at < now
    gone = gone_reason(kind, remembered, hooks) if remembered and not is_expired else ""
    gone_url = remembered.url if remembered and gone else ""
    if remembered and remembered.stage:  # an interrupted creation must be finished before anything else
        lost = lost_creation(hooks, remembered, wanted)
        if lost and not lost.is_made:
            return _uncertain_creation(kind, at, lost.hook)
        reasons = (_IS_UNFINISHED, gone) if gone else (_IS_UNFINISHED,)
        return Difference(at, "finish", reasons, lost.hook if lost else hook, gone_url)
    if hook is None:
        reason = "the hook has expired" if is_expired else gone or "there is no hook"
        return Difference(at, "create", (reason,), consent_url=gone_url, steps=steps, notes=notes)
    if hook.step:
        steps = (*steps, hook.step)
    unchanged = Difference(at, "none", hook=hook, steps=steps, notes=notes)
    difference = _compare_listed(kind, wanted, hook, remembered, gone, fingerprints, unchanged)
    if difference.action == "none" and hook.expires_at and hook.expires_at < now + extend_seconds:
        expiry = f"it expires at {rfc3339(hook.expires_at)}"
        return difference._replace(action="extend", reasons=(expiry,))
    return difference


def _uncertain_creation(kind: HookKind, at: str, new: Hook) -> Difference:
    """Return that the creation has to be finished with a new hook that somebody else may have made."""
    uncertain = f"it is not certain that Hookchain made the hook {new.id}"
    # A provider that makes the secret has shown it only once, so the hook has to be replaced.
    replaced_url = new.url if kind.makes_secret else ""
    return Difference(at, "finish", (_IS_UNFINISHED, uncertain), new, replaced_url, is_foreign=True)


def _compare_listed(
    kind: HookKind,
    wanted: Wanted,
    hook: Hook,
    remembered: RememberedHook | None,
    gone: str,
    fingerprints: Sequence[str],
    unchanged: Difference,
) -> Difference:
    """Compare a hook that the provider lists. `gone` is as `gone_reason` returns it.

    `unchanged` is the difference of a hook that needs no change. The order: whose hook it is, the reasons to change it,
    the action, and whether the operator must consent.
    """
    entry = remembered if remembered and remembered.is_same(kind, hook) else None
    former_urls = remembered.urls if remembered else []
    is_url_of_others = hook.url != wanted.url and (entry is None or hook.url not in former_urls)
    if is_url_of_others and kind.is_single:
        owner = f"it belongs to {hook.url}"
        return unchanged._replace(action="change", reasons=(owner,), consent_url=hook.url, is_foreign=True)
    is_secret_unknown = kind.makes_secret and not (entry and entry.secret)
    is_secret_lost = is_secret_unknown and not fingerprints
    setting_reasons = [gone] if gone else []
    setting_reasons += [] if entry else ["Hookchain did not make it"]
    setting_reasons += _setting_reasons(kind, wanted, hook, former_urls)
    secret_reasons = [f"{kind.title} shows its secret only once, and it is not stored"] if is_secret_lost else []
    secret_reasons += _secret_reasons(kind, hook, entry, fingerprints)
    is_taken_over = entry is None and hook.url == wanted.url
    action = _action(kind, hook, setting_reasons, secret_reasons, is_taken_over=is_taken_over)
    unknown = ""
    if is_secret_unknown and action != "renew":
        unknown = f"whether the stored secret is its secret, because {kind.title} shows it only once"
    notes = unchanged.notes
    we_choose_secret = not (kind.makes_secret or kind.is_account_signed)
    if entry is None and fingerprints and hook.has_secret and we_choose_secret:
        effect = "so another deployment with this URL rejects its requests"
        notes = (*notes, f"`apply` gives it the secret that is stored here, {effect}")
    needs_consent = bool(gone) or is_url_of_others or is_secret_lost or (entry is None and action == "renew")
    return unchanged._replace(
        action=action,
        reasons=(*setting_reasons, *secret_reasons),
        consent_url=hook.url if needs_consent else "",
        is_foreign=entry is None,
        unknown=unknown,
        notes=notes,
    )


def _action(
    kind: HookKind, hook: Hook, setting_reasons: Sequence[str], secret_reasons: Sequence[str], *, is_taken_over: bool
) -> Action:
    """Return `change`, `renew` if the hook needs what no change can give it, or `none` without a reason.

    A hook that is taken over is not replaced on account of its settings.
    """
    if kind.makes_secret and secret_reasons:
        return "renew"
    # `change` can enable a hook, also where it can change nothing else.
    needs_new_settings = any(reason != hook.inactive for reason in setting_reasons)
    if kind.is_fixed and needs_new_settings and not is_taken_over:
        return "renew"
    return "change" if setting_reasons or secret_reasons else "none"


def our_hooks(kind: HookKind, wanted: Wanted, hooks: Sequence[Hook], remembered: RememberedHook) -> list[OurHook]:
    """Return our hooks among those that the provider lists at the place of the remembered hook."""
    made_ids = {remembered.new_id, remembered.replaced.id}
    lost = lost_creation(hooks, remembered, wanted)
    if lost and lost.is_made:
        made_ids.add(lost.hook.id)
    if remembered.is_made:
        made_ids.update(each.id for each in hooks if _is_listed_as(kind, each, [remembered.id]))
    ours = [OurHook(each, is_made=each.id in made_ids) for each in hooks]
    return [each for each in ours if each.is_made or has_our_url(each.hook, wanted, remembered)]


def _is_listed_as(kind: HookKind, hook: Hook, ids: Collection[str]) -> bool:
    """Return whether the hook is registered with one of these ids. A single hook without a URL is not registered."""
    return bool(hook.url) if kind.is_single else hook.id in ids


def has_our_url(hook: Hook, wanted: Wanted, remembered: RememberedHook) -> bool:
    """Return whether the hook has the wanted URL, or one that a request of ours may have given to it."""
    return bool(hook.url) and hook.url in (wanted.url, *remembered.urls)


def lost_creation(hooks: Sequence[Hook], remembered: RememberedHook, wanted: Wanted) -> OurHook | None:
    """Return the hook that a creation with a lost answer may have made; None if there is none, or at another stage.

    The hook has the URL that we sent, and was not there before. It is certainly ours if the provider shows that it was
    created when we sent the request, and that no other hook was.
    """
    if remembered.stage != "creating":
        return None
    sent_url = remembered.new_url or wanted.url
    new = [each for each in hooks if each.id not in remembered.known and each.url == sent_url]
    created = [each for each in new if each.id == remembered.new_id or _is_created_at(each, remembered.stored_at)]
    if len(created) == 1:
        return OurHook(created[0], is_made=True)
    return OurHook(new[0], is_made=False) if new else None


def _is_created_at(hook: Hook, when: float) -> bool:
    return hook.created_at is not None and abs(hook.created_at - when) <= CREATION_SECONDS


def gone_reason(kind: HookKind, remembered: RememberedHook, hooks: Sequence[Hook]) -> str:
    """Return that the provider does not list the remembered hook any more, as a clause.

    Empty if the provider lists it, or if the remembered hook was never registered. A hook that is not listed may exist
    nevertheless.
    """
    ids = [each for each in (remembered.id, remembered.new_id) if each]
    is_listed = any(_is_listed_as(kind, each, ids) for each in hooks)
    was_registered = remembered.url if kind.is_single else ids
    if is_listed or not was_registered:
        return ""
    name = "the hook" if kind.is_single else f"the hook {' or '.join(ids)}"
    return f"{name} is gone: somebody deleted it, or the token belongs to another account"


def _find(kind: HookKind, wanted: Wanted, hooks: Sequence[Hook], remembered: RememberedHook | None) -> Hook | None:
    """Return the remembered hook, else one with our URL, else one with our former URL."""
    if kind.is_single:
        return next((hook for hook in hooks if hook.url), None)
    candidates = [hook for hook in hooks if remembered and hook.id == remembered.id]
    candidates += [hook for hook in hooks if hook.url == wanted.url]
    candidates += [hook for hook in hooks if remembered and hook.url in remembered.urls]
    return next(iter(candidates), None)


def _steps(kind: HookKind, wanted: Wanted, hooks: Sequence[Hook]) -> tuple[str, ...]:
    """Return what a person has to do at the provider, because its API cannot select event types."""
    if kind.api_selects_events:
        return ()
    selected = {name for hook in hooks for name in hook.events or ()}
    if wanted.events is None:
        if selected or not hooks:
            return ()
        return (f"select event types in the settings at {kind.title}: none is selected",)
    missing = sorted({*wanted.events} - selected - {*kind.always_sent})
    if not missing:
        return ()
    return (f"select these event types in the settings at {kind.title}: {', '.join(missing)}",)


def _setting_reasons(kind: HookKind, wanted: Wanted, hook: Hook, former_urls: Sequence[str]) -> list[str]:
    """Return in which settings the hook differs from the wanted one."""
    reasons: list[str] = []
    if hook.url != wanted.url:
        former = " (our former URL)" if hook.url in former_urls else ""
        reasons.append(f"its URL is {hook.url}{former}")
    if kind.api_selects_events:
        reasons += _event_reasons(wanted.events, hook.events)
    if hook.inactive:
        reasons.append(hook.inactive)
    return [*reasons, *hook.faults]


def _event_reasons(wanted: Collection[str] | None, selected: Collection[str] | None) -> list[str]:
    """Return how the hook's event types differ from the wanted ones. None stands for all."""
    if wanted is None:
        return [] if selected is None else ["it has some event types, and a route needs all"]
    if selected is None:
        return ["it has all event types, and the routes need some"]
    missing = sorted({*wanted} - {*selected})
    surplus = sorted({*selected} - {*wanted})
    texts = (("event types are missing", missing), ("event types that no route needs", surplus))
    return [f"{text}: {', '.join(names)}" for text, names in texts if names]


def _secret_reasons(kind: HookKind, hook: Hook, entry: RememberedHook | None, fingerprints: Sequence[str]) -> list[str]:
    """Return why the hook needs another secret. `entry` is what is remembered of this hook; None if nothing is."""
    if kind.is_account_signed:
        return []
    if not hook.has_secret:
        return ["it has no secret"]
    if entry is None:
        return []
    if kind.makes_secret:
        return [] if entry.secret in ("", *fingerprints) else ["its secret is not stored any more"]
    if not fingerprints:
        return ["the secret is not stored any more"]
    if not entry.secret:
        return [IS_UNKNOWN]
    return [] if fingerprints[0] == entry.secret else [IS_OLDER]


def _notes(wanted: Wanted, hooks: Sequence[Hook], hook: Hook | None) -> tuple[str, ...]:
    """Return a note for each other hook with the wanted URL, and the provider's note about the hook."""
    text = "has the same URL, so that events may come twice; it is left alone and keeps its secret"
    notes = [f"the hook {each.id} {text}" for each in hooks if each.url == wanted.url and each != hook]
    return (*notes, hook.note) if hook and hook.note else tuple(notes)
