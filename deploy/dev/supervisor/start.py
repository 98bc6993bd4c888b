"""The start of `hookchain dev` and `hookchain serve`: the checks, then the supervisor with its background work.

The background work is the sweep, the check of the state folder, and the deletion of old data, besides the reload.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from deploy.config import checkout, kept_bodies, local_ports, running_dev
from deploy.config.probe import request_status
from deploy.dev.aws import environments
from deploy.dev.supervisor import damaged_files, runner, state_folder
from deploy.dev.supervisor.options import Options, env_file_in, parse_options
from deploy.dev.supervisor.reloader import Reloader
from deploy.dev.supervisor.setup import SETUP_FAULTS, Setup, make_folders, set_up
from deploy.dev.supervisor.supervisor import FindWarnings, Supervisor, Work
from deploy.history.local_retention import needed_blobs, newest_at, purge_journal
from shared import delivery, errors, jsontext, settings
from shared.cloud.local import blobs, database, documents, journal, ledger
from shared.retention import DAY_SECONDS, PurgeClock, retention_of

START_FAULTS: Final = (*SETUP_FAULTS, local_ports.PortsTaken)
"""The faults that end a start with their text, and without a traceback."""
SWEEP_SECONDS: Final = 1.0
SWEEP_TIMEOUT_SECONDS: Final = 60.0
STATE_SECONDS: Final = 1.0
PURGE_SECONDS: Final = 3600.0
UMASK: Final = 0o077
"""Only their user may read the files that this process and its children create."""


def main(arguments: list[str], find_warnings: FindWarnings) -> int:
    return start(lambda: _options(arguments), find_warnings)


def _options(arguments: list[str]) -> Options:
    environ = checkout.environ_with(env_file_in(arguments, os.environ, checkout.ROOT))
    return parse_options(arguments, environ, checkout.ROOT, sys.stdout.isatty())


def start(read_options: Callable[[], Options], find_warnings: FindWarnings) -> int:
    """Run until a signal arrives, and return the exit code. `read_options` may raise DotenvFault."""
    began_at = time.monotonic()
    os.umask(UMASK)
    try:
        options = read_options()
        with state_folder.locked(options.state, options.command):
            _run(options, began_at, find_warnings)
    except START_FAULTS as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _run(options: Options, began_at: float, find_warnings: FindWarnings) -> None:
    if options.platform == "aws":
        environments.find_tools()  # raises CommandError
    local_ports.require_free(options.port_base, options.command)
    state_warnings: Sequence[str] = ()
    if options.production:
        damaged_files.require_undamaged(options.state)
    else:
        state_folder.require_development(options.state)
        state_warnings = damaged_files.set_aside_damaged(options.state, time.time())
    damaged_files.require_known_files(options.state, options.command)
    folders = make_folders(options, checkout.ROOT)
    with runner.ReaperLink(folders.sockets) as link:
        setup = set_up(options, dict(os.environ), folders)
        if options.production:
            state_folder.claim_for_production(options.state, options.production)
        asyncio.run(_supervise(setup, link, began_at, find_warnings, state_warnings))


async def _supervise(
    setup: Setup, link: runner.ReaperLink, began_at: float, find_warnings: FindWarnings, state_warnings: Sequence[str]
) -> None:
    supervisor = Supervisor(setup, link, began_at, find_warnings)
    for warning in state_warnings:
        supervisor.output.say("WARNING", warning)
    reloader = Reloader(supervisor)
    works: list[Work] = [partial(purge_hourly, supervisor), partial(watch_state, supervisor)]
    if not setup.is_aws:  # on the local AWS, notify's process calls the sweep itself
        works.append(partial(sweep, supervisor))
    if setup.options.production:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.request)
        works.append(reloader.reload_at_requests)
    if setup.options.reload:
        works.append(reloader.watch_files)
    await supervisor.run(works)


async def sweep(supervisor: Supervisor) -> None:
    """Call notify's sweep every second, as a cloud's scheduler does every minute.

    A call that notify does not answer is not repeated: the next one is due a second later.
    """
    # Imported here: signing takes 0.1 s to import, and the children use that time to start.
    from deploy.dev.pubsub.push_tokens import PushTokens

    tokens = PushTokens(supervisor.setup.folders.state)
    port = supervisor.setup.ports.notify
    audience = local_ports.function_url(port)
    while True:
        if not supervisor.setup.is_paused:
            with contextlib.suppress(OSError):  # the state folder is full, or gone, which watch_state reports
                token = await asyncio.to_thread(tokens.token, settings.LOCAL_PUSH_ACCOUNT, audience)
                await request_status(port, "POST", "/sweep", SWEEP_TIMEOUT_SECONDS, f"Authorization: Bearer {token}")
        await asyncio.sleep(SWEEP_SECONDS)


async def watch_state(supervisor: Supervisor) -> None:
    """Check every second that the state folder and the reaper exist, and resume after `hookchain resume --all`.

    Raises CommandError if the folder was removed.
    """
    while True:
        supervisor.link.require_reaper()
        setup = supervisor.setup
        state_folder.require_state_folder(setup.folders.state)
        if setup.is_paused and not running_dev.is_paused(setup.folders.state):
            await supervisor.change(replace(setup, is_paused=False))
            supervisor.output.say("NOTICE", "Resumed: what waited since the restore is delivered")
        await asyncio.sleep(STATE_SECONDS)


async def purge_hourly(supervisor: Supervisor) -> None:
    """Delete data past its retention, every hour."""
    clock: PurgeClock | None = None
    while True:
        state = supervisor.setup.folders.state
        notify = supervisor.setup.configuration.slices["notify"]
        try:
            clock = clock or PurgeClock(await asyncio.to_thread(newest_at, state))
            if clock.ahead_seconds:
                years = f"{clock.ahead_seconds / 365 / DAY_SECONDS:.1f} years"
                supervisor.output.say("WARNING", f"The clock is {years} ahead; nothing is deleted because of its age")
            await asyncio.to_thread(purge_state, state, notify, clock.now())
            await purge_deliveries(state, clock.now())
        except (sqlite3.Error, OSError, errors.Temporary) as error:  # busy, or the disk is full: the next hour will do
            reason = error.detail if isinstance(error, errors.Temporary) else database.reason_of(error)
            supervisor.output.say("WARNING", f"{state} still has what is past its retention: {reason}")
        await asyncio.sleep(PURGE_SECONDS)


async def purge_deliveries(state: Path, now: float) -> None:
    """Delete the deliveries that need not be remembered any more, in batches, so that a stop waits for one batch at
    most.

    Raises sqlite3.Error and OSError.
    """
    purge = partial(ledger.purge_deliveries, state / ledger.FILE_NAME, now - delivery.REMEMBERED_SECONDS)
    deleted = await asyncio.to_thread(purge)
    while deleted:
        await asyncio.sleep(ledger.PURGE_PAUSE_SECONDS)
        deleted = await asyncio.to_thread(purge)


def purge_state(state: Path, notify: jsontext.JsonObject, now: float) -> None:
    """Delete data past its retention from the state folder. `notify` is the slice of notify.

    A large body is kept while a retry, a held delivery or a dead letter may need it. A caught mail or row contains an
    event's body, so it is kept as long as one. Raises sqlite3.Error, OSError and Temporary.
    """
    # Imported here: it belongs to the emulated services, and the children use that time to start.
    from deploy.dev.caught import open_caught

    retention = retention_of(notify)
    with open_caught(state) as caught:
        caught.purge(now - retention.bodies_seconds)
    purge_journal(state / journal.FILE_NAME, now, retention)
    if (document_file := state / documents.FILE_NAME).is_file():
        documents.purge_documents(document_file, now)
    kept_seconds = kept_bodies.blobs_seconds(retention, notify)
    blobs.purge_blobs(state / "blobs", now - kept_seconds, needed_blobs(state))
    for path in state.glob(f"*{damaged_files.DAMAGED_MARK}*"):
        if path.stat().st_mtime < now - kept_seconds:
            path.unlink()
