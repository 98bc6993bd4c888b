"""The work beside the processes: the sweep, the check of the state folder, and the deletion of old data."""

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.config import running_dev, slices
from deploy.dev.probe import request_status
from deploy.dev.supervisor import state_folder
from deploy.dev.supervisor.supervisor import Supervisor
from deploy.history.local_retention import needed_blobs, newest_at, purge_journal
from shared import errors, jsontext, settings
from shared.cloud.local import blobs, database, documents, journal
from shared.retention import DAY_SECONDS, PurgeClock, retention_of

SWEEP_SECONDS: Final = 1.0
SWEEP_TIMEOUT_SECONDS: Final = 60.0
STATE_SECONDS: Final = 1.0
PURGE_SECONDS: Final = 3600.0


async def sweep(supervisor: Supervisor) -> None:
    """Call notify's sweep every second, as a cloud's scheduler does every minute.

    A call that notify does not answer is not repeated: the next one is due a second later.
    """
    # Imported here: signing takes 0.1 s to import, and the children use that time to start.
    from deploy.dev.pubsub.push_tokens import PushTokens

    tokens = PushTokens(supervisor.setup.folders.state)
    port = supervisor.setup.ports.notify
    audience = running_dev.function_url(port)
    while True:
        if not supervisor.setup.is_paused:
            with contextlib.suppress(OSError):  # the state folder is full, or gone, which watch_state reports
                token = await asyncio.to_thread(tokens.token, settings.LOCAL_PUSH_ACCOUNT, audience)
                await request_status(port, "POST", "/sweep", SWEEP_TIMEOUT_SECONDS, f"Authorization: Bearer {token}")
        await asyncio.sleep(SWEEP_SECONDS)


async def watch_state(supervisor: Supervisor) -> None:
    """Check every second that the state folder and the reaper exist, and resume after `hookchain resume --all`.

    Raises StateFault if the folder was removed.
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
            clock = clock or PurgeClock(await asyncio.to_thread(newest_at, state / journal.FILE_NAME))
            if clock.ahead_seconds:
                years = f"{clock.ahead_seconds / 365 / DAY_SECONDS:.1f} years"
                supervisor.output.say("WARNING", f"The clock is {years} ahead; nothing is deleted because of its age")
            await asyncio.to_thread(purge_state, state, notify, clock.now())
        except (sqlite3.Error, OSError, errors.Temporary) as error:  # busy, or the disk is full: the next hour will do
            reason = error.detail if isinstance(error, errors.Temporary) else database.reason_of(error)
            supervisor.output.say("WARNING", f"{state} still has what is past its retention: {reason}")
        await asyncio.sleep(PURGE_SECONDS)


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
    kept_seconds = slices.blobs_seconds(retention, notify)
    blobs.purge_blobs(state / "blobs", now - kept_seconds, needed_blobs(state))
    for path in state.glob(f"*{state_folder.DAMAGED_MARK}*"):
        if path.stat().st_mtime < now - kept_seconds:
            path.unlink()
