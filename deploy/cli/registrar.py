"""The registrar of the sources' webhooks at their providers: commands read, register and remove hooks through it.

hook           a webhook that a provider calls: it has the URL of a source
place          where the provider has the hook, such as a repository: `at` in the configuration
row            the stored document about the hooks of one source, which remembers them until they are removed
stored source  the source with the settings in its row: those with which its hooks were last registered
former place   a place in the row that the present settings do not reach: its hook must be removed with the stored ones
registration   the hooks of one source at all of its places, with what is needed to change them
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from deploy.config.configured import LoadedConfig
from deploy.config.sections.catalogue import load_catalogue, signs_url
from deploy.hooks.kind import Wanted
from deploy.hooks.registration import Registration
from deploy.hooks.row import NamedHook, Row, read_rows
from deploy.hooks.session import HookSession
from deploy.platforms.platform import INSTANCE_SECONDS, Platform
from deploy.requests import send_options, wanted_hooks
from deploy.secrets.backend import StoredSecret
from deploy.secrets.needs import Use, needs
from deploy.secrets.values import joined
from deploy.terminal import output, progress
from deploy.terminal.command_line import CommandError, UsageError
from functions.notify.recovery import kinds as recovery_kinds
from shared import jsontext, secrets
from shared.cloud import platform as cloud_platform
from shared.did_you_mean import did_you_mean

RECOVERY_SECONDS: Final = 420.0
"""The longest time until the next sweep has listed the events of a source: each five minutes, and up to two more."""


class UnknownSignedUrl(CommandError):
    """An error: the provider signs the URL, and the configuration does not have it, so no request could be verified."""


@dataclass(frozen=True, slots=True)
class Registrar:
    """The sources of a configuration with their hooks, on a platform.

    platform_options  the options with which a suggested command acts on this platform, after a space
    base_url          the URL to which a source's name is added; empty for that of the configuration or the platform
    """

    configuration: LoadedConfig
    platform: Platform
    platform_options: str
    base_url: str = ""

    def command_line(self, action: str, source: str = "") -> str:
        """Return `hookchain hooks` with this action for the source, or for all sources, as a command to suggest."""
        arguments = [action]
        if source:
            arguments.append(source)
        if self.base_url:
            arguments.append(f"--url {self.base_url}")
        return f"hookchain hooks {' '.join(arguments)}{self.platform_options}"

    def sources(self) -> dict[str, wanted_hooks.HookedSource]:
        """Return the sources that have a `hook`, by name."""
        return wanted_hooks.hooked_sources(self.configuration.document)

    def source(self, name: str) -> wanted_hooks.HookedSource:
        """Return the source. Raises UsageError if it does not exist, and CommandError if it has no `hook`."""
        sources = jsontext.mappings_at(self.configuration.document, "sources")
        if name not in sources:
            raise UsageError(f"there is no source {name!r}{did_you_mean(name, sources)}")
        if not sources[name].get("hook"):
            raise CommandError(f"{name} has no `hook`. To set its webhook up by hand: hookchain sources {name}")
        return wanted_hooks.hooked_source(name, sources[name])

    async def read_rows(self) -> dict[str, Row]:
        """Return the rows of all sources that have remembered hooks. Raises CommandError and HookchainError."""
        async with self.platform.subscriber_stores() as stores:
            return await read_rows(stores.documents)

    def hook_url(self, source: wanted_hooks.HookedSource) -> str:
        """Return the URL that the provider is to call. Raises CommandError.

        It is that of --url, else the source's `public_url`, else the whole file's (not for `hookchain dev`), else the
        one of the deployment.
        """
        public_url = source.config.public_url or wanted_hooks.default_url(self.configuration.document, source.name)
        url = self._reachable_url(source, public_url)
        is_signed = any(signs_url(each.scheme) for each in load_catalogue()[source.provider].auth)
        if is_signed and url != public_url:
            rule = f"the provider signs the URL, so `public_url: {url}` must be in the source"
            raise UnknownSignedUrl(f"{source.name}: {rule}")
        return url

    def _reachable_url(self, source: wanted_hooks.HookedSource, public_url: str) -> str:
        """Return a URL at which a provider can call the source. Raises CommandError for this machine without one.

        `public_url` is the one in the configuration; empty if there is none.
        """
        if self.base_url:
            return f"{self.base_url.rstrip('/')}/{source.name}"
        is_local = self.platform.traits.is_local
        # The `public_url` of the whole file may be that of a deployment, so `hookchain dev` uses only the source's own.
        if public_url and (source.config.public_url or not is_local or not self.platform.source_access().is_dev):
            return public_url
        if is_local:
            rule = f"{source.name}: a provider cannot call this machine; open a tunnel to {self.platform.receive_url()}"
            raise CommandError(f"{rule}, then add --url with the tunnel's URL, or `public_url` to the source")
        return f"{self.platform.receive_url()}/{source.name}"

    def with_tunnel_url(self, source: wanted_hooks.HookedSource, urls: Sequence[str]) -> "Registrar":
        """Return the registrar with the tunnel's URL if the source's hooks have one, else this registrar.

        `urls` are those of the registered hooks. No configuration has the URL of a tunnel, so their URL is the only
        place to find it.
        """
        is_tunnel = self.platform.traits.is_local and not source.config.public_url and urls
        return replace(self, base_url=urls[0].removesuffix(f"/{source.name}")) if is_tunnel else self

    def wanted_hook(self, source: wanted_hooks.HookedSource, url: str, row: Row) -> Wanted:
        """Return the hook by the routes, with this URL.

        Raises CommandError if no route needs a hook, and if the provider makes the secret and something else has the
        same one. `row` decides only whether the first of these errors says how to remove the registered hook.
        """
        self._verify_own_secret(source)
        try:
            return wanted_hooks.wanted_hook(self.configuration.slices["transform"], source, url)
        except wanted_hooks.Unneeded as fault:
            if not row.hooks:
                raise
            remove = self.command_line("remove", source.name)
            raise CommandError(f"{fault}. It is still registered. To remove it: {remove}") from fault

    def registration(
        self, source: wanted_hooks.HookedSource, row: Row, wanted: Wanted, rows: Mapping[str, Row]
    ) -> Registration:
        """Return the hooks of a source. `rows` are those of all sources that have remembered hooks.

        Raises CommandError, also if the source has a former place or the token of the provider's API does not exist.
        """
        if places := former_places(source, row):
            where = ", ".join(each or str(row.settings.get("provider")) for each in places)
            rule = f"{source.name}: the hook of its former settings is still registered at {where}"
            raise CommandError(f"{rule}. Remove it first: {self.command_line('remove', source.name)}")
        line = progress.PassingLine(sys.stderr)

        def show(text: str) -> None:
            line.clear()
            print(output.printable(text))

        token = provider_token(source.hook.token, self.configuration.environ, self.platform)
        session = HookSession(
            api=source.api(cloud_platform.fetch(keeps=False), token),  # a few requests keep no connection open
            wanted=wanted,
            secret=StoredSourceSecret(source.secret, self.platform),
            row=row,
            show=show,
            show_wait=_wait_display(source.name, "every instance has the new secret", line),
            show_recovery=_wait_display(source.name, "the sweep has read the changes of the replaced hook", line),
            is_recovered=source.config.recover is not None,
            recovery_seconds=_recovery_seconds(source),
            # The row gets them, so `remove` works after the configuration has lost the source.
            settings={
                "provider": source.provider,
                "secret": source.secret,
                "hook": source.hook.model_dump(mode="json"),
            },
            apply_command=self.command_line("apply", source.name),
            others=_hooks_of_others(source, rows),
        )
        return Registration(session, source.hook.places)

    def _verify_own_secret(self, source: wanted_hooks.HookedSource) -> None:
        """Raise CommandError if the provider makes the secret, and something else has the same one."""
        if not source.kind.makes_secret:
            return
        all_needs = needs(self.configuration.slices, self.configuration.environ)
        uses = [use for need in all_needs if need.name == source.secret for use in need.uses]
        if others := [str(use) for use in uses if use != Use("source", source.name)]:
            rule = f"{source.kind.title} makes the secret of {source.name}, which is also that of {', '.join(others)}"
            raise CommandError(f"{rule}; name another `secret` in one of them")


def stored_source(row: Row) -> wanted_hooks.HookedSource | None:
    """Return the source with the row's settings.

    None if another version stored none, or settings that this version cannot read.
    """
    try:
        return wanted_hooks.hooked_source(row.source, row.settings) if row.settings else None
    except ValueError:
        return None


def former_places(source: wanted_hooks.HookedSource, row: Row) -> list[str]:
    """Return the places of remembered hooks that the source's settings do not reach.

    These are all of them if the provider's API has another URL now, else those that have no place in this API.
    """
    stored = stored_source(row)
    if stored and stored.api_url != source.api_url:
        return [*row.hooks]
    return [at for at in row.hooks if source.kind.path_of(at) is None]


def hook_names(rows: Mapping[str, Row]) -> str:
    """Return the names of all hooks of the rows, for a person."""
    return ", ".join(hook.name for row in rows.values() for hook in row.named_hooks)


def _hooks_of_others(source: wanted_hooks.HookedSource, rows: Mapping[str, Row]) -> list[NamedHook]:
    """Return the remembered hooks of other sources at the same API, and of those whose API is not stored."""
    hooks: list[NamedHook] = []
    for name, row in rows.items():
        other = stored_source(row)
        is_same_api = other is None or other.api_url == source.api_url
        if name != source.name and is_same_api:
            hooks += row.named_hooks
    return hooks


def provider_token(name: str, environ: Mapping[str, str], platform: Platform) -> str:
    """Return the token from its variable or file on this machine, else from the deployment. Raises CommandError."""
    try:
        return send_options.read_secret(name, environ)
    except ValueError:
        if platform.traits.is_local:
            rule = f"the token {name!r} does not exist: set {secrets.variable_name(name)} in your shell or in .env"
            raise CommandError(rule) from None
    return platform.secret_value(name)


@dataclass(frozen=True, slots=True)
class StoredSourceSecret:
    """The secret in `.env` or in the deployment's store: a SourceSecret, whose methods say what is promised.

    Nothing is kept between two calls: another command may change the secret meanwhile.
    """

    name: str
    platform: Platform

    def values(self) -> Sequence[str]:
        """Return the values. Raises CommandError if they cannot be read, or if .env and another place disagree."""
        stored = self._find()
        if stored is None:
            return ()
        if stored.trouble:
            raise CommandError(f"secret {self.name} {stored.trouble}")
        overridden_values = set(stored.overridden or ())
        if not overridden_values.issubset(stored.values):
            rule = f"secret {self.name}: .env has other values, and {stored.where} overrides them"
            raise CommandError(f"{rule}. Remove one of the two")
        return stored.values

    def verify_writable(self) -> None:
        stored = self._find()
        if stored and stored.overridden is not None:
            rule = f"secret {self.name}: {stored.where} overrides .env, where the command stores values"
            raise CommandError(f"{rule}. Change the secret there, or remove it there and run the command again")

    def set_at(self) -> float | None:
        """Return when the values were stored.

        None for a secret that does not exist. On this machine, only a mounted file has a time: it is also None for a
        value in `.env`, which has only the day.
        """
        stored = self._find()
        if stored is None:
            return None
        return stored.written_at if self.platform.traits.is_local else stored.set_at

    def seconds_until_read(self, stored_at: float, now: float) -> float:
        left = self.platform.seconds_until_read(stored_at, now)
        # On this machine, a mounted file may have been written later than the caller knows.
        stored = self._find() if self.platform.traits.is_local else None
        if stored is None or stored.written_at is None:
            return left
        return max(left, stored.written_at + INSTANCE_SECONDS - now)

    def _find(self) -> StoredSecret | None:
        return self.platform.secrets().find([self.name]).get(self.name)

    def store(self, values: Sequence[str]) -> None:
        self.platform.secrets().write(self.name, joined(values), forget=False)


def _recovery_seconds(source: wanted_hooks.HookedSource) -> float:
    """Return for how long a replaced hook stays: 0 unless its events can be recovered only while it exists."""
    kind = recovery_kinds.KINDS.get(source.provider)
    return RECOVERY_SECONDS if source.config.recover and kind and kind.is_only_way else 0.0


def _wait_display(name: str, until: str, line: progress.PassingLine) -> Callable[[float], None]:
    """Return a function that shows how many seconds of a wait are left. Its first call in a wait prints a sentence.

    A call with 0 ends the wait and clears the line. `until` ends the sentence: what is being waited for.
    """
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
            print(
                f"{name}: waiting at most {left:.0f} s until {until}. {again}.",
                file=sys.stderr,
            )
        line.show(f"{left:.0f} s left")

    return show_wait
