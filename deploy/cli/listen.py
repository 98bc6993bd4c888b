"""`hookchain listen`: bring a copy of each request that a deployment accepts to an application on this machine.

A lease asks transform for the copies, and is renewed while the command runs. The copies wait in an inbox of the
developer's own. Each is signed with a secret of this machine and posted. Then it is removed from the inbox.
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.cli.command import DONE, duration_option, parser, run_command
from deploy.cli.trigger import make_key
from deploy.client.hookchain.http import NoResponse, parse_url
from deploy.cloud_access.inboxes import HOLD_SECONDS, Inboxes, InboxFault, NoInbox, Received
from deploy.config import dotenv
from deploy.config.checkout import state_folder
from deploy.config.configured import Configured, add_configuration, configured
from deploy.config.running_dev import start_command
from deploy.config.slices import is_loopback
from deploy.history.audit import audited
from deploy.history.cloud_journal import closing
from deploy.history.local import running_ports
from deploy.history.state import TapPorts
from deploy.platforms.choice import add_platform, is_local, open_platform, same_platform
from deploy.requests import posting, send_options, signing
from deploy.requests.signed_samples import CannotSign, Keys, Sender, signed_request
from deploy.requests.sources import compiled_sources, standard_webhooks_secrets
from deploy.secrets.values import COMMENT, as_variables, random_values, secret_text
from deploy.terminal.command_line import CommandError, CommandParser, UsageError
from deploy.terminal.output import count_of, printable
from functions.receive.admission import requested_url
from functions.receive.source import Source, read_sources
from shared import claim_check, errors, http, store_ports, tap
from shared.did_you_mean import did_you_mean
from shared.event import Event, from_cloudevent
from shared.jsontext import list_at
from shared.ports import Blobs
from shared.secrets import variable_name
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.signature_scheme import SignatureScheme
from shared.times import rfc3339, unix_seconds

MAX_LEASES: Final = 1_000
RENEW_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 2.0
FORWARD_SECONDS: Final = 30.0
MARGIN_SECONDS: Final = 10.0
"""A copy that is handed out again within this time is not forwarded before: it might come twice."""
_NOT_FORWARDED: Final = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "forwarded", "hookchain-hops", "host"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "via"),
    }
)
_COUNT: Final = re.compile("[0-9]{1,9}")
_OF_PROXIES: Final = ("x-amzn-", "x-cloud-", "x-forwarded-")
"""The beginnings of headers that the way to the deployment has added."""


def main(arguments: list[str]) -> int:
    command = _command()
    targets = ("--forward", "--to-dev", "--for", "--allow-remote")
    command.reject_ignored(arguments, {"--stop": targets, "--to-dev": ("--forward", "--allow-remote")})
    options = command.parse_args(arguments)
    if is_local(options):
        command.error("argument --platform: must be gcp or aws: on this machine, `make dev` has every event")
    if options.subscription_project and options.platform != "gcp":
        command.error("argument --subscription-project: needs --platform gcp")
    if not (options.stop or options.to_dev or options.forward):
        command.error("one of --forward, --to-dev and --stop is needed")
    return run_command("listen", lambda: _run(options), InboxFault, ValueError)


def _command() -> CommandParser:
    command = parser("listen")
    add = command.add_argument
    add("--source", metavar="NAME", required=True, help="copy the requests to this source")
    add("--forward", metavar="URL", help="post the copies to this URL on this machine")
    add("--to-dev", action="store_true", help="post the copies to the source's URL of a running `make dev`")
    add("--as", dest="developer", metavar="NAME", default=_user(), help="set the name of the lease [your user name]")
    hours = tap.MAX_LEASE_SECONDS / 3_600
    add(
        "--for",
        dest="seconds",
        metavar="TIME",
        type=duration_option(f"{2 * tap.MAX_SKEW_SECONDS / 60:g}m", f"{hours:g}h"),
        default=tap.MAX_LEASE_SECONDS,
        help=f"how long the lease lasts if this machine sleeps [{hours:g}h]",
    )
    add("--allow-remote", action="store_true", help="allow a URL of another machine")
    add("--take-over", action="store_true", help="take the lease of another machine or user with the same name")
    add("--stop", action="store_true", help="end the lease, and remove the copies that wait")
    add("--subscription-project", metavar="ID", help="create the subscription in this project [the deployment's]")
    add_configuration(command, creates_env_file=True)
    add_platform(command)
    return command


def _user() -> str:
    """Return the user's name as far as a lease can have it."""
    with suppress(KeyError, OSError):
        plain = "".join(each if each.isascii() and each.isalnum() else " " for each in getpass.getuser().lower())
        return "-".join(plain.split())[:20].rstrip("-") or "developer"
    return "developer"


def _run(options: argparse.Namespace) -> int:
    if not tap.DEVELOPER.fullmatch(options.developer):
        rule = "must be 1 to 20 lower-case letters, digits and single dashes"
        raise UsageError(f"--as: {rule}; got {options.developer!r}")
    configuration = configured(options)
    source = _source(configuration, options.source)
    ports = open_platform(options, configuration.environ).tap()
    target = None if options.stop else _target(options, configuration, source)
    try:
        asyncio.run(_session(options, ports, target))
    except errors.Temporary as error:
        if error.code != "documents_unavailable":
            raise
        needs = "A lease needs `develop` in the deployed configuration, and the rights in deploy/README.md"
        raise CommandError(f"{error.detail}. {needs}") from error
    except KeyboardInterrupt:
        pass  # by Ctrl-C, which has ended the lease
    return DONE


def _source(configuration: Configured, name: str) -> Source:
    """Return the source. Raises UsageError if it is unknown, and CommandError if it is not under `develop`."""
    sources = compiled_sources(configuration.slices["receive"])
    if name not in sources:
        raise UsageError(f"there is no source {name!r}{did_you_mean(name, sources)}")
    developed = tap.read_tapped(configuration.slices["transform"])
    if name not in developed:
        advice = f"add it, `develop: {{sources: [{', '.join([*developed, name])}]}}`, and deploy"
        raise CommandError(f"source {name!r} is not under `develop` in the configuration: {advice}")
    [source] = read_sources({"sources": {name: sources[name]}}).values()
    return source


@dataclass(frozen=True, slots=True)
class Target:
    """The application that gets the copies.

    url         where they are posted
    signed_url  the URL that a signature covers; None: that which receive reconstructs, in `make dev`
    keys        what they are signed with
    is_signed   False if only the provider could sign them
    """

    source: Source
    url: str
    signed_url: str | None
    keys: Keys
    is_signed: bool = True

    def signed(self, request: http.Request, delivery_id: str) -> http.Request:
        """Return the request for the target, signed if need be. Raises ValueError, CannotSign and HookchainError."""
        aimed = posting.aim_request(request, self.url)
        if not self.is_signed:
            return aimed
        sender = Sender(self.keys, self._url_of, time.time(), delivery_id)
        return signed_request(aimed, self.source.auth, sender)

    def _url_of(self, request: http.Request) -> str:
        return self.signed_url or requested_url(request, self.source)


def _target(options: argparse.Namespace, configuration: Configured, source: Source) -> Target:
    """Return the target, and print what its application has to know. Raises CommandError, UsageError and ValueError."""
    url = _dev_url(source) if options.to_dev else str(options.forward)
    host = parse_url(url).host
    if not (is_loopback(host) or host.endswith(".localhost") or options.allow_remote):
        rule = "must be a URL of this machine, such as http://localhost:3000/in"
        raise UsageError(f"--forward: {rule}; got the host {host!r}. To allow it, add --allow-remote")
    signed_url = None if options.to_dev else url
    print(f"Forwarding to {printable(url)}")
    secrets_here = LocalSecrets(configuration, options.env_file, state_folder())
    lines: list[str] = []
    is_signed = False
    for auth in source.auth:
        try:
            lines.append(secrets_here.prepare(auth))
        except CannotSign as reason:
            lines.append(f"not signed by {auth.scheme}: {reason}")
        else:
            is_signed = True
        if signed_url and isinstance(auth, SignatureScheme) and auth.signs_url:
            lines.append(f"the signature covers the URL, so your application must verify it for {signed_url}")
    for line in dict.fromkeys(lines):
        print(f"  {printable(line)}")
    keys = Keys({**configuration.environ, **secrets_here.generated}, secrets_here.state)
    return Target(source, url, signed_url, keys, is_signed)


def _dev_url(source: Source) -> str:
    ports = running_ports(state_folder())
    if ports is None:
        raise CommandError(f"--to-dev: `{start_command(state_folder())}` does not run. Start it first")
    return f"http://localhost:{ports.receive}/{quote(source.name)}"


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    """The secrets with which copies are signed. What is missing is generated into the env file, as for `make dev`."""

    configuration: Configured
    env_file: Path
    state: Path
    generated: dict[str, str] = field(default_factory=dict)

    def prepare(self, auth: AuthScheme) -> str:
        """Return a line for the developer about the scheme. Raises CannotSign if only the provider can sign."""
        variable = variable_name(auth.secret)
        if auth.needs_key or auth.scheme in signing.BY_CERTIFICATE:
            raise CannotSign("only the provider has the key. Turn the verification off in your application")
        if signing.is_asymmetric(auth):
            if signing.read_private_key(self.state, auth.secret) is None:
                make_key(auth, self.env_file, self.state)
                self.generated.update(dotenv.read_dotenv(self.env_file))
            public_key = send_options.read_secret(auth.secret, self._environ)
            return f"signed with a key of this machine. Its public key for your application: {public_key}"
        if secret_text(auth.secret, self._environ) is None:
            self._generate(auth.secret)
            return f"signed with {variable}, which was generated into {self.env_file}. Give it to your application"
        return f"signed with {variable}. Your application needs the same secret"

    @property
    def _environ(self) -> Mapping[str, str]:
        return {**self.configuration.environ, **self.generated}

    def _generate(self, name: str) -> None:
        receive = self.configuration.slices["receive"]
        values = random_values([name], standard_webhooks_secrets(receive))
        values |= signing.generate_secrets([name], receive, self.state, secrets.token_bytes)
        dotenv.make_dotenv_private(self.env_file)
        dotenv.add_to_dotenv(self.env_file, as_variables(values), COMMENT)
        self.generated.update(as_variables(values))


# The lease


class LeaseLost(CommandError):
    """An error: another process has taken over the lease."""


@dataclass(slots=True)
class LeaseKeeper:
    """The lease of this process in the store. `version` is that of its document."""

    leases: store_ports.Documents
    lease: tap.Lease
    seconds: float
    takes_over: bool = False
    version: str = store_ports.NO_VERSION
    _unconfirmed: tap.Lease | None = None
    """The lease that was written last, as long as it is unknown whether the store has it; else None."""

    @property
    def ends_at(self) -> float:
        """Return when the lease ends at the latest; 0 if there is none."""
        return max(self.lease.until, self._unconfirmed.until if self._unconfirmed else 0.0)

    async def begin(self) -> None:
        """Write the lease, or take up the one that this user of this machine has. Raises CommandError."""
        now = time.time()
        earlier = await self.find()
        if earlier and earlier.is_open(now):
            self.lease = replace(self.lease, since=earlier.since)
        elif earlier:
            _print_gap(earlier.until, now)
        await self.renew()

    async def find(self) -> tap.Lease | None:
        """Return the lease that the store has by this name. Raises CommandError if it is another machine's."""
        found = await self.leases.get(tap.PARTITION, self.lease.name)
        earlier = tap.read_lease(found.id, found.text) if found else None
        if earlier and earlier.holder != self.lease.holder and not self.takes_over:
            until = f"until {_time(earlier.until)}, and what was copied for it waits for 7 days"
            advice = "Choose another name with --as, or add --take-over if it is yours"
            raise CommandError(f"{earlier.holder} has the lease {earlier.developer!r} {until}. {advice}")
        self.version = found.version if found else store_ports.NO_VERSION
        return earlier

    async def renew(self) -> None:
        """Extend the lease. Raises LeaseLost, Temporary, and CommandError if the clock of this machine is wrong."""
        await self._confirm()
        now = time.time()
        if self.lease.until and self.lease.until < now:
            _print_gap(self.lease.until, now)
        await self._write(now + self.seconds)
        try:
            _verify_clock(self.version, time.time())
        except CommandError:
            await self._write(unix_seconds(self.version))  # by this machine's clock, it might end hours later
            raise

    async def end(self) -> None:
        """End the lease if it was written, perhaps by a call that was cancelled. Raises LeaseLost and Temporary."""
        await self._confirm()
        now = time.time()
        if self.lease.until > now:
            await self._write(now)
        if self.lease.until:
            _say(f"The lease has ended. Copies end within {tap.REMEMBERED_SECONDS:g} s")

    async def _confirm(self) -> None:
        """Read whether the store has what was written last, if that is unknown. Raises Temporary."""
        if self._unconfirmed is None:
            return
        found = await self.leases.get(tap.PARTITION, self.lease.name)
        if found and found.text == self._unconfirmed.text:
            self.lease, self.version = self._unconfirmed, found.version

    async def _write(self, until: float) -> None:
        lease = replace(self.lease, until=until)
        expires_at = until + tap.KEPT_SECONDS
        if until > self.ends_at:
            self._unconfirmed = lease
        version = await self.leases.write(tap.PARTITION, lease.name, lease.text, self.version, expires_at)
        self._unconfirmed = None
        if version is None:
            raise LeaseLost(f"another `hookchain listen` uses the name {lease.developer!r}. Choose another with --as")
        self.lease, self.version = lease, version


def _verify_clock(version: str, now: float) -> None:
    """Raise CommandError if the clock differs too much from that of Firestore, whose versions are times.

    The lease would be ignored, or would end too early. AWS rejects requests with such times.
    """
    try:
        difference_seconds = now - unix_seconds(version)
    except ValueError:
        return
    if abs(difference_seconds) > tap.MAX_SKEW_SECONDS:
        side = "ahead of" if difference_seconds > 0 else "behind"
        minutes = abs(difference_seconds) / 60
        raise CommandError(f"the clock of this machine is {minutes:.0f} min {side} that of the cloud. Set it")


def _print_gap(ended_at: float, now: float) -> None:
    until = f"about {_time(now + tap.REMEMBERED_SECONDS)}"
    _say(f"Nothing was copied from {_time(ended_at)} to {until}: the lease had ended")


def _time(at: float) -> str:
    return f"{rfc3339(at)[:19]}Z"


def _say(line: str) -> None:
    print(printable(line), flush=True)


# The session


async def _session(options: argparse.Namespace, ports: TapPorts, target: Target | None) -> None:
    now = time.time()
    holder = f"{_user()}@{socket.gethostname()}"
    lease = tap.Lease(options.source, options.developer, holder, since=now, until=0.0)
    async with closing(ports.make_leases()) as leases, closing(ports.make_blobs()) as blobs:
        with contextlib.closing(ports.make_inboxes(options.subscription_project)) as inboxes:
            keeper = LeaseKeeper(leases, lease, options.seconds, options.take_over)
            where = same_platform(options).strip()
            if target is None:
                what = f"end the lease of {lease.source} as {lease.developer}, and remove its copies"
                with audited(state_folder(), where, "hookchain listen", what):
                    await _stop(keeper, inboxes)
                return
            what = f"copy requests to {lease.source} as {lease.developer} for {options.seconds / 3_600:g} h, renewed"
            _verify_place(lease, await _read_leases(leases), now)
            try:
                with audited(state_folder(), where, "hookchain listen", what):
                    await inboxes.create(lease.name)  # before the lease, so that no copy is lost
                    await keeper.begin()
                await _remove_old(leases, inboxes)  # after the clock was verified: it decides what is old
                await inboxes.create(lease.name)  # another `listen` removes an inbox without a lease
                await _forward_all(keeper, Courier(inboxes, blobs, lease.name, target))
            finally:
                await _end(keeper)


async def _end(keeper: LeaseKeeper) -> None:
    """End the lease. Raises CommandError, which says how long the lease lasts, if the store does not answer."""
    lasts = f"The lease was not ended, and lasts until {_time(keeper.ends_at)}"
    try:
        await keeper.end()
    except LeaseLost:
        pass  # somebody else has it
    except errors.Temporary as error:
        if not keeper.ends_at:
            return  # what has prevented the lease is raised
        advice = "To end it and remove the copies that wait, replace --forward or --to-dev by --stop"
        raise CommandError(f"{lasts}: {error.detail}. {advice}") from error
    except asyncio.CancelledError:  # a second Ctrl-C
        if keeper.ends_at:
            _say(lasts)
        raise


async def _forward_all(keeper: LeaseKeeper, courier: "Courier") -> None:
    """Forward copies, and renew the lease, until cancelled."""
    lease = keeper.lease
    begins = f"copies begin within {tap.REMEMBERED_SECONDS:g} s"
    _say(f"Listening to {lease.source} as {lease.developer}: {begins}. Press Ctrl-C to end the lease")
    tasks = [asyncio.create_task(_renew_forever(keeper)), asyncio.create_task(courier.run())]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()  # raises: neither ends by itself
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _renew_forever(keeper: LeaseKeeper) -> None:
    while True:
        await asyncio.sleep(min(RENEW_SECONDS, keeper.seconds / 3))
        try:
            await keeper.renew()
        except errors.Temporary as error:
            _say(f"The lease was not renewed, and ends at {_time(keeper.lease.until)}: {error.detail}")


async def _stop(keeper: LeaseKeeper, inboxes: Inboxes) -> None:
    """End the lease, and remove its inbox."""
    lease = keeper.lease
    await keeper.find()
    await keeper.leases.delete(tap.PARTITION, lease.name)
    await inboxes.remove(lease.name)
    _say(f"The lease {lease.developer!r} of {lease.source} has ended, and its copies are removed")


def _verify_place(own: tap.Lease, known: Sequence[tap.Lease], now: float) -> None:
    """Raise CommandError if too many others listen to the source."""
    others = [each for each in known if each.name != own.name]
    earlier = [each for each in known if each.name == own.name and each.is_open(now)]
    mine = [replace(each, until=now + 1) for each in earlier or [own]]
    if any(each.name == own.name for each in tap.served_leases([*others, *mine], now)):
        return
    names = ", ".join(each.developer for each in others if each.source == own.source and each.is_open(now))
    rule = f"{tap.MAX_LISTENERS} developers listen to {own.source} already ({names})"
    raise CommandError(f"{rule}. One of them must end their lease with Ctrl-C, or with --stop")


async def _read_leases(leases: store_ports.Documents) -> Sequence[tap.Lease]:
    """Return the leases that the store has, also those that have ended."""
    found = [tap.read_lease(each.id, each.text) for each in await leases.page(tap.PARTITION, MAX_LEASES)]
    return [each for each in found if each is not None]


async def _remove_old(leases: store_ports.Documents, inboxes: Inboxes) -> None:
    """Remove the leases whose copies are gone, and the inboxes without a lease, whoever had them.

    Also a lease that ends far too late: it gets nothing now, and would get copies in its last hours. Two clocks that
    differ never make a lease so long.
    """
    now = time.time()
    kept: set[str] = set()
    for each in await leases.page(tap.PARTITION, MAX_LEASES):
        lease = tap.read_lease(each.id, each.text)
        if lease and now - tap.KEPT_SECONDS < lease.until <= now + 2 * tap.MAX_LEASE_SECONDS:
            kept.add(each.id)
        else:
            await leases.delete(tap.PARTITION, each.id, each.version)
    for name in await inboxes.names():
        if name not in kept:
            await inboxes.remove(name)


class CannotForward(Exception):
    """The copy `copy_id` cannot be forwarded now."""

    def __init__(self, reason: str, copy_id: str) -> None:
        super().__init__(reason)
        self.copy_id = copy_id


@dataclass(slots=True)
class Courier:
    """The way of copies from the inbox `name` to the target."""

    inboxes: Inboxes
    blobs: Blobs
    name: str
    target: Target
    _is_away: bool = False
    """The application does not accept connections, which was printed."""
    _delayed: set[str] = field(default_factory=set)
    """The ids of the copies that could not be forwarded yet, each of which was printed once."""

    async def run(self) -> None:
        is_connected = is_there = True
        while True:
            try:
                if not is_there:
                    await self.inboxes.create(self.name)
                    _say("The inbox was removed, and was created again: copies that waited in it are lost")
                    is_there = True
                batch = await self.inboxes.receive(self.name)
                if not is_connected:
                    _say("Connected again")
                is_connected = True
                await self._forward_batch(batch, time.time() + HOLD_SECONDS - MARGIN_SECONDS)
            except NoInbox:
                is_there = False
                await asyncio.sleep(RETRY_SECONDS)
            except (OSError, errors.Temporary) as error:
                if is_connected:
                    reason = error.detail if isinstance(error, errors.Temporary) else type(error).__name__
                    _say(f"Copies cannot be fetched ({reason}): trying again")
                is_connected = False
                await asyncio.sleep(RETRY_SECONDS)

    async def _forward_batch(self, batch: Sequence[Received], until: float) -> None:
        for received in batch:
            missed = received.message.attributes.get(tap.MISSED, "")
            if _COUNT.fullmatch(missed):
                _say(f"{count_of(int(missed), 'request')} before this one could not be copied")
            try:
                while not await self._forward(received):
                    await asyncio.sleep(RETRY_SECONDS)
                    if time.time() > until:
                        return  # it is handed out again
            except CannotForward as error:  # the other copies need not wait for this one, which is handed out again
                if error.copy_id not in self._delayed:
                    self._delayed.add(error.copy_id)
                    _say(f"{error}: trying again")
                continue
            await self.inboxes.acknowledge(self.name, received)
            if time.time() > until:
                return

    async def _forward(self, received: Received) -> bool:
        """Return False if the application does not accept connections. Raises CannotForward."""
        try:
            copy = from_cloudevent(received.message.document())
            if copy.dataref is not None and not copy.dataref.startswith(tap.BLOB_PREFIX):
                raise ValueError(f"{copy.type} {copy.id[:8]}: the blob {copy.dataref!r} is no copy of a request")
            event = await claim_check.checked_out(copy, self.blobs)
            if event.rawbody is None and event.rawbase64 is None:
                rule = "its body was not copied: it is too large, or what must stay secret could not be masked"
                raise ValueError(f"{event.type} {event.id[:8]}: {rule}")
            request = self.target.signed(_request(event), event.deliveryid or f"msg_{event.id}")
        except errors.Temporary as error:  # the blob or a secret cannot be read
            raise CannotForward(f"{copy.type} {copy.id[:8]} cannot be forwarded ({error.detail})", copy.id) from error
        except (errors.HookchainError, CannotSign, ValueError, RecursionError) as error:
            detail = error.detail if isinstance(error, errors.HookchainError) else error
            _say(f"not forwarded: {detail}")
            return True
        began = time.perf_counter()
        try:
            answer = await asyncio.to_thread(posting.post_request, request, self.target.url, FORWARD_SECONDS)
        except ValueError as error:  # a header that HTTP does not allow
            _say(f"not forwarded: {error}")
            return True
        if isinstance(answer, NoResponse) and answer.code in ("unreachable", "untrusted"):
            if not self._is_away:
                _say(f"waiting for {self.target.url}: {answer.reason}")
            self._is_away = True
            return False
        self._is_away = False
        status = answer.code if isinstance(answer, NoResponse) else str(answer.status)
        milliseconds = (time.perf_counter() - began) * 1_000
        _say(f"{event.receivedat[:19]}Z  {event.type}  {event.id[:8]}  {status}  {milliseconds:.0f} ms")
        return True


def _request(event: Event) -> http.Request:
    pairs = list_at({"headers": json.loads(event.rawheaders or "[]")}, "headers")
    headers = [(str(pair[0]).lower(), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    kept = [pair for pair in headers if pair[0] not in _NOT_FORWARDED and not pair[0].startswith(_OF_PROXIES)]
    hops = ("hookchain-hops", str(event.hops + 1))  # ends a loop, if the application sends the event back
    return http.Request("POST", "/", "", (*kept, hops), tap.body_of(event))
