"""The facts about sources that the journal does not have: hooks at the providers, and the age of secrets. Read-only."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cloud_access.gcp import ApiError
from deploy.config import checkout, config_file, dotenv, running_dev
from deploy.config.configured import LoadedConfig
from deploy.history import local, local_requests, logs
from deploy.history.source_health import HookState, Outside, Registration, State
from deploy.hooks import kind, placed_hook
from deploy.hooks.api import HookApi
from deploy.hooks.comparison import Difference, RememberedHook, compare, fingerprint
from deploy.hooks.row import Row
from deploy.requests import send_options, wanted_hooks
from deploy.requests.sources import auth_secret_names, compiled_sources
from deploy.secrets.backend import SecretBackend, StoredSecret, local_secrets
from deploy.terminal.command_line import CommandError
from functions.notify.hook_expiry import SOON_SECONDS
from shared import errors, retention, store_ports, times
from shared.cloud.local.documents import FILE_NAME as DOCUMENTS_FILE
from shared.fetch import Fetch

ASK_SECONDS: Final = 10.0
"""The longest time that the request to one provider may take."""
REJECTIONS: Final = logs.LogQuery(functions=("receive",), severity="WARNING", is_of_source=True)
FAULTS: Final = (CommandError, errors.HookchainError, ApiError, OSError)
"""The errors of a store, a log or a provider that cannot be read."""


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """The access to the facts on one platform: each field opens, reads or computes one of them.

    documents    opens the documents in which registered hooks are remembered; None if there are none yet
    token        returns a provider's API token by the name of its secret; raises CommandError
    receive_url  returns the URL before a source's name; None if no provider can call this platform
    is_dev       this is `hookchain dev`: the `public_url` of the whole file may be that of a deployment
    rejected     returns the log records since a time; None if the journal has the rejected requests
    """

    documents: Callable[[], AbstractAsyncContextManager[store_ports.Documents | None]]
    secrets: Callable[[], SecretBackend]
    token: Callable[[str], str]
    receive_url: Callable[[], str] | None = None
    rejected: Callable[[float], Iterable[logs.Record | None]] | None = None
    is_dev: bool = False


def local_access(folder: Path, secrets: Callable[[], SecretBackend], environ: Mapping[str, str]) -> SourceAccess:
    def token(name: str) -> str:
        try:
            return send_options.read_secret(name, environ)
        except ValueError as error:
            raise CommandError(f"it needs the token {name!r}, which does not exist") from error

    def documents() -> AbstractAsyncContextManager[store_ports.Documents | None]:
        has_documents = (folder / DOCUMENTS_FILE).is_file() or local.running_aws(folder) is not None
        return local.open_local_documents(folder) if has_documents else nullcontext()  # opening would create the file

    return SourceAccess(documents, secrets, token, is_dev=not running_dev.is_production(folder))


async def read_served_outside(state: Path, fetch: Fetch, now: float) -> Outside:
    """Read the facts with the configuration and the env file that `hookchain dev` serves with this state folder."""
    dev = running_dev.read_dev_file(state)
    env_file = Path(dev.env_file) if dev and dev.env_file else checkout.own_env_file()
    slices = {name: local.read_slice(state, name) or {} for name in ("receive", "transform")}
    try:
        environ = checkout.environ_with(env_file)
        path = checkout.choose_config(environ, named=dev.config if dev else None)
        document = config_file.read_config_file(path).document if path else None
        access = local_access(state, lambda: local_secrets(env_file, environ), environ)
        return await read_outside(LoadedConfig(environ, path, document, slices), access, fetch, now)
    except (config_file.ConfigFaults, dotenv.DotenvFault, ValueError):
        # A file that is being edited: the page shows its faults.
        return Outside()


async def read_outside(configuration: LoadedConfig, access: SourceAccess, fetch: Fetch, now: float) -> Outside:
    """Read the facts of all sources. A fact that cannot be read is left out; a registration then has the reason."""
    sources = compiled_sources(configuration.slices["receive"])
    names = sorted({name for source in sources.values() for name in auth_secret_names(source)})
    hooked = [each for each in wanted_hooks.hooked_sources(configuration.document).values() if each.name in sources]
    secrets = await asyncio.to_thread(_secrets, access, names)
    providers = _Providers(configuration, access, fetch, secrets, now)
    answers = await asyncio.gather(*map(providers.registration, hooked))
    registrations = {source.name: answer for source, answer in zip(hooked, answers, strict=True)}
    rejected = await asyncio.to_thread(_rejected, access, now)
    return Outside(registrations, {name: each.set_at for name, each in secrets.items()}, rejected)


def _secrets(access: SourceAccess, names: list[str]) -> Mapping[str, StoredSecret]:
    try:
        return access.secrets().find(names)
    except FAULTS:
        return {}


def _rejected(access: SourceAccess, now: float) -> list[local_requests.RequestEntry]:
    if access.rejected is None:
        return []
    try:
        records = [record for record in access.rejected(now - retention.DAY_SECONDS) if record]
    except FAULTS:
        return []
    # The log of a cloud has the function and the time of a line beside it.
    lines = [{**each.document, "function": each.process, "time": times.rfc3339(each.at)} for each in records]
    return [
        entry for entry in map(local_requests.request_from, lines) if entry and entry.source and entry.status >= 400
    ]


@dataclass(frozen=True, slots=True)
class _Providers:
    """The providers of the sources. `secrets` are the stored ones, by name."""

    configuration: LoadedConfig
    access: SourceAccess
    fetch: Fetch
    secrets: Mapping[str, StoredSecret]
    now: float

    async def registration(self, source: wanted_hooks.HookedSource) -> Registration:
        """Return what the provider of a source says, or why it could not be asked. Its places are asked together."""
        remembered: Mapping[str, RememberedHook] = {}
        answers: Sequence[HookState | str] = ()
        tunnel_url = ""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                remembered = await self._remembered(source.name)
                remembered_url = next(filter(None, (each.registered_url for each in remembered.values())), "")
                url, is_tunnel = await self._url(source, remembered_url)
                wanted = wanted_hooks.wanted_hook(self.configuration.slices["transform"], source, url)
                token = await asyncio.to_thread(self.access.token, source.hook.token)
                api = source.api(self.fetch, token, {*self._values(source)})
            tunnel_url = url.removesuffix(f"/{source.name}") if is_tunnel else ""
            places = source.hook.places
            answers = await asyncio.gather(*(self._state(source, wanted, api, remembered, at) for at in places))
        except FAULTS as fault:  # a timeout is an OSError
            answers = [_reason(source, fault)]
        hooks = tuple(each for each in answers if isinstance(each, HookState))
        reason = next((each for each in answers if isinstance(each, str)), "")
        expiries = [each.expires_at for each in remembered.values() if each.expires_at]
        remembered_expiry = min(expiries, default=None) if reason else None
        return Registration(hooks, reason, tunnel_url, remembered_expiry)

    async def _url(self, source: wanted_hooks.HookedSource, remembered_url: str) -> tuple[str, bool]:
        """Return the URL that the provider calls, and whether it is that of a tunnel, which the commands need as --url.

        Raises the errors in FAULTS.
        """
        default = "" if self.access.is_dev else wanted_hooks.default_url(self.configuration.document, source.name)
        public_url = source.config.public_url or default
        url = public_url or await self._own_url(source.name) or remembered_url
        if not url:
            raise CommandError("no hook was registered yet, and a provider cannot call this machine without a tunnel")
        is_tunnel = not public_url and self.access.receive_url is None
        return url, is_tunnel

    def _values(self, source: wanted_hooks.HookedSource) -> Sequence[str]:
        stored = self.secrets.get(source.secret)
        return stored.values if stored else ()

    async def _state(
        self,
        source: wanted_hooks.HookedSource,
        wanted: kind.Wanted,
        api: HookApi,
        remembered: Mapping[str, RememberedHook],
        at: str,
    ) -> HookState | str:
        """Return the hook at one place, or the reason why the provider could not be asked about it."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                hooks = await api.hooks(at, placed_hook.our_urls(wanted, remembered.values()))
        except FAULTS as fault:  # a timeout is an OSError
            return _reason(source, fault)
        fingerprints = [fingerprint(source.name, value) for value in self._values(source)]
        difference = compare(
            source.kind,
            at,
            wanted,
            hooks,
            remembered=remembered.get(at),
            fingerprints=fingerprints,
            now=self.now,
            extend_seconds=SOON_SECONDS,
        )
        return hook_state(wanted, difference, self.now)

    async def _remembered(self, name: str) -> Mapping[str, RememberedHook]:
        """Return the hooks that were registered for a source, by place."""
        async with self.access.documents() as documents:
            if documents is None:
                return {}
            row = Row(documents, name)
            await row.read()
            return row.hooks

    async def _own_url(self, name: str) -> str:
        """Return the URL of a source in a cloud; empty on this machine."""
        if self.access.receive_url is None:
            return ""
        return f"{await asyncio.to_thread(self.access.receive_url)}/{name}"


def _reason(source: wanted_hooks.HookedSource, fault: Exception) -> str:
    """Return why the provider could not be asked."""
    if isinstance(fault, TimeoutError):
        return f"its provider did not answer within {ASK_SECONDS:.0f} s"
    text = fault.detail if isinstance(fault, errors.HookchainError) else str(fault).partition("\n")[0]
    return text.removeprefix(f"{source.name}: ")


def hook_state(wanted: kind.Wanted, difference: Difference, now: float) -> HookState:
    """Return the state of the hook at a place. A pure function."""
    hook = difference.hook
    if difference.fault:
        return HookState(difference.at, "broken", (difference.fault,))
    differences = (*difference.reasons, *difference.steps)
    if hook is None or difference.action == "create":
        return HookState(difference.at, "unregistered", differences)
    ends_soon = hook.expires_at is not None and hook.expires_at < now + SOON_SECONDS
    if ends_soon and difference.action != "extend":  # an extension has the expiry among its reasons already
        differences += (f"it expires at {times.time_text(hook.expires_at)}",)
    has_all_events = hook.events is None or (wanted.events is not None and {*wanted.events} <= {*hook.events})
    is_sending = not ends_soon and hook.url == wanted.url and not hook.inactive and hook.has_secret and has_all_events
    state: State = "registered" if is_sending else "broken"
    return HookState(difference.at, state, differences, hook.note, hook.failed_at, hook.expires_at)
