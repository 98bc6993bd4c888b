"""`hookchain hooks plan|apply|remove`: the webhooks of the sources, at their providers.

Each action goes through the sources one after the other. `plan` compares a source's hooks with the configuration and
prints what differs. `apply` does so too, asks, and makes the changes. `remove` deletes the hooks in the source's row.

hook         a webhook that a provider calls: it has the URL of a source
place        where the provider has the hook, such as a repository
difference   the change that the hook at one place needs
row          the stored document about the hooks of one source, which remembers each until it is removed or forgotten
forget       drop a hook from the row and leave the provider as it is. `remove` forgets the hooks that Hookchain did not
             make; `remove --forget` forgets those that the provider does not list any more

deploy/cli/registrar.py explains more words.
"""

import argparse
import asyncio
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.cli import deployed_hooks
from deploy.cli.command import DONE, NOT_DONE, error_text, parser, report, run_command
from deploy.cli.registrar import Registrar, former_places, hook_names, stored_source
from deploy.config.configured import add_configuration, configured
from deploy.hooks import removal
from deploy.hooks.api import Gone
from deploy.hooks.comparison import Difference, RememberedHook
from deploy.hooks.kind import HookKind, Wanted, is_glob
from deploy.hooks.registration import Registration
from deploy.hooks.row import Row, read_rows
from deploy.platforms.choice import add_platform, open_platform, same_platform
from deploy.requests.sources import route_types, routes_from
from deploy.requests.wanted_hooks import HookedSource
from deploy.terminal.command_line import CommandError, CommandParser, UsageError, is_confirmed
from deploy.terminal.output import count_of, printable
from shared.errors import HookchainError
from shared.jsontext import mappings_at, value_at
from shared.store_ports import Documents

DIFFERENT: Final = 3
"""The exit code of `plan` if a hook differs from the configuration."""
IGNORED: Final = {
    "plan": ("--replace", "--yes", "--forget"),
    "apply": ("--forget",),
    "remove": ("--replace",),
}
"""By action: the options that have no effect with it."""
NO_HOOKS: Final = "no source has `hook`, so there is nothing to register: deploy/docs/hooks.md"


def main(arguments: list[str]) -> int:
    command = _command()
    command.reject_ignored(arguments, IGNORED)
    options = command.parse_args(arguments)
    return run_command("hooks", lambda: _run(options))


def _command() -> CommandParser:
    command = parser("hooks")
    command.usage = "hookchain hooks plan | apply | remove [SOURCE] [options]"
    summaries = "; ".join(f"{name}: {summary}" for name, (_, summary) in ACTIONS.items())
    command.add_argument("action", metavar="ACTION", choices=tuple(ACTIONS), help=summaries)
    command.add_argument("source", metavar="SOURCE", nargs="?", help="choose this source only")
    command.add_argument(
        "--url", metavar="URL", help="set the public URL to which a source's name is added [public_url, or the cloud's]"
    )
    command.add_argument(
        "--replace",
        metavar="URL",
        action="append",
        default=[],
        help="overwrite a hook that has this URL, or replace one that is gone; may be repeated (apply)",
    )
    command.add_argument(
        "--forget", action="store_true", help="only forget the hooks that are not listed any more (remove)"
    )
    command.add_argument("--yes", action="store_true", help="change or delete hooks without asking")
    add_configuration(command)
    add_platform(command)  # no --state: `secrets` must find the hooks that sign with a secret of the same .env
    return command


def _run(options: argparse.Namespace) -> int:
    """Return the exit code. Raises UsageError, CommandError and HookchainError."""
    if options.url and not options.url.startswith(("https://", "http://")):
        raise UsageError(f"--url: must begin with https://; got {options.url!r}")
    configuration = configured(options)
    platform = open_platform(options, configuration.environ)
    registrar = Registrar(configuration, platform, same_platform(options), options.url or "")
    return asyncio.run(_run_all(registrar, options))


async def _run_all(registrar: Registrar, options: argparse.Namespace) -> int:
    """Run the action for each source and return the exit code of all.

    The fault of one source is reported, and the other sources are still done. Raises CommandError and HookchainError
    if the rows cannot be read or the chosen source has no hooks.
    """
    codes: list[int] = []
    async with registrar.platform.subscriber_stores() as stores:
        rows = await read_rows(stores.documents)
        names = _chosen_names(registrar, options, rows)
        if not names:
            print(NO_HOOKS, file=sys.stderr)
        for name in names:
            try:
                codes.append(await _run_for_source(registrar, options, name, stores.documents, rows))
            except (CommandError, HookchainError) as fault:
                report("hooks", error_text(fault))
                codes.append(NOT_DONE)
    if options.source is None and options.action != "remove":
        for line in deployed_hooks.lines_without_source(registrar, rows):
            print(line, file=sys.stderr)
    # A source that failed matters more than one that is DIFFERENT, although its code is the smaller number.
    return NOT_DONE if NOT_DONE in codes else max(codes, default=DONE)


def _chosen_names(registrar: Registrar, options: argparse.Namespace, rows: Mapping[str, Row]) -> list[str]:
    """Return the names of the sources with a `hook`, or the one that the operator chose.

    `remove` also finds the sources in the rows, because the configuration may have lost their `hook`. Raises UsageError
    and CommandError for a source without hooks.
    """
    removable = rows if options.action == "remove" else {}
    if options.source is None:
        return list(dict.fromkeys((*removable, *registrar.sources())))
    if options.source not in removable:
        registrar.source(options.source)
    return [options.source]


async def _run_for_source(
    registrar: Registrar, options: argparse.Namespace, name: str, documents: Documents, rows: Mapping[str, Row]
) -> int:
    """Run the action for one source and return its exit code. Raises CommandError and HookchainError."""
    run, _ = ACTIONS[options.action]
    row = rows.get(name) or Row(documents, name)
    if options.action == "remove":
        if not row.hooks:  # nothing that needs the token
            print(f"{name}: no hook is registered")
            return DONE
        source = _source_to_remove(registrar, row)
        wanted = Wanted(name, next(iter(row.urls), ""))  # the source may have lost its routes and its public URL
    else:
        source = registrar.source(name)
        wanted = registrar.wanted_hook(source, registrar.hook_url(source), row)
    return await run(registrar, options, registrar.registration(source, row, wanted, rows))


def _source_to_remove(registrar: Registrar, row: Row) -> HookedSource:
    """Return the source with the settings that its hooks can be removed with.

    A hook at a former place needs the settings that it was made with. Raises CommandError if they are not stored.
    """
    source = registrar.sources().get(row.source)
    if source is None or former_places(source, row):
        source = stored_source(row)
    if source is None:
        rule = "cannot be removed, because neither the configuration nor the state has `provider`, `secret` and `hook`"
        names = hook_names({row.source: row})
        raise CommandError(f"{names}: {rule} of {row.source}. Write them again, and run the command again")
    return source


# The plan


async def _print_plan(registrar: Registrar, registration: Registration) -> list[Difference]:
    """Compare the hooks, print how they differ and return the differences. Raises CommandError and Temporary."""
    differences = await registration.plan()
    session = registration.session
    print(f"{session.source}  {session.wanted.url}")
    settings = mappings_at(registrar.configuration.document, "sources")[session.source]
    reason = _reason_for_all_types(registrar, session.source, has_own_type=bool(settings.get("type")))
    if reason and session.kind.api_selects_events and session.wanted.events is None:
        print(f"  all event types, because {reason}")
    if value_at(settings, "hook", "renew") is True:
        token_name = session.api.token_name
        print(f"  the function notify renews it with the token {token_name}, which is deployed: {session.kind.rights}")
    for each in differences:
        _print_difference(registrar, registration, each)
    if session.kind.api_selects_events and any(each.action in ("create", "change") for each in differences):
        print(f"  event types: {_event_types_text(session.kind.all_events, session.wanted.events)}")
    return differences


def _reason_for_all_types(registrar: Registrar, source: str, *, has_own_type: bool) -> str:
    """Return why the hook may need all event types; empty if each route names its types."""
    if has_own_type:
        return "the source has a `type` of its own"
    routes = routes_from(registrar.configuration.slices["transform"], source)
    globs = [each for each in route_types(routes) if is_glob(each)]
    return f"{', '.join(globs)} may match any" if globs else ""


def _print_difference(registrar: Registrar, registration: Registration, difference: Difference) -> None:
    """Print the change, and what the operator has to know or to do besides; of a fault, only the fault."""
    place = _place_name(registration, difference.at)
    name = registration.session.source
    if difference.fault:
        report("hooks", difference.fault)
        if difference.is_gone and difference.at in registration.session.row.hooks:
            _print_forget_advice(registrar, name)
        return
    print(f"  {place}: {printable(_change_text(difference))}")
    if difference.unknown:
        print(printable(f"  {place}: not known: {difference.unknown}."))
        print("  If it is not, events are rejected. To replace the hook and its secret:")
        print(_renewal_commands(registrar, name, difference))
    for step in difference.steps:
        print(printable(f"  {place}: to do by hand: {step}"))
    for note in difference.notes:
        print(f"  {place}: note: {printable(note)}")


def _change_text(difference: Difference) -> str:
    if not difference.reasons:
        return "nothing else differs" if difference.is_different else "nothing differs"
    verb = "create another and delete this one" if difference.action == "renew" else difference.action
    return f"{verb}: {'; '.join(difference.reasons)}"


def _renewal_commands(registrar: Registrar, name: str, difference: Difference) -> str:
    """Return the commands that replace a hook with an unknown secret by one with a known secret, a line each.

    A hook that is not ours has to be adopted first: a rotation changes no other hook.
    """
    secret = registrar.source(name).secret
    rotate = f"    hookchain secrets rotate {secret} --random{registrar.platform_options}"
    return f"    {registrar.command_line('apply', name)}\n{rotate}" if difference.is_foreign else rotate


# Actions


async def _plan(registrar: Registrar, _: argparse.Namespace, registration: Registration) -> int:
    """Print how the hooks differ. Return DIFFERENT if one does, and NOT_DONE if a place cannot be compared."""
    differences = await _print_plan(registrar, registration)
    if any(each.fault for each in differences):
        return NOT_DONE
    return DIFFERENT if any(each.is_different for each in differences) else DONE


async def _apply(registrar: Registrar, options: argparse.Namespace, registration: Registration) -> int:
    """Print the plan, ask, and make the changes that are allowed.

    Return DONE only if each change was allowed and made, and each place could be compared. What is changed is exactly
    what was printed: after the answer, the hooks are compared again, and the newer differences are applied. What the
    provider shows about the other hooks is stored too; if there are no changes, without a question, because nothing
    changes at the provider. Raises CommandError and Temporary.
    """
    name = registration.session.source
    differences = await _print_plan(registrar, registration)
    changes = [each for each in differences if each.action != "none"]
    allowed = [each for each in changes if _is_allowed(options, each)]
    for each in changes:
        if each not in allowed:
            _print_blocked(registrar, name, each)
    if not changes and registration.refreshed_hooks(differences):
        async with registration.locked():
            await registration.store_refreshed_hooks(differences)
    is_complete = len(allowed) == len(changes) and not any(each.fault for each in differences)
    if not allowed:
        return DONE if is_complete else NOT_DONE
    if not _is_confirmed(registrar, options, name, f"Change {count_of(len(allowed), 'hook')} of {name}?"):
        return NOT_DONE
    async with registration.locked():
        current = await registration.plan()  # the answer to the question may have taken long
        if _confirmed_parts(current) != _confirmed_parts(differences):
            raise CommandError(f"{name}: the hooks have changed meanwhile; nothing was changed. Run the command again")
        await registration.store_refreshed_hooks(current)
        allowed_places = {each.at for each in allowed}
        for each in current:
            if each.at not in allowed_places:
                continue
            _print_overwritten(registration.session.kind, each)
            try:
                await registration.apply(each)
            except CommandError as fault:  # the hooks at the other places are still changed
                report("hooks", error_text(fault))
                is_complete = False
                await registration.session.row.save()  # raises if another command has changed the row
    return DONE if is_complete else NOT_DONE


def _is_allowed(options: argparse.Namespace, difference: Difference) -> bool:
    """Return whether the change may be made once the operator has confirmed it.

    A change that overwrites a hook needs --replace with its URL. For one of ours, a question at a terminal is enough.
    """
    if not difference.consent_url or difference.consent_url in options.replace:
        return True
    return not difference.is_foreign and not options.yes and sys.stdin.isatty()


def _print_blocked(registrar: Registrar, name: str, difference: Difference) -> None:
    """Print why the change needs --replace, and the command that makes it."""
    why = "not changed, because somebody else may use it. To overwrite it:"
    if difference.hook is None:
        why = "not created, because the former one may still exist. To create another one:"
    print(f"  {difference.at or name}: {why}", file=sys.stderr)
    print(f"  {registrar.command_line('apply', name)}{_replace_option(difference.consent_url)}", file=sys.stderr)


def _print_overwritten(kind: HookKind, difference: Difference) -> None:
    """Print the settings of a hook that is overwritten, as far as they were listed."""
    hook = difference.hook
    if not difference.consent_url or not hook:
        return
    settings = [f"URL {hook.url}"]
    if kind.api_selects_events:  # else the change leaves them as they are
        settings.append(f"event types: {_event_types_text('all', hook.events)}")
    if hook.inactive:
        settings.append(hook.inactive)
    text = "; ".join([*settings, *hook.faults])
    rest = "Hookchain does not read its secret and its other settings"
    print(printable(f"  to restore the overwritten hook: {text}. {rest}"))


def _event_types_text(all_events: str, events: Sequence[str] | None) -> str:
    """Return the event types for a person. None stands for all of them, which `all_events` describes."""
    return all_events if events is None else ", ".join(events)


def _confirmed_parts(differences: Sequence[Difference]) -> list[tuple[object, ...]]:
    """Return the parts of the differences that the operator has seen and confirmed."""
    return [(each.at, each.action, each.reasons, each.consent_url, each.hook and each.hook.id) for each in differences]


async def _remove(registrar: Registrar, options: argparse.Namespace, registration: Registration) -> int:
    """Ask, delete the hooks that Hookchain made, and forget the others; with --forget, forget only those that are gone.

    Return DONE if none is left. The fault of one place is reported, and the other places are still done. Raises
    CommandError and Temporary.
    """
    if options.forget:
        return await _forget(registrar, options, registration)
    name = registration.session.source
    hooks = registration.session.row.hooks
    for at, remembered in hooks.items():
        verb = "delete" if removal.removal_deletes(registration.place(at)) else "forget"
        print(printable(f"{name} {_place_name(registration, at)}: {verb} {_urls_text(remembered)}"))
    if not _is_confirmed(registrar, options, name, f"Remove {count_of(len(hooks), 'hook')} of {name}?"):
        return NOT_DONE
    is_complete = True
    async with registration.locked():
        for at in list(registration.session.row.hooks):
            try:
                if not await removal.remove(registration.place(at)):
                    is_complete = False
            except CommandError as fault:
                report("hooks", error_text(fault))
                is_complete = False
        if any(isinstance(fault, Gone) for fault in (await registration.unlisted()).values()):
            _print_forget_advice(registrar, name)
    return DONE if is_complete else NOT_DONE


async def _forget(registrar: Registrar, options: argparse.Namespace, registration: Registration) -> int:
    """Forget the hooks that are gone. Leave the others, and those of places that could not be listed, as they are."""
    name = registration.session.source
    row = registration.session.row
    faults = await registration.unlisted()
    gone = [at for at, fault in faults.items() if isinstance(fault, Gone)]
    for fault in faults.values():
        report("hooks", error_text(fault))
    for at in gone:
        place = f"{name} {_place_name(registration, at)}"
        print(printable(f"{place}: forget {_urls_text(row.hooks[at])}, which may still be registered there"))
    if not faults:
        print(f"{name}: the provider lists every hook, so there is nothing to forget")
        return DONE
    if not gone or not _is_confirmed(registrar, options, name, f"Forget {count_of(len(gone), 'hook')} of {name}?"):
        return NOT_DONE
    async with registration.locked():
        for at in gone:
            await registration.place(at).remember(None)
    return DONE if len(gone) == len(faults) else NOT_DONE


def _urls_text(remembered: RememberedHook) -> str:
    """Return the URLs that the hook may have: a change whose answer is lost may have given it another one."""
    return " or ".join(dict.fromkeys(remembered.urls))


def _print_forget_advice(registrar: Registrar, name: str) -> None:
    """Print the command for hooks that can neither be listed nor deleted."""
    command = f"{registrar.command_line('remove', name)} --forget"
    print(f"If the place or the hook does not exist any more: {command}", file=sys.stderr)


def _is_confirmed(registrar: Registrar, options: argparse.Namespace, name: str, question: str) -> bool:
    """Ask the question, unless --yes answers it. Without a terminal, print the command that needs no answer."""
    replace = "".join(map(_replace_option, options.replace))
    forget = " --forget" if options.forget else ""
    command = f"{registrar.command_line(options.action, name)}{replace}{forget} --yes"
    return options.yes or is_confirmed(f"{question} [y/N]", "Nothing was changed.", f"To do it:\n  {command}")


def _replace_option(url: str) -> str:
    """Return the option, quoted for a shell because the URL may be somebody else's text."""
    return f" --replace {shlex.quote(printable(url))}"


def _place_name(registration: Registration, at: str) -> str:
    """Return the place for a person: the provider's name for the only place of an account, which is empty."""
    return at or registration.session.kind.title


ACTIONS: Final = {
    "plan": (_plan, "print what differs at the providers"),
    "apply": (_apply, "create and change hooks, after a question"),
    "remove": (_remove, "delete the hooks that apply created"),
}
"""By action: the function that runs it for one source, and its help."""
