"""`hookchain hooks plan|apply|remove`: the webhooks of the sources, at their providers."""

import argparse
import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from deploy.cli.command import DONE, NOT_DONE, error_text, parser, report, run_command
from deploy.config.configured import Configured, add_configuration, configured
from deploy.config.sections.catalogue import load_catalogue, signs_url
from deploy.config.sections.source import SourceConfig
from deploy.hooks.api import Gone, HookApi
from deploy.hooks.comparison import Difference, Remembered
from deploy.hooks.kind import Hook, HookKind, Wanted, is_glob
from deploy.hooks.kinds import KINDS, kind_at
from deploy.hooks.registration import (
    NamedHook,
    Registration,
    Row,
    UnreadableRow,
    read_rows,
    remembered_urls,
    signs_with,
)
from deploy.platforms.choice import add_platform, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.requests.send_options import read_secret
from deploy.requests.sources import route_types, routes_from
from deploy.requests.wanted_hooks import Unneeded, default_url, wanted_hook
from deploy.secrets.backend import StoredSecret
from deploy.secrets.values import joined
from deploy.terminal.command_line import CommandError, CommandParser, UsageError, is_confirmed
from deploy.terminal.output import count_of, printable
from deploy.terminal.progress import PassingLine
from shared.cloud import platform as cloud_platform
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError
from shared.fetch import Fetch
from shared.jsontext import mappings_at, value_at
from shared.secrets import CACHE_SECONDS, variable_name

DIFFERENT: Final = 3
LOCAL_WAIT_SECONDS: Final = 10.0
"""`hookchain dev` reads a changed .env within a few seconds."""
IGNORED: Final = {
    "plan": ("--replace", "--yes", "--forget"),
    "apply": ("--forget",),
    "remove": ("--replace",),
}
"""By action: the options that have no effect with it."""
NOT_STORED: Final = (
    "cannot be removed, because neither the configuration nor the state has `provider`, `secret` and `hook`"
)
NO_HOOKS: Final = "no source has `hook`, so there is nothing to register: deploy/README.md#hooks-at-the-provider"


def main(arguments: list[str]) -> int:
    command = _command()
    command.reject_ignored(arguments, IGNORED)
    options = command.parse_args(arguments)
    return run_command("hooks", lambda: _run(options))


def _command() -> CommandParser:
    command = parser("hooks")
    command.usage = "hookchain hooks plan | apply | remove [SOURCE] [options]"
    listed = "; ".join(f"{name}: {summary}" for name, (_, summary) in ACTIONS.items())
    command.add_argument("action", metavar="ACTION", choices=tuple(ACTIONS), help=listed)
    command.add_argument("source", metavar="SOURCE", nargs="?", help="choose this source only")
    command.add_argument(
        "--url", metavar="URL", help="set the public URL to which a source's name is added [public_url, or the cloud's]"
    )
    command.add_argument(
        "--replace", metavar="URL", help="overwrite a hook that has this URL, or replace one that is gone (apply)"
    )
    command.add_argument(
        "--forget", action="store_true", help="only forget the hooks that are not listed any more (remove)"
    )
    command.add_argument("--yes", action="store_true", help="change or delete hooks without asking")
    add_configuration(command)
    add_platform(command)  # no --state: `secrets` must find the hooks that sign with a secret of the same .env
    return command


def _run(options: argparse.Namespace) -> int:
    if options.url and not options.url.startswith(("https://", "http://")):
        raise UsageError(f"--url: must begin with https://; got {options.url!r}")
    configuration = configured(options)
    platform = open_platform(options, configuration.environ)
    return asyncio.run(_run_all(Call(options, configuration, platform, options.url)))


@dataclass(frozen=True, slots=True)
class Call:
    """The options of a command with its configuration and platform. `url` is the value of --url, if it was given."""

    options: argparse.Namespace
    configuration: Configured
    platform: Platform
    url: str | None = None

    @property
    def where(self) -> str:
        return same_platform(self.options)

    def command_line(self, action: str, source: str = "") -> str:
        url = f" --url {self.url}" if self.url else ""
        return f"hookchain hooks {action}{f' {source}' if source else ''}{url}{self.where}"


async def _run_all(call: Call) -> int:
    """Run the action for each source. The fault of one source is reported, and the other sources are still done."""
    run, _ = ACTIONS[call.options.action]
    fetch = cloud_platform.fetch(keeps=False)  # a command ends after a few requests, so it keeps no connection open
    codes = []
    async with call.platform.subscriber_stores() as stores:
        rows = await read_rows(stores.documents)
        chosen = _chosen(call, rows)
        unremovable = _rows_without_source(call, rows, chosen)
        for name, row in unremovable.items():
            rule = f"{_listed({name: row})}: {NOT_STORED} of {name}"
            report("hooks", f"{rule}. Write them again, and run the command again")
            codes.append(NOT_DONE)
        if not chosen and not unremovable:
            print(NO_HOOKS, file=sys.stderr)
        for name, source in chosen.items():
            try:
                row = rows.get(name) or Row(stores.documents, name)
                if call.options.action == "remove" and not row.hooks:  # nothing that needs the token
                    print(f"{name}: no hook is registered")
                    continue
                wanted = _wanted(call, name, source, row)
                registration = registration_of(call, name, source, fetch, row, wanted, rows)
                codes.append(await run(call, name, registration))
            except (CommandError, HookchainError) as fault:
                report("hooks", error_text(fault))
                codes.append(NOT_DONE)
    if call.options.source is None and call.options.action != "remove":
        for line in _unconfigured_lines(call, rows):
            print(line, file=sys.stderr)
    # A source that failed matters more than one that is DIFFERENT, although its code is the smaller number.
    return NOT_DONE if NOT_DONE in codes else max(codes, default=DONE)


def _chosen(call: Call, rows: Mapping[str, Row]) -> dict[str, SourceConfig]:
    """Return the sources with a `hook`, or the one that was named.

    `remove` also finds the sources whose hooks are remembered, because the configuration may have lost their `hook`, or
    may have one at another provider.
    """
    name = call.options.source
    if call.options.action != "remove":
        return hooked_sources(call.configuration, name)
    sources = {key: source for key, row in rows.items() if (source := _stored_source(row))}
    for key, source in hooked_sources(call.configuration).items():
        # A hook at a former provider or place can be removed only with the settings that it was made with.
        if not _former_places(source, rows.get(key)):
            sources[key] = source
    if name is not None and name not in sources and name not in rows:
        return hooked_sources(call.configuration, name)  # raises the error of a source without a hook
    return {key: source for key, source in sources.items() if name in (None, key)}


def hooked_sources(configuration: Configured, name: str | None = None) -> dict[str, SourceConfig]:
    """Return the sources with a `hook`, or only the one of that name. Raises UsageError and CommandError.

    Each has a provider and a secret, because SourceConfig rejects a `hook` without them.
    """
    sources = mappings_at(configuration.document, "sources")
    if name is not None and name not in sources:
        raise UsageError(f"there is no source {name!r}{did_you_mean(name, sources)}")
    if name is not None and not sources[name].get("hook"):
        raise CommandError(f"{name} has no `hook`. To set its webhook up by hand: hookchain sources {name}")
    hooked = {key: SourceConfig.model_validate(each) for key, each in sources.items() if each.get("hook")}
    return hooked if name is None else {name: hooked[name]}


def _former_places(source: SourceConfig, row: Row | None) -> list[str]:
    """Return the places of remembered hooks that are not in the source's API, or need a token of another kind."""
    if row is None:
        return []
    assert source.provider
    assert source.hook
    kind = kind_at(source.provider, source.hook.places)
    former = _stored_source(row)
    if former and _api_url(former) != _api_url(source):
        return [*row.hooks]
    return [at for at in row.hooks if kind.path_of(at) is None]


def _api_url(source: SourceConfig) -> str:
    """Return the base URL of the provider's API, or of your own server's, such as a GitLab that you host."""
    assert source.provider
    assert source.hook
    return (source.hook.api or kind_at(source.provider, source.hook.places).api).rstrip("/")


def _stored_source(row: Row) -> SourceConfig | None:
    """Return the source with the row's settings; None if another version stored none, or others than this one reads."""
    try:
        return SourceConfig.model_validate(row.settings) if row.settings else None
    except ValidationError:
        return None


def _rows_without_source(call: Call, rows: Mapping[str, Row], chosen: Collection[str]) -> dict[str, Row]:
    """Return the rows whose hooks `remove` should delete, but which lack the settings to do it."""
    if call.options.action != "remove":
        return {}
    return {key: row for key, row in rows.items() if key not in chosen and call.options.source in (None, key)}


def _wanted(call: Call, name: str, source: SourceConfig, row: Row) -> Wanted:
    """Return the hook that the source needs. For `remove`, the source may have lost its routes and its public URL."""
    if call.options.action == "remove":
        remembered_url = next(iter(remembered_urls(row.hooks)), "")
        return Wanted(name, remembered_url)
    url = hook_url(call, name, source)
    return _needed_hook(call, name, source, url, row)


def _needed_hook(call: Call, name: str, source: SourceConfig, url: str, row: Row) -> Wanted:
    """Return the hook by the routes. Raises CommandError, with the way to remove one that no route needs any more."""
    try:
        return wanted_hook(call.configuration.slices["transform"], name, source, url)
    except Unneeded as fault:
        if not row.hooks:
            raise
        remove = call.command_line("remove", name)
        raise CommandError(f"{fault}. It is still registered. To remove it: {remove}") from fault


def registration_of(
    call: Call,
    name: str,
    source: SourceConfig,
    fetch: Fetch,
    row: Row,
    wanted: Wanted,
    rows: Mapping[str, Row],
) -> Registration:
    """Return the hooks of a source. `rows` are those of all sources. Raises CommandError."""
    hook = source.hook
    assert hook
    assert source.provider
    assert source.secret
    kind = kind_at(source.provider, hook.places)
    if former_places := _former_places(source, row):
        where = ", ".join(each or str(row.settings.get("provider")) for each in former_places)
        rule = f"{name}: the hook of its former settings is still registered at {where}"
        raise CommandError(f"{rule}. Remove it first: {call.command_line('remove', name)}")
    sources = mappings_at(call.configuration.document, "sources")
    sharing = [key for key, each in sources.items() if each.get("secret") == source.secret]
    is_shared = name in sharing and len(sharing) > 1
    if kind.secret and is_shared:
        rule = f"{kind.title} makes the secret, so that sources cannot share one; name another `secret`"
        raise CommandError(f"{', '.join(sharing)}: {rule}")
    # The next write of the row stores these, so `remove` works after the configuration has lost the source.
    row.settings = {"provider": source.provider, "secret": source.secret, "hook": hook.model_dump(mode="json")}
    line = PassingLine(sys.stderr)

    def show(text: str) -> None:
        line.clear()
        print(printable(text))

    api = HookApi(
        name=name,
        kind=kind,
        fetch=fetch,
        token=token_of(call, hook.token),
        token_name=hook.token,
        url=hook.api or "",
        allow_private=hook.allow_private,
    )
    return Registration(
        api=api,
        wanted=wanted,
        places=hook.places,
        secret=StoredSourceSecret(source.secret, call.platform),
        row=row,
        wait_seconds=LOCAL_WAIT_SECONDS if call.platform.traits.is_local else CACHE_SECONDS,
        show=show,
        show_wait=_wait_display(name, line),
        apply_command=call.command_line("apply", name),
        others=_hooks_of_others(name, source, rows),
    )


def _wait_display(name: str, line: PassingLine) -> Callable[[float], None]:
    """Return a function that shows how many seconds of a wait are left. Its first call in a wait prints a sentence."""
    is_waiting = False

    def show_wait(left: float) -> None:
        nonlocal is_waiting
        if left == 0.0:
            is_waiting = False
            line.clear()
            return
        if not is_waiting:
            is_waiting = True
            again = "You can press Ctrl-C and run the command again"
            print(f"{name}: waiting {left:.0f} s until every instance has the new secret. {again}.", file=sys.stderr)
        line.show(f"{left:.0f} s left")

    return show_wait


def _hooks_of_others(name: str, source: SourceConfig, rows: Mapping[str, Row]) -> list[NamedHook]:
    """Return the remembered hooks of other sources at the same API, and of those whose API is not stored."""
    hooks: list[NamedHook] = []
    for key, row in rows.items():
        other = _stored_source(row)
        is_same_api = other is None or _api_url(other) == _api_url(source)
        if key != name and is_same_api:
            hooks += [NamedHook(key, at, remembered) for at, remembered in row.hooks.items()]
    return hooks


def token_of(call: Call, name: str) -> str:
    """Return the token from its variable or file on this machine, else from the deployment. Raises CommandError."""
    try:
        return read_secret(name, call.configuration.environ)
    except ValueError:
        if call.platform.traits.is_local:
            rule = f"the token {name!r} does not exist: set {variable_name(name)} in your shell or in .env"
            raise CommandError(rule) from None
    return call.platform.secret_value(name)


class UnknownSignedUrl(CommandError):
    """The provider signs the URL, and the configuration does not have it."""


def hook_url(call: Call, name: str, source: SourceConfig) -> str:
    """Return the URL that the provider is to call. Raises CommandError."""
    public_url = source.public_url or default_url(call.configuration.document, name)
    # The URL of the whole file is not that of `hookchain dev`, which may have the configuration of a deployment.
    is_default_of_others = call.platform.traits.is_local and call.platform.source_access().is_dev
    if call.url:
        url = f"{call.url.rstrip('/')}/{name}"
    elif source.public_url or (public_url and not is_default_of_others):
        url = public_url
    elif call.platform.traits.is_local:
        rule = f"{name}: a provider cannot call this machine; open a tunnel to {call.platform.receive_url()}"
        raise CommandError(f"{rule}, then add --url with the tunnel's URL, or `public_url` to the source")
    else:
        url = f"{call.platform.receive_url()}/{name}"
    assert source.provider
    is_signed = any(signs_url(each.scheme) for each in load_catalogue()[source.provider].auth)
    if is_signed and url != public_url:
        raise UnknownSignedUrl(f"{name}: the provider signs the URL, so `public_url: {url}` must be in the source")
    return url


@dataclass(frozen=True, slots=True)
class StoredSourceSecret:
    """The secret in `.env` or in the deployment's store."""

    name: str
    platform: Platform

    def values(self) -> Sequence[str]:
        stored = self._find()
        if stored and stored.trouble:
            raise CommandError(f"secret {self.name} {stored.trouble}")
        if stored and not {*(stored.overridden or ())} <= {*stored.values}:
            raise CommandError(
                f"secret {self.name}: .env has other values, and {stored.where} overrides them. Remove one of the two"
            )
        return stored.values if stored else ()

    def verify_writable(self) -> None:
        stored = self._find()
        if stored and stored.overridden is not None:
            rule = f"secret {self.name}: {stored.where} overrides .env, where the provider's secret is to be stored"
            raise CommandError(f"{rule}. Remove it there, and run the command again")

    def set_at(self) -> float | None:
        """Return when the values were stored; None for `.env`, which has only the day."""
        stored = None if self.platform.traits.is_local else self._find()
        return stored.set_at if stored else None

    def _find(self) -> StoredSecret | None:
        return self.platform.secrets().find([self.name]).get(self.name)

    def store(self, values: Sequence[str]) -> None:
        self.platform.secrets().write(self.name, joined(values), forget=False)


# Actions


async def _plan(call: Call, name: str, registration: Registration) -> int:
    differences = await _print_plan(call, name, registration)
    if any(each.fault for each in differences):
        return NOT_DONE
    return DIFFERENT if any(each.is_different for each in differences) else DONE


async def _apply(call: Call, name: str, registration: Registration) -> int:
    differences = await _print_plan(call, name, registration)
    changes = [each for each in differences if each.action != "none"]
    allowed = [each for each in changes if _is_allowed(call, each)]
    for each in changes:
        if each not in allowed:
            _print_blocked(call, name, each)
    if registration.new_facts(differences) and not changes:
        async with registration.locked():
            await registration.remember_facts(differences)
    has_fault = any(each.fault for each in differences)
    if not allowed:
        return NOT_DONE if changes or has_fault else DONE
    if not _is_confirmed(call, name, f"Change {count_of(len(allowed), 'hook')} of {name}?"):
        return NOT_DONE
    code = DONE if len(allowed) == len(changes) and not has_fault else NOT_DONE
    async with registration.locked():
        current = await registration.plan()  # the answer to the question may have taken long
        if _confirmed_parts(current) != _confirmed_parts(differences):
            raise CommandError(f"{name}: the hooks have changed meanwhile; nothing was changed. Run the command again")
        await registration.remember_facts(current)
        for each in allowed:
            if each.overwrites and each.hook:
                settings = _settings_text(registration.api.kind, each.hook)
                rest = "Hookchain does not read its secret and its other settings"
                print(printable(f"  to restore the overwritten hook: {settings}. {rest}"))
            try:
                await registration.apply(each)
            except CommandError as fault:  # the hooks at the other places are still changed
                report("hooks", error_text(fault))
                code = NOT_DONE
                await registration.row.save()  # raises if another command has changed the row
    return code


def _settings_text(kind: HookKind, hook: Hook) -> str:
    """Return the settings of a hook that is overwritten, as far as they were listed."""
    settings = [f"URL {hook.url}"]
    if kind.selects_events:  # else the change leaves them as they are
        settings.append(f"event types: {'all' if hook.events is None else ', '.join(hook.events)}")
    return "; ".join([*settings, *filter(None, [hook.inactive]), *hook.faults])


def _confirmed_parts(differences: Sequence[Difference]) -> list[tuple[object, ...]]:
    """Return the parts of the differences that the operator has seen and confirmed."""
    return [(each.at, each.action, each.reasons, each.overwrites, each.hook and each.hook.id) for each in differences]


async def _remove(call: Call, name: str, registration: Registration) -> int:
    row = registration.row
    if call.options.forget:
        return await _forget(call, name, registration)
    for at, remembered in row.hooks.items():
        verb = "delete" if registration.removal_deletes(at) else "forget"
        print(printable(f"{name} {at or registration.api.kind.title}: {verb} {_urls_text(remembered)}"))
    if not _is_confirmed(call, name, f"Remove {count_of(len(row.hooks), 'hook')} of {name}?"):
        return NOT_DONE
    code = DONE
    async with registration.locked():
        for at in list(row.hooks):
            try:
                if not await registration.remove(at):
                    code = NOT_DONE
            except CommandError as fault:
                report("hooks", error_text(fault))
                code = NOT_DONE
        if any(isinstance(fault, Gone) for fault in (await registration.unlisted()).values()):
            print(_forget_advice(call, name), file=sys.stderr)
    return code


async def _forget(call: Call, name: str, registration: Registration) -> int:
    """Forget the hooks that are gone. Leave the others, and those of places that could not be listed, as they are."""
    row = registration.row
    faults = await registration.unlisted()
    gone = [at for at, fault in faults.items() if isinstance(fault, Gone)]
    for fault in faults.values():
        report("hooks", error_text(fault))
    for at in gone:
        place = f"{name} {at or registration.api.kind.title}"
        print(printable(f"{place}: forget {_urls_text(row.hooks[at])}, which may still be registered there"))
    if not faults:
        print(f"{name}: the provider lists every hook, so there is nothing to forget")
        return DONE
    if not gone or not _is_confirmed(call, name, f"Forget {count_of(len(gone), 'hook')} of {name}?"):
        return NOT_DONE
    async with registration.locked():
        for at in gone:
            row.hooks.pop(at, None)
        await row.save()
    return DONE if len(gone) == len(faults) else NOT_DONE


def _urls_text(remembered: Remembered) -> str:
    """Return the URLs that the hook may have: a change whose answer is lost may have given it another one."""
    return " or ".join(dict.fromkeys(remembered.urls))


def _forget_advice(call: Call, name: str) -> str:
    return f"If the place or the hook does not exist any more: {call.command_line('remove', name)} --forget"


ACTIONS: Final = {
    "plan": (_plan, "print what differs at the providers"),
    "apply": (_apply, "create and change hooks, after a question"),
    "remove": (_remove, "delete the hooks that apply created"),
}
"""By action: the function that runs it for one source, and its help."""


async def _print_plan(call: Call, name: str, registration: Registration) -> list[Difference]:
    """Compare the hooks, print how they differ and return the differences. Raises CommandError and Temporary."""
    differences = await registration.plan()
    wanted = registration.wanted
    print(f"{name}  {wanted.url}")
    routes = routes_from(call.configuration.slices["transform"], name)
    globs = [each for each in route_types(routes) if is_glob(each)]
    settings = mappings_at(call.configuration.document, "sources")[name]
    reason = "the source has a `type` of its own" if settings.get("type") else ""
    reason = reason or (f"{', '.join(globs)} may match any" if globs else "")
    if registration.api.kind.selects_events and wanted.events is None and reason:
        print(f"  all event types, because {reason}")
    if value_at(settings, "hook", "renew") is True:
        api = registration.api
        print(f"  the function notify renews it with the token {api.token_name}, which is deployed: {api.kind.rights}")
    for each in differences:
        place = each.at or registration.api.kind.title
        if each.fault:
            report("hooks", each.fault)
            if each.is_gone and each.at in registration.row.hooks:
                print(_forget_advice(call, name), file=sys.stderr)
            continue
        print(f"  {place}: {printable(_change_text(each))}")
        if each.unknown:
            print(printable(f"  {place}: not known: {each.unknown}."))
            print("  If it is not, events are rejected. To replace the hook and its secret:")
            print(_renewal_commands(call, name, each))
        for step in each.steps:
            print(printable(f"  {place}: to do by hand: {step}"))
        for note in each.notes:
            print(f"  {place}: note: {printable(note)}")
    if registration.api.kind.selects_events and any(each.action in ("create", "change") for each in differences):
        every = registration.api.kind.all_events
        print(f"  event types: {every if wanted.events is None else ', '.join(wanted.events)}")
    return differences


def _change_text(difference: Difference) -> str:
    if not difference.reasons:
        return "nothing else differs" if difference.is_different else "nothing differs"
    verb = "create another and delete this one" if difference.action == "renew" else difference.action
    return f"{verb}: {'; '.join(difference.reasons)}"


def _renewal_commands(call: Call, name: str, difference: Difference) -> str:
    """Return the commands that replace a hook with an unknown secret by one with a known secret."""
    secret = mappings_at(call.configuration.document, "sources")[name]["secret"]
    rotate = f"    hookchain secrets rotate {secret} --random{call.where}"
    return f"    {call.command_line('apply', name)}\n{rotate}" if difference.is_foreign else rotate


def _is_allowed(call: Call, difference: Difference) -> bool:
    """Return whether the change may be made once the operator has confirmed it.

    A change that overwrites a hook needs --replace with its URL. For one of ours, a question at a terminal is enough.
    """
    if not difference.overwrites or call.options.replace == difference.overwrites:
        return True
    return not difference.is_foreign and not call.options.yes and sys.stdin.isatty()


def _print_blocked(call: Call, name: str, difference: Difference) -> None:
    place = difference.at or name
    why = "not changed, because somebody else may use it. To overwrite it:"
    if difference.hook is None:
        why = "not created, because the former one may still exist. To create another one:"
    print(f"  {place}: {why}", file=sys.stderr)
    print(f"  {call.command_line('apply', name)}{_replace_option(difference.overwrites)}", file=sys.stderr)


def _replace_option(url: str) -> str:
    """Return the option, quoted for a shell because the URL may be somebody else's text."""
    return f" --replace {shlex.quote(printable(url))}"


def _is_confirmed(call: Call, name: str, question: str) -> bool:
    replace = _replace_option(call.options.replace) if call.options.replace else ""
    forget = " --forget" if call.options.forget else ""
    command = f"{call.command_line(call.options.action, name)}{replace}{forget} --yes"
    return call.options.yes or is_confirmed(f"{question} [y/N]", "Nothing was changed.", f"To do it:\n  {command}")


# For `hookchain secrets`


async def rotate(
    call: Call, secret: str, uses: Sequence[str], store_new_value: Callable[[], Awaitable[object]]
) -> list[str] | None:
    """Rotate the secret in its store and at the provider. Return None if no hook with this secret is registered.

    Else return those of its `uses` that have no registered hook, so that somebody has to give them the new value.

    Sources can share a secret. While a hook of one of them signs with a former value, no newer one is stored, and the
    rotation continues with the newest. Raises CommandError and Temporary.
    """
    chosen = _sources_of(call, secret)
    signing = await _signing_hooks(call, secret, StoredSourceSecret(secret, call.platform).values())
    not_chosen = [hook for hooks in signing.values() for hook in hooks if hook.source not in chosen]
    if not_chosen:
        raise CommandError(f"{secret}: nothing was changed. {_why_kept(call, secret, not_chosen[0])}")
    if not chosen:
        return None
    fetch = cloud_platform.fetch(keeps=False)
    rotated: list[str] = []
    async with call.platform.subscriber_stores() as stores:
        rows = await read_rows(stores.documents)
        registrations: dict[str, Registration] = {}
        for name, source in chosen.items():
            row = rows.get(name)
            urls = remembered_urls(row.hooks) if row else []
            if row is None or not urls:
                continue
            wanted = _needed_hook(call, name, source, urls[0], row)
            own_call = _with_tunnel_url(call, name, source, urls)
            registrations[name] = registration_of(own_call, name, source, fetch, row, wanted, rows)
        hooked = {use for name in registrations for use in (f"source {name}", f"hook of {name}")}
        others = [use for use in uses if use not in hooked]
        if registrations and others:
            rule = "without a registered hook: give the other side the new value before you drop the old one"
            print(f"{secret} is also the secret of {', '.join(others)}, {rule}", file=sys.stderr)
        for registration in registrations.values():  # check all of them before the secret is changed
            try:
                await registration.rotation_plan()
            except (CommandError, HookchainError) as fault:
                raise CommandError(f"{error_text(fault)}. The secret was not changed") from fault
        for name, registration in registrations.items():
            try:
                async with registration.locked():
                    is_begun = bool(rotated) or await _is_rotation_begun(registrations, name)
                    await registration.rotate(None if is_begun else store_new_value)
            except (CommandError, HookchainError) as fault:
                if len(registrations) == 1:
                    raise
                uncertain = [each for each in registrations if each not in rotated]
                states = f"With the new value: {', '.join(rotated) or 'none'}. Not certain: {', '.join(uncertain)}"
                again = f"To continue: hookchain secrets rotate {secret}{call.where}"
                raise CommandError(f"{error_text(fault)}. {states}, whose value stays accepted. {again}") from fault
            rotated.append(name)
        for registration in registrations.values():
            registration.verify_rotated()
    return others if rotated else None


async def _is_rotation_begun(registrations: Mapping[str, Registration], locked: str) -> bool:
    """Return whether a hook may sign with a former value.

    The other rows are read again. The row of the source `locked` was read when it was locked.
    """
    for name, registration in registrations.items():
        if name != locked:
            await registration.row.read()
        if signs_with(name, registration.row.hooks, registration.secret.values()[1:]):
            return True
    return False


def _sources_of(call: Call, secret: str) -> dict[str, SourceConfig]:
    """Return the sources whose hooks sign with the secret."""
    return {
        name: source
        for name, source in hooked_sources(call.configuration).items()
        if source.secret == secret and not KINDS[str(source.provider)].is_account_signed
    }


async def reasons_to_keep(call: Call, secret: str, values: Sequence[str]) -> dict[str, str]:
    """Return, by value of the secret, why it must stay accepted: a registered hook may sign with it."""
    if not values:
        return {}
    try:
        signing = await _signing_hooks(call, secret, values)
    except (CommandError, HookchainError) as fault:
        return dict.fromkeys(values, f"It is not known whether a hook signs with it: {error_text(fault)}")
    return {value: _why_kept(call, secret, signing[value][0]) for value in values if value in signing}


async def verify_no_hook_of(call: Call, secret: str, trouble: str) -> None:
    """Raise CommandError if a registered hook may sign with a value of this secret, which cannot be read."""
    rows = await _rows_for(call, secret)
    for name, row in rows.items():
        known_secrets = row.secrets if _stored_source(row) else [_current_secret(call, name)]
        is_unknown = any(each.is_secret_unknown for each in row.hooks.values())
        if secret in known_secrets or (is_unknown and _may_be_secret_of(call, name, row, secret)):
            rule = f"{secret} {trouble}, so the value with which the hook of {name} signs would be lost"
            remove = call.command_line("remove", name)
            advice = f"Make the secret readable to you, or remove the hook first: {remove}"
            raise CommandError(f"{rule}. Nothing was changed. {advice}")


async def _signing_hooks(call: Call, secret: str, values: Sequence[str]) -> dict[str, list[NamedHook]]:
    """Return, by value of the secret, the registered hooks that may sign with it.

    Raises CommandError and HookchainError.
    """
    rows = await _rows_for(call, secret)
    hooks_by_value: dict[str, list[NamedHook]] = {}
    for name, row in rows.items():
        current_secret = _current_secret(call, name)
        # A hook whose value is not known may sign with any value of its source's secret, former or current.
        is_own_secret = _may_be_secret_of(call, name, row, secret)
        has_other_secret = current_secret not in (None, secret)
        other_values = StoredSourceSecret(str(current_secret), call.platform).values() if has_other_secret else ()
        for value in values:
            if value in other_values:  # the source accepts it by its current secret
                continue
            for at in signs_with(name, row.hooks, [value]):
                hook = NamedHook(name, at, row.hooks[at])
                if is_own_secret or not hook.remembered.is_secret_unknown:
                    hooks_by_value.setdefault(value, []).append(hook)
    return hooks_by_value


def _may_be_secret_of(call: Call, name: str, row: Row, secret: str) -> bool:
    """Return whether the source's secret, former or current, may be this one."""
    if _stored_source(row) is None or not call.configuration.slices:  # of another version, or with faults
        return True
    return secret in (*row.secrets, _current_secret(call, name))


def _current_secret(call: Call, name: str) -> str | None:
    """Return the source's secret in the configuration, also if the source has no `hook` any more."""
    secret = value_at(call.configuration.document, "sources", name, "secret")
    return secret if isinstance(secret, str) else None


async def _rows_for(call: Call, secret: str) -> dict[str, Row]:
    """Return the rows of all hooks that have a secret, because the configuration may have faults or lost the source.

    If no source has this secret, a store that cannot be read counts as empty, because most deployments register no
    hook. Raises CommandError and HookchainError.
    """
    try:
        rows = await _read_rows(call.platform)
    except (CommandError, HookchainError) as fault:
        if isinstance(fault, UnreadableRow) or not call.configuration.slices or _sources_of(call, secret):
            raise
        return {}
    return {name: row for name, row in rows.items() if not _is_account_signed(row)}


def _is_account_signed(row: Row) -> bool:
    stored = _stored_source(row)
    return stored is not None and KINDS[str(stored.provider)].is_account_signed


async def _read_rows(platform: Platform) -> dict[str, Row]:
    async with platform.subscriber_stores() as stores:
        return await read_rows(stores.documents)


def _why_kept(call: Call, secret: str, hook: NamedHook) -> str:
    """Return why a value of the secret is kept for the hook, and how the hook gets another one."""
    rule = f"{hook.name}: its hook may still sign with {secret}, and the configuration has"
    source = hooked_sources(call.configuration).get(hook.source)
    if not call.configuration.slices:
        return f"{rule} faults. Correct them first: hookchain lint"
    if source is None:
        remove = call.command_line("remove", hook.source)
        return f"{rule} no `hook` for it. Add `hook` again, or remove it first: {remove}"
    if source.secret != secret:
        urls = remembered_urls({hook.at: hook.remembered})
        apply = _with_tunnel_url(call, hook.source, source, urls).command_line("apply", hook.source)
        return f"{rule} {source.secret} for it. To give it that one first: {apply}"
    rotation = f"hookchain secrets rotate {secret}{call.where}"
    return f"The hook of {hook.name} may still sign with an old value. To give it another one: {rotation}"


def _with_tunnel_url(call: Call, name: str, source: SourceConfig, urls: Sequence[str]) -> Call:
    """Return the call with the tunnel's URL as --url if the hook has one, because no configuration has such a URL."""
    is_tunnel = call.platform.traits.is_local and not source.public_url and urls
    return replace(call, url=urls[0].removesuffix(f"/{name}")) if is_tunnel else call


# For a deployment


def deployed_lines(configuration: Configured, target: argparse.Namespace) -> list[str]:
    """Return lines about the sources whose hooks are not registered, and about hooks without a source.

    `target` is the options of a deployment. Raises CommandError and HookchainError.
    """
    call = Call(target, configuration, open_platform(target, configuration.environ))
    rows = asyncio.run(_read_rows(call.platform))
    chosen = hooked_sources(configuration).items()
    missing = [name for name, source in chosen if _is_missing(call, name, source, rows.get(name))]
    apply = f"Not registered at the provider: {', '.join(missing)}. To register: {call.command_line('apply')}"
    return [*([apply] if missing else []), *_unconfigured_lines(call, rows)]


def _is_missing(call: Call, name: str, source: SourceConfig, row: Row | None) -> bool:
    """Return whether a place of the source has no registered hook with the source's URL. Raises CommandError."""
    assert source.hook
    kind = KINDS[str(source.provider)]
    hooks = row.hooks if row and not _former_places(source, row) else {}
    try:
        url = hook_url(call, name, source)
    except UnknownSignedUrl:  # `apply` says what to correct
        return True
    registered = {at for at, each in hooks.items() if kind.is_same_url(each.url, url) and not each.stage}
    return not registered.issuperset(source.hook.places)


def _unconfigured_lines(call: Call, rows: Mapping[str, Row]) -> list[str]:
    """Return a line for each source that has remembered hooks but no `hook`: plan and apply leave it out."""
    chosen = hooked_sources(call.configuration)
    return [
        f"{_listed({name: row})}: still registered, and {name} has no `hook` any more. "
        f"To remove: {call.command_line('remove', name)}"
        for name, row in rows.items()
        if name not in chosen
    ]


def left_lines(target: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    """Return lines about the hooks that stay at the providers after a deployment is removed.

    `target` is the options of the deployment. Raises CommandError and HookchainError.
    """
    rows = asyncio.run(_read_rows(open_platform(target, environ)))
    if not rows:
        return []
    line = f"These webhooks stay registered at their providers: {_listed(rows)}. To remove them first:"
    return [line, f"  hookchain hooks remove{same_platform(target)}"]


def _listed(rows: Mapping[str, Row]) -> str:
    return ", ".join(f"{name} {at}".rstrip() for name, row in rows.items() for at in row.hooks)
