"""For `hookchain secrets`: a secret with which registered hooks sign is rotated at the provider too.

A value with which a hook may still sign is kept among the accepted values, whatever the operator asks for.
deploy/cli/registrar.py explains the other words.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from deploy.cli.command import error_text
from deploy.cli.registrar import Registrar, StoredSourceSecret, stored_source
from deploy.hooks.registration import Registration
from deploy.hooks.row import NamedHook, Row, UnreadableRow, read_rows
from deploy.requests.wanted_hooks import HookedSource
from deploy.secrets.needs import Use
from deploy.terminal.command_line import CommandError
from shared import errors, jsontext


class Rotation(NamedTuple):
    """The result of `rotate`.

    sources     the sources whose hooks have the new value; none if no hook with the secret is registered
    other_uses  the other uses of the secret, to which somebody has to give the new value
    """

    sources: Sequence[str] = ()
    other_uses: Sequence[str] = ()


async def rotate(
    registrar: Registrar, secret: str, uses: Sequence[Use], store_new_value: Callable[[], Awaitable[object]]
) -> Rotation:
    """Rotate the secret in its store and at the provider, if a registered hook signs with it.

    `uses` are all uses of the secret, as in `Need.uses`. `store_new_value` stores a new value beside the others; it is
    called at most once, and never if the provider makes the value.

    Sources can share a secret. While a hook of one of them signs with a former value, no newer one is stored, and the
    rotation continues with the newest. Raises CommandError and Temporary.
    """
    sources = _sources_with(registrar, secret)
    await _verify_sources_of_hooks(registrar, secret, sources)
    if not sources:
        return Rotation()
    async with registrar.platform.subscriber_stores() as stores:
        registrations = _registrations(registrar, sources, await read_rows(stores.documents))
        hooked_uses = {Use(kind, name) for name in registrations for kind in ("source", "hook")}
        other_uses = [str(use) for use in uses if use not in hooked_uses]
        if registrations and other_uses:
            rule = "without a registered hook: give the other side the new value before you drop the old one"
            print(f"{secret} is also the secret of {', '.join(other_uses)}, {rule}", file=sys.stderr)
        await _verify_can_rotate(registrations)
        await _rotate_each(registrar, secret, registrations, store_new_value)
        for registration in registrations.values():
            registration.verify_rotated()
    return Rotation([*registrations], other_uses)


def _sources_with(registrar: Registrar, secret: str) -> dict[str, HookedSource]:
    """Return the sources whose hooks sign with the secret."""
    return {
        name: source
        for name, source in registrar.sources().items()
        if source.secret == secret and not source.kind.is_account_signed
    }


async def _verify_sources_of_hooks(registrar: Registrar, secret: str, sources: Mapping[str, HookedSource]) -> None:
    """Raise CommandError if a hook of another source signs with the secret: it would not get the new value."""
    values = StoredSourceSecret(secret, registrar.platform).values()
    for hooks in (await _signing_hooks(registrar, secret, values)).values():
        for hook in hooks:
            if hook.source not in sources:
                why = _reason_to_keep(registrar, secret, hook)
                raise CommandError(f"{secret}: nothing was changed. {why}")


def _registrations(
    registrar: Registrar, sources: Mapping[str, HookedSource], rows: Mapping[str, Row]
) -> dict[str, Registration]:
    """Return the registrations of those sources that have a registered hook. Raises CommandError."""
    registrations: dict[str, Registration] = {}
    for name, source in sources.items():
        row = rows.get(name)
        if row is None or not row.urls:
            continue
        wanted = registrar.wanted_hook(source, row.urls[0], row)
        own_registrar = registrar.with_tunnel_url(source, row.urls)
        registrations[name] = own_registrar.registration(source, row, wanted, rows)
    return registrations


async def _verify_can_rotate(registrations: Mapping[str, Registration]) -> None:
    """Raise CommandError if a hook cannot get a new secret. This is done for all of them before the secret changes."""
    for registration in registrations.values():
        try:
            await registration.rotation_plan()
        except (CommandError, errors.HookchainError) as fault:
            raise CommandError(f"{error_text(fault)}. The secret was not changed") from fault


async def _rotate_each(
    registrar: Registrar,
    secret: str,
    registrations: Mapping[str, Registration],
    store_new_value: Callable[[], Awaitable[object]],
) -> None:
    """Rotate the secret of each source. Raises CommandError, which says which sources have the new value."""
    rotated: list[str] = []
    for name, registration in registrations.items():
        try:
            async with registration.locked():
                is_begun = bool(rotated) or await _is_rotation_begun(registrations, name)
                await registration.rotate(None if is_begun else store_new_value)
        except (CommandError, errors.HookchainError) as fault:
            if len(registrations) == 1:
                raise
            uncertain = [each for each in registrations if each not in rotated]
            states = f"With the new value: {', '.join(rotated) or 'none'}. Not certain: {', '.join(uncertain)}"
            again = f"To continue: hookchain secrets rotate {secret}{registrar.platform_options}"
            raise CommandError(f"{error_text(fault)}. {states}, whose value stays accepted. {again}") from fault
        rotated.append(name)


async def _is_rotation_begun(registrations: Mapping[str, Registration], locked: str) -> bool:
    """Return whether a hook may sign with a former value, so that an earlier command has begun the rotation.

    The other rows are read again. The row of the source `locked` was read when it was locked.
    """
    for name, registration in registrations.items():
        session = registration.session
        if name != locked:
            await session.row.read()
        if session.row.places_signing_with(session.secret.values()[1:]):
            return True
    return False


# Values that stay accepted


async def reasons_to_keep(registrar: Registrar, secret: str, values: Sequence[str]) -> dict[str, str]:
    """Return, by value of the secret, why it must stay accepted: a registered hook may sign with it.

    A value that may go is left out. If the hooks cannot be read, each value stays.
    """
    if not values:
        return {}
    try:
        hooks_by_value = await _signing_hooks(registrar, secret, values)
    except (CommandError, errors.HookchainError) as fault:
        return dict.fromkeys(values, f"It is not known whether a hook signs with it: {error_text(fault)}")
    signing = [value for value in values if value in hooks_by_value]
    return {value: _reason_to_keep(registrar, secret, hooks_by_value[value][0]) for value in signing}


def _reason_to_keep(registrar: Registrar, secret: str, hook: NamedHook) -> str:
    """Return why a value of the secret is kept for the hook, and the command by which the hook gets another one."""
    rule = f"{hook.name}: its hook may still sign with {secret}, and the configuration has"
    if not registrar.configuration.slices:
        return f"{rule} faults. Correct them first: hookchain lint"
    source = registrar.sources().get(hook.source)
    if source is None:
        remove = registrar.command_line("remove", hook.source)
        return f"{rule} no `hook` for it. Add `hook` again, or remove it first: {remove}"
    if source.secret != secret:
        url = hook.remembered.registered_url
        apply = registrar.with_tunnel_url(source, [url] if url else []).command_line("apply", hook.source)
        return f"{rule} {source.secret} for it. To give it that one first: {apply}"
    rotate_again = f"hookchain secrets rotate {secret}{registrar.platform_options}"
    return f"The hook of {hook.name} may still sign with an old value. To give it another one: {rotate_again}"


async def verify_no_hook_of(registrar: Registrar, secret: str, trouble: str) -> None:
    """Raise CommandError if a registered hook may sign with a value of this secret, which cannot be read."""
    for name, row in (await _rows_of_hooks(registrar, secret)).items():
        known_secrets = row.secrets if stored_source(row) else [_current_secret(registrar, name)]
        is_unknown = any(each.is_secret_unknown for each in row.hooks.values())
        if secret in known_secrets or (is_unknown and _may_be_secret_of(registrar, row, secret)):
            rule = f"{secret} {trouble}, so the value with which the hook of {name} signs would be lost"
            advice = (
                f"Make the secret readable to you, or remove the hook first: {registrar.command_line('remove', name)}"
            )
            raise CommandError(f"{rule}. Nothing was changed. {advice}")


# The hooks that sign with a secret


async def _signing_hooks(registrar: Registrar, secret: str, values: Sequence[str]) -> dict[str, list[NamedHook]]:
    """Return, by value of the secret, the registered hooks that may sign with it. A value without one is left out.

    Raises CommandError and HookchainError.
    """
    hooks_by_value: dict[str, list[NamedHook]] = {}
    for name, row in (await _rows_of_hooks(registrar, secret)).items():
        current_secret = _current_secret(registrar, name)
        # After the source was given another secret, values that this one has too are accepted by it.
        accepted_anyway: Sequence[str] = ()
        if current_secret not in (None, secret):
            accepted_anyway = StoredSourceSecret(str(current_secret), registrar.platform).values()
        # A hook whose value is not known may sign with any value of its source's secret, former or current.
        is_own_secret = _may_be_secret_of(registrar, row, secret)
        hooks = [each for each in row.named_hooks if is_own_secret or not each.remembered.is_secret_unknown]
        for value in values:
            places = row.places_signing_with([value])
            signing = [hook for hook in hooks if hook.at in places]
            if signing and value not in accepted_anyway:
                hooks_by_value.setdefault(value, []).extend(signing)
    return hooks_by_value


def _may_be_secret_of(registrar: Registrar, row: Row, secret: str) -> bool:
    """Return whether the secret of the row's source, former or current, may be this one."""
    if stored_source(row) is None or not registrar.configuration.slices:  # of another version, or with faults
        return True
    return secret in (*row.secrets, _current_secret(registrar, row.source))


def _current_secret(registrar: Registrar, name: str) -> str | None:
    """Return the source's secret in the configuration, also if the source has no `hook` any more."""
    secret = jsontext.value_at(registrar.configuration.document, "sources", name, "secret")
    return secret if isinstance(secret, str) else None


async def _rows_of_hooks(registrar: Registrar, secret: str) -> dict[str, Row]:
    """Return the rows of all hooks that have a secret, because the configuration may have faults or lost the source.

    If no source has this secret, a store that cannot be read counts as empty, because most deployments register no
    hook. Raises CommandError and HookchainError.
    """
    try:
        rows = await registrar.read_rows()
    except UnreadableRow:
        raise
    except (CommandError, errors.HookchainError):
        if not registrar.configuration.slices or _sources_with(registrar, secret):
            raise
        return {}
    return {name: row for name, row in rows.items() if not _is_account_signed(row)}


def _is_account_signed(row: Row) -> bool:
    """Return whether the row's hooks have no secret of their own. A row that cannot be read may have one."""
    stored = stored_source(row)
    return stored is not None and stored.kind.is_account_signed
