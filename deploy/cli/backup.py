"""`hookchain backup` and `hookchain restore`: the state of this machine in one file, and back."""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.cli.command import DONE, parser, run_command
from deploy.cli.records import ids_note
from deploy.config import checkout, running_dev
from deploy.dev import backup as backups
from deploy.dev.caught import open_caught
from deploy.dev.supervisor.state_folder import locked
from deploy.history import forget, forget_tenant, local, local_erasure
from deploy.platforms.choice import add_state
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import count_of
from shared import jsontext, times
from shared.cloud.local.ledger import FILE_NAME as LEDGER


def backup(arguments: list[str]) -> int:
    command = parser("backup")
    command.add_argument("file", metavar="FILE", type=Path, help="write the backup to this file, or replace it")
    add_state(command)
    options = command.parse_args(arguments)
    return run_command("backup", lambda: _backup(options), sqlite3.Error)


def _backup(options: argparse.Namespace) -> int:
    """Write the backup and print which secrets a restore needs. Return DONE. Raises CommandError and OSError."""
    state: Path = options.state
    if running_dev.read_aws_environ(state) is not None:
        raise CommandError("the state of `make dev PLATFORM=aws` cannot be backed up")
    if not (state / LEDGER).is_file():
        raise CommandError(f"{state} has no deliveries to back up. Name another folder with --state")
    file: Path = options.file
    if file.exists() and not file.is_file():  # the backup would take the place of /dev/null
        raise CommandError(f"{file}: must be the name of a file; got a folder, a pipe or a device")
    if not file.absolute().parent.is_dir():
        raise CommandError(f"{file}: must be in a folder that exists")
    environ = checkout.environ_with(checkout.env_file(state))
    manifest = backups.write_backup(state, file.absolute(), time.time(), environ)
    print(f"{file}: {count_of(file.stat().st_size, 'byte')}, the state of {times.rfc3339(manifest.created_at)}")
    if manifest.secrets:
        print(f"It has no secret. A restore needs these: {', '.join(manifest.secrets)}")
    return DONE


def restore(arguments: list[str]) -> int:
    command = parser("restore")
    command.add_argument("file", metavar="FILE", type=Path, help="read the backup from this file")
    add_state(command)
    options = command.parse_args(arguments)
    return run_command("restore", lambda: _restore(options), sqlite3.Error)


def _restore(options: argparse.Namespace) -> int:
    """Make the restored state in a folder of its own, then put it in the place of the old one.

    What was forgotten since the backup is forgotten first: the deliveries that will be made again are counted without
    it. Until the last step, the old state is unchanged, so a restore that fails can be repeated.
    """
    state: Path = options.state.resolve()  # a link to a folder on another disk stays
    now = time.time()
    if not options.file.is_file():
        rule = "must be a file" if options.file.exists() else "does not exist"
        raise CommandError(f"{options.file}: {rule}")
    aside = state.with_name(f"{state.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")
    # On the same disk as the state. The state folder is made only for a file that is a backup.
    folder = next(each for each in state.parents if each.is_dir())
    with tempfile.TemporaryDirectory(prefix=f".{state.name}-", dir=folder) as work:
        restored = Path(work, "state")
        restored.mkdir(mode=0o700)
        manifest = backups.read_backup(options.file, restored)
        with locked(state, "hookchain restore FILE"):
            print(f"The state of {times.rfc3339(manifest.created_at)}")
            _forget_again(restored, backups.forgotten_since(state, manifest.created_at))
            _end_access(state, restored)
            _print_repeats(state, restored)
            if not (state / LEDGER).is_file():
                print("The old state is gone: repeat each `hookchain forget` since then.")
            backups.put_in_place(restored, state, aside)
    if aside.exists():
        print(f"The old state is kept in {aside}. Delete it when you do not need it any more.")
    print(f"Secrets that it needs: {', '.join(manifest.secrets) or 'none'}")
    print("Start `hookchain serve`, and look at `hookchain status`. To start the deliveries: hookchain resume --all")
    return DONE


def _end_access(old: Path, restored: Path) -> None:
    """End the access to the API for subscribers that ended after the backup, and print which."""
    deleted = backups.end_access(old, restored)
    if deleted is None:
        print("API keys that were deleted since then are valid again: look at `hookchain api-keys list`.")
    elif deleted:
        print(f"Deleted again: {count_of(deleted, 'API key')}")


def _print_repeats(old: Path, restored: Path) -> None:
    """Print how many deliveries that were made after the backup will be made again."""
    waiting = backups.waiting_in(restored)
    deliveries = count_of(len(waiting.deliveries), "delivery", "deliveries")
    unrouted = f" and those of {count_of(len(waiting.events), 'event')} without routes yet" if waiting.events else ""
    print(f"It will make {deliveries}{unrouted}, which waited at that time.")
    repeats = backups.repeated_in(old, restored, waiting)
    if repeats is None:
        most = f"up to {len(waiting.deliveries):,}{unrouted}"
        print(f"The old state cannot be read: of these, {most} were made after the backup and will be made again.")
    else:
        print(f"Of these, {repeats.at_start:,} were made after the backup and will be made again.")
    if waiting.held:
        held = count_of(len(waiting.held), "more delivery is held", "more deliveries are held")
        made = f"up to {len(waiting.held):,}" if repeats is None else f"{repeats.at_release:,}"
        print(
            f"{held}. Of these, {made} were made after the backup: they will be made again if you resume or release "
            "their destination."
        )
    if missing := backups.missing_events(old, restored):
        print(f"{count_of(missing, 'event')} arrived after the backup, and are not in it.")


def _forget_again(restored: Path, forgotten: Sequence[jsontext.JsonObject]) -> None:
    """Erase in the restored state what was erased after the backup, and print each erasure."""
    for each in forgotten:
        events = [str(id) for id in jsontext.list_at(each, "events")]
        tenant = str(each.get("tenant", ""))
        at = times.rfc3339(float(str(each["at"])))
        asyncio.run(_erase(restored, events, tenant))
        erased = f"the tenant {tenant}" if tenant else f"{count_of(len(events), 'event')}: {ids_note(events)}"
        print(f"Forgotten again, as at {at}: {erased}")
        local_erasure.add_forgotten(restored, each)


async def _erase(folder: Path, events: Sequence[str], tenant: str) -> None:
    """Erase the events, or the tenant if it is named."""
    now = time.time()
    with open_caught(folder) as mails, local.open_local_state(folder) as state:
        if tenant:
            async with forget_tenant.open_tenant_forgetter(state, mails) as tenant_forgetter:
                await tenant_forgetter.erase(await tenant_forgetter.search(tenant), now)
        else:
            backups.drop_messages(folder, events)
            async with forget.open_forgetter(state, mails) as forgetter:
                await forgetter.erase([await forgetter.search(each) for each in events], now)
        state.rewrite_files()
