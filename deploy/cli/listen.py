"""`hookchain listen`: bring a copy of each request that a deployment accepts to an application on this machine.

A lease asks transform for the copies, and is renewed while the command runs. The copies wait in an inbox of the
developer's own. Each is signed with a secret of this machine and posted. Then it is removed from the inbox.

lease   a developer's claim to copies of the requests to one source, until a time: `Lease` in shared/tap.py
holder  the user and the machine that have a lease
inbox   the subscription or queue in which the copies for one lease wait
"""

import argparse
import asyncio
import contextlib
import getpass
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.cli.command import DONE, duration_option, parser, run_command
from deploy.cli.listen_forwarding import Courier, Target, say
from deploy.cli.listen_lease import LeaseKeeper, LeaseLost, remove_old, verify_free_place
from deploy.cli.trigger import make_key
from deploy.client.hookchain.http import parse_url
from deploy.cloud_access.inboxes import Inboxes, InboxFault
from deploy.config import dotenv, platform_parts, running_dev
from deploy.config.checkout import state_folder
from deploy.config.configured import LoadedConfig, add_configuration, configured
from deploy.history import audit, local
from deploy.history.ports import TapPorts, closing_port
from deploy.platforms.choice import add_platform, is_local, open_platform, same_platform
from deploy.requests import send_options, sender_keys, signed_samples, signing
from deploy.requests.sources import compiled_sources
from deploy.secrets.local_secrets import COMMENT, secret_text
from deploy.secrets.needs import needs
from deploy.secrets.values import random_value
from deploy.terminal.command_line import CommandError, CommandParser, UsageError
from deploy.terminal.output import clock, printable
from functions.receive.source import Source, read_sources
from shared import errors, tap
from shared.did_you_mean import did_you_mean
from shared.secrets import variable_name
from shared.signatures import auth_scheme, signature_scheme

RENEW_SECONDS: Final = 60.0
"""The longest time between two renewals of the lease."""


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
    """Return the user's name as far as a lease can have it: `tap.DEVELOPER`. If nothing is left, it is `developer`."""
    with contextlib.suppress(KeyError, OSError):
        plain = "".join(each if each.isascii() and each.isalnum() else " " for each in getpass.getuser().lower())
        return "-".join(plain.split())[:20].rstrip("-") or "developer"
    return "developer"


def _run(options: argparse.Namespace) -> int:
    """Forward copies until Ctrl-C, or end the lease with --stop. Return DONE.

    Raises CommandError, HookchainError, and InboxFault and ValueError as `main` expects them.
    """
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
        advice = "A lease needs `develop` in the deployed configuration, and the rights in deploy/docs/listen.md"
        raise CommandError(f"{error.detail}. {advice}") from error
    except KeyboardInterrupt:
        pass  # by Ctrl-C, which has ended the lease
    return DONE


def _source(configuration: LoadedConfig, name: str) -> Source:
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


def _target(options: argparse.Namespace, configuration: LoadedConfig, source: Source) -> Target:
    """Return the target, and print how its application can verify the copies.

    Missing secrets are generated. Raises CommandError, UsageError, and ValueError for a URL that cannot be used.
    """
    url = _dev_url(source) if options.to_dev else str(options.forward)
    host = parse_url(url).host
    if not (platform_parts.is_loopback(host) or host.endswith(".localhost") or options.allow_remote):
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
        except signed_samples.CannotSign as reason:
            lines.append(f"not signed by {auth.scheme}: {reason}")
        else:
            is_signed = True
        if signed_url and isinstance(auth, signature_scheme.SignatureScheme) and auth.signs_url:
            lines.append(f"the signature covers the URL, so your application must verify it for {signed_url}")
    for line in dict.fromkeys(lines):
        print(f"  {printable(line)}")
    keys = signed_samples.Keys(secrets_here.environ, secrets_here.state)
    return Target(source, url, signed_url, keys, is_signed)


def _dev_url(source: Source) -> str:
    """Return the source's URL in the running `make dev`. Raises CommandError if none runs."""
    ports = local.running_ports(state_folder())
    if ports is None:
        raise CommandError(f"--to-dev: `{running_dev.start_command(state_folder())}` does not run. Start it first")
    return f"http://localhost:{ports.receive}/{quote(source.name)}"


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    """The secrets with which copies are signed. What is missing is generated into the env file, as for `make dev`.

    state  the folder with the private keys of this machine
    """

    configuration: LoadedConfig
    env_file: Path
    state: Path
    _generated: dict[str, str] = field(default_factory=dict, init=False)
    """By variable, the values that were generated since the configuration was read."""

    def prepare(self, auth: auth_scheme.AuthScheme) -> str:
        """Return a line for the developer about the scheme. Raises CannotSign if only the provider can sign."""
        variable = variable_name(auth.secret)
        if auth.needs_key or auth.scheme in signing.BY_CERTIFICATE:
            rule = "only the provider has the key. Turn the verification off in your application"
            raise signed_samples.CannotSign(rule)
        if sender_keys.is_asymmetric(auth):
            if sender_keys.read_private_key(self.state, auth.secret) is None:
                make_key(auth, self.env_file, self.state)
                self._generated[variable] = dotenv.read_dotenv(self.env_file)[variable]
            public_key = send_options.read_secret(auth.secret, self.environ)
            return f"signed with a key of this machine. Its public key for your application: {public_key}"
        if secret_text(auth.secret, self.environ) is None:
            self._generate(auth.secret)
            return f"signed with {variable}, which was generated into {self.env_file}. Give it to your application"
        return f"signed with {variable}. Your application needs the same secret"

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the environment of the configuration, with the generated values."""
        return {**self.configuration.environ, **self._generated}

    def _generate(self, name: str) -> None:
        all_needs = needs(self.configuration.slices, self.environ)
        schemes = [scheme for need in all_needs if need.name == name for scheme in need.schemes]
        value = sender_keys.generate_value(name, schemes, self.state, secrets.token_bytes(sender_keys.KEY_BYTES))
        variables = {variable_name(name): value or random_value()}
        dotenv.make_dotenv_private(self.env_file)
        dotenv.add_to_dotenv(self.env_file, variables, COMMENT)
        self._generated.update(variables)


# The session


async def _session(options: argparse.Namespace, ports: TapPorts, target: Target | None) -> None:
    """Forward copies to the target until cancelled. Without a target, end the lease and remove its copies.

    Raises CommandError, Temporary and InboxFault.
    """
    holder = f"{_user()}@{socket.gethostname()}"
    lease = tap.Lease(options.source, options.developer, holder, since=time.time(), until=0.0)
    async with closing_port(ports.make_leases()) as leases, closing_port(ports.make_blobs()) as blobs:
        with contextlib.closing(ports.make_inboxes(options.subscription_project)) as inboxes:
            keeper = LeaseKeeper(leases, lease, options.seconds, options.take_over)
            where = same_platform(options).strip()
            if target is None:
                await _stop(keeper, inboxes, where)
                return
            await verify_free_place(lease, leases, lease.since)
            try:
                await _begin(keeper, inboxes, where)
                await _forward_all(keeper, Courier(inboxes, blobs, lease.name, target))
            finally:
                await _end(keeper)


async def _begin(keeper: LeaseKeeper, inboxes: Inboxes, where: str) -> None:
    """Create the inbox, write the lease, and remove what old leases left. `where` is the platform in the audit log."""
    lease = keeper.lease
    what = f"copy requests to {lease.source} as {lease.developer} for {keeper.seconds / 3_600:g} h, renewed"
    with audit.audited(state_folder(), where, "hookchain listen", what):
        await inboxes.create(lease.name)  # before the lease, so that no copy is lost
        await keeper.begin()
    await remove_old(keeper.leases, inboxes)  # after the clock was verified: it decides what is old
    # Once more: before the lease was written, the `remove_old` of another `listen` may have removed the inbox.
    await inboxes.create(lease.name)


async def _end(keeper: LeaseKeeper) -> None:
    """End the lease, if this process still has it.

    If the store does not answer, raises CommandError, which says how long the lease lasts. If no lease can have been
    written, returns: the error that prevented it is being raised already.
    """
    try:
        await keeper.end()
    except LeaseLost:
        pass  # somebody else has it
    except errors.Temporary as error:
        if keeper.ends_at:
            advice = "To end it and remove the copies that wait, replace --forward or --to-dev by --stop"
            raise CommandError(f"{_lasting_text(keeper)}: {error.detail}. {advice}") from error
    except asyncio.CancelledError:  # a second Ctrl-C
        if keeper.ends_at:
            say(_lasting_text(keeper))
        raise


def _lasting_text(keeper: LeaseKeeper) -> str:
    return f"The lease was not ended, and lasts until {clock(keeper.ends_at)}"


async def _forward_all(keeper: LeaseKeeper, courier: Courier) -> None:
    """Forward copies, and renew the lease, until cancelled."""
    lease = keeper.lease
    begins = f"copies begin within {tap.REMEMBERED_SECONDS:g} s"
    say(f"Listening to {lease.source} as {lease.developer}: {begins}. Press Ctrl-C to end the lease")
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
    """Renew the lease until cancelled. Raises LeaseLost, and CommandError as `renew` does.

    A third of a short lease leaves two more tries before its end.
    """
    while True:
        await asyncio.sleep(min(RENEW_SECONDS, keeper.seconds / 3))
        try:
            await keeper.renew()
        except errors.Temporary as error:
            say(f"The lease was not renewed, and ends at {clock(keeper.lease.until)}: {error.detail}")


async def _stop(keeper: LeaseKeeper, inboxes: Inboxes, where: str) -> None:
    """Delete the lease of this user on this machine, with --take-over also another one's, and remove its inbox.

    Raises CommandError if it is another one's, and Temporary and InboxFault.
    """
    lease = keeper.lease
    what = f"end the lease of {lease.source} as {lease.developer}, and remove its copies"
    with audit.audited(state_folder(), where, "hookchain listen", what):
        await keeper.adopt_stored()  # raises if it is another one's
        await keeper.leases.delete(tap.PARTITION, lease.name)
        await inboxes.remove(lease.name)
        say(f"The lease {lease.developer!r} of {lease.source} has ended, and its copies are removed")
