"""What the supervisor does beside watching its children: the sweep's clock, reloading, forgetting."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.config.dotenv import DotenvFault
from deploy.config.faults import ConfigFaults
from deploy.config.ports import HOST, function_url
from deploy.dev.supervisor.banner import news
from deploy.dev.supervisor.setup import CannotSend, Setup, files_named, set_up
from deploy.dev.supervisor.state_check import DAMAGED_MARK
from deploy.dev.supervisor.state_lock import require_there
from deploy.dev.supervisor.watch import Snapshot, changes, snapshot
from deploy.history.probe import ask
from deploy.secrets.generated import WeakSecret
from shared.cloud.local.blobs import purge_blobs
from shared.cloud.local.database import reason_of
from shared.cloud.local.journal_retention import newest_at, purge_journal
from shared.cloud.local.journal_schema import FILE_NAME
from shared.cloud.retention import DAY_SECONDS, blobs_seconds, retention_of
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.purge_clock import PurgeClock
from shared.settings import LOCAL_PROJECT, LOCAL_PUSH_ACCOUNT

if TYPE_CHECKING:
    from deploy.dev.supervisor.supervisor import Supervisor

SWEEP_SECONDS: Final = 1.0
SWEEP_TIMEOUT_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 1.0
TOPOLOGY_SECONDS: Final = 0.2
FORGET_SECONDS: Final = 3600.0


def of(supervisor: "Supervisor") -> list[Coroutine[None, None, None]]:
    duties = [sweep(supervisor), forget(supervisor), keep_state(supervisor)]
    return [*duties, reload(supervisor)] if supervisor.setup.options.reload else duties


async def sweep(supervisor: "Supervisor") -> None:
    """The scheduler's part: retries whose time has come. While notify is down nothing is due, and its end is told."""
    # Imported here: signing takes a tenth of a second to import, which the children now take to start.
    from deploy.dev.pubsub.push_tokens import PushTokens

    tokens, port = PushTokens(supervisor.setup.place.state), supervisor.setup.ports.notify
    while True:
        with contextlib.suppress(OSError):  # the state folder is gone, which keep_state tells, or full
            token = await asyncio.to_thread(tokens.token, LOCAL_PUSH_ACCOUNT, function_url(port))
            await ask(port, "POST", "/sweep", SWEEP_TIMEOUT_SECONDS, f"Authorization: Bearer {token}")
        await asyncio.sleep(SWEEP_SECONDS)


async def keep_state(supervisor: "Supervisor") -> None:
    """Until the state folder is taken away. Raises StateGone."""
    while True:
        require_there(supervisor.setup.place.state)
        await asyncio.sleep(WATCH_SECONDS)


async def forget(supervisor: "Supervisor") -> None:
    clock: PurgeClock | None = None
    while True:
        state, notify = supervisor.setup.place.state, supervisor.setup.configuration.slices["notify"]
        try:
            clock = clock or PurgeClock(await asyncio.to_thread(newest_at, state / FILE_NAME))
            if clock.ahead_seconds:
                years = f"{clock.ahead_seconds / 365 / DAY_SECONDS:.1f} years"
                supervisor.output.say("WARNING", f"the clock is {years} ahead: nothing is removed because of its age")
            await asyncio.to_thread(forget_old, state, notify, clock.now())
        except (sqlite3.Error, OSError) as error:  # busy, or the disk is full: what is old is a little older next time
            supervisor.output.say("WARNING", f"{state} keeps what is past its retention: {reason_of(error)}")
        await asyncio.sleep(FORGET_SECONDS)


def forget_old(state: Path, notify: JsonObject, now: float) -> None:
    """Mails too, which nobody asks for after so long. Large bodies, and what was answered to steps, rest together: as
    long as anything may ask for one of them.

    `notify` is its slice. Raises sqlite3.Error and OSError.
    """
    # Imported here: it is the emulated SendGrid's, and the children now take the time to start.
    from deploy.dev.sendgrid.mailbox import KEEP_SECONDS, Mailbox

    with closing(Mailbox(state)) as mailbox:
        mailbox.forget(now - KEEP_SECONDS)
    retention = retention_of(notify)
    purge_journal(state / FILE_NAME, now, retention)
    wanted = blobs_seconds(retention, notify)
    purge_blobs(state / "blobs", now - wanted)
    for path in state.glob(f"*{DAMAGED_MARK}*"):
        if path.stat().st_mtime < now - wanted:
            path.unlink()


async def ensure_topology(setup: Setup) -> None:
    """Topics and subscriptions, as a cloud account has them; again until they are there."""
    # Imported here: an HTTP client costs a quarter of a second, which the children now take to start.
    from deploy.dev.topology import ensure, topology

    ports = setup.ports
    resources = topology(LOCAL_PROJECT, "", ports.transform, ports.notify)
    while True:
        try:
            return await ensure(f"http://{HOST}:{ports.apis}", resources)
        except Temporary:  # the emulated APIs died just now, and are started again; the start has its own time limit
            await asyncio.sleep(TOPOLOGY_SECONDS)


async def reload(supervisor: "Supervisor") -> None:
    before = supervisor.seen
    while True:
        after = await asyncio.to_thread(look, supervisor)
        if changed := changes(before, after):
            # The configuration may name other files now: as they are before it is taken, or not there yet, so that what
            # changes meanwhile is seen the next time.
            named = await asyncio.to_thread(files_named, supervisor.setup)
            known = {**await asyncio.to_thread(snapshot, named), **after}
            await _take_changes(supervisor, changed)
            now = await asyncio.to_thread(look, supervisor)
            after = {path: known.get(path, at) for path, at in now.items() if path in known or path not in named}
        before = after
        await asyncio.sleep(WATCH_SECONDS)


def look(supervisor: "Supervisor") -> Snapshot:
    return snapshot([*supervisor.code_folders(), *_settings_files(supervisor.setup), *supervisor.refused])


def _settings_files(setup: Setup) -> tuple[Path, ...]:
    return (*setup.configuration.files, setup.options.env_file)


async def _take_changes(supervisor: "Supervisor", changed: tuple[Path, ...]) -> None:
    what = ", ".join(path.name for path in changed[:3]) + (" …" if len(changed) > 3 else "")
    setup = before = supervisor.setup
    # What mends a configuration that was refused may be code: a destination's module.
    if supervisor.refused or set(changed) & set(_settings_files(setup)):
        try:
            setup = await asyncio.to_thread(set_up, setup.options, setup.shell, setup.place)
        except (ConfigFaults, DotenvFault, WeakSecret, CannotSend) as fault:
            supervisor.output.say("ERROR", f"{what} changed; what runs is as before, because:\n{fault}")
            supervisor.refused, supervisor.faults = files_named(setup), str(fault)
            supervisor.tell_where()
            if not supervisor.affected(changed):
                return
        else:
            supervisor.refused, supervisor.faults = (), ""
    restarted = await supervisor.change(setup, supervisor.affected(changed))
    done = f"restarted {', '.join(restarted)}" if restarted else "nothing to restart"
    supervisor.output.say("NOTICE", f"{what} changed: {done}")
    if setup is not before:
        for line in news(before, setup):
            supervisor.output.say("NOTICE", line)
