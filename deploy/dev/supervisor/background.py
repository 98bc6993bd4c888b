"""The supervisor's background tasks: the sweep's clock, retention, the emulated bus's topics and subscriptions."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.config.running_dev import HOST, function_url
from deploy.config.slices import blobs_seconds
from deploy.dev.probe import request_status
from deploy.dev.supervisor.reload import reload
from deploy.dev.supervisor.setup import Setup
from deploy.dev.supervisor.state_folder import DAMAGED_MARK, require_state_folder
from deploy.history.local_retention import needed_blobs, newest_at, purge_journal
from deploy.requests.sources import compiled_sources
from shared.cloud.local.blobs import purge_blobs
from shared.cloud.local.database import reason_of
from shared.cloud.local.documents import FILE_NAME as DOCUMENTS_FILE
from shared.cloud.local.documents import purge_documents
from shared.cloud.local.journal import FILE_NAME
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from shared.retention import DAY_SECONDS, PurgeClock, retention_of
from shared.settings import LOCAL_PROJECT, LOCAL_PUSH_ACCOUNT

if TYPE_CHECKING:
    from deploy.dev.supervisor.supervisor import Supervisor

SWEEP_SECONDS: Final = 1.0
SWEEP_TIMEOUT_SECONDS: Final = 60.0
STATE_SECONDS: Final = 1.0
TOPOLOGY_SECONDS: Final = 0.2
PURGE_SECONDS: Final = 3600.0


def background_tasks(supervisor: "Supervisor") -> list[Coroutine[None, None, None]]:
    tasks = [purge(supervisor), watch_state(supervisor)]
    if not supervisor.setup.is_aws:  # there notify's process is its scheduler too
        tasks.append(sweep(supervisor))
    return [*tasks, reload(supervisor)] if supervisor.setup.options.reload else tasks


async def sweep(supervisor: "Supervisor") -> None:
    """Call notify's sweep as the scheduler does. While notify is down nothing is due, and its end is logged."""
    # Imported here: signing takes 0.1 s to import, and the children use that time to start.
    from deploy.dev.pubsub.push_tokens import PushTokens

    tokens, port = PushTokens(supervisor.setup.folders.state), supervisor.setup.ports.notify
    while True:
        with contextlib.suppress(OSError):  # the state folder is full, or gone, which watch_state reports
            token = await asyncio.to_thread(tokens.token, LOCAL_PUSH_ACCOUNT, function_url(port))
            await request_status(port, "POST", "/sweep", SWEEP_TIMEOUT_SECONDS, f"Authorization: Bearer {token}")
        await asyncio.sleep(SWEEP_SECONDS)


async def watch_state(supervisor: "Supervisor") -> None:
    """Wait until the state folder is removed. Raises StateGone."""
    while True:
        require_state_folder(supervisor.setup.folders.state)
        await asyncio.sleep(STATE_SECONDS)


async def purge(supervisor: "Supervisor") -> None:
    """Delete what is past its retention, every hour."""
    clock: PurgeClock | None = None
    while True:
        state, notify = supervisor.setup.folders.state, supervisor.setup.configuration.slices["notify"]
        try:
            clock = clock or PurgeClock(await asyncio.to_thread(newest_at, state / FILE_NAME))
            if clock.ahead_seconds:
                years = f"{clock.ahead_seconds / 365 / DAY_SECONDS:.1f} years"
                supervisor.output.say("WARNING", f"The clock is {years} ahead; nothing is deleted because of its age")
            await asyncio.to_thread(purge_state, state, notify, clock.now())
        except (sqlite3.Error, OSError, Temporary) as error:  # busy, or the disk is full: the next hour will do
            reason = error.detail if isinstance(error, Temporary) else reason_of(error)
            supervisor.output.say("WARNING", f"{state} still has what is past its retention: {reason}")
        await asyncio.sleep(PURGE_SECONDS)


def purge_state(state: Path, notify: JsonObject, now: float) -> None:
    """Delete from the state folder what is past its retention.

    Large bodies and stored answers to steps stay for as long as anything can ask for one of them, and a large body also
    while a delivery that is pending or held needs it, or a dead letter. A caught mail or row has what an event's body
    has, and is kept as long. `notify` is its slice. Raises sqlite3.Error, OSError and Temporary.
    """
    # Imported here: it belongs to the emulated services, and the children use that time to start.
    from deploy.dev.caught import open_caught

    retention = retention_of(notify)
    with open_caught(state) as caught:
        caught.purge(now - retention.bodies_seconds)
    purge_journal(state / FILE_NAME, now, retention)
    if (documents := state / DOCUMENTS_FILE).is_file():
        purge_documents(documents, now)
    kept_seconds = blobs_seconds(retention, notify)
    purge_blobs(state / "blobs", now - kept_seconds, needed_blobs(state))
    for path in state.glob(f"*{DAMAGED_MARK}*"):
        if path.stat().st_mtime < now - kept_seconds:
            path.unlink()


def buses_of(setup: Setup) -> list[Json]:
    """Return what the configuration says of the buses of its sources."""
    sources = compiled_sources(setup.configuration.slices["receive"])
    return [[name, each["bus"]] for name, each in sources.items() if isinstance(each, dict) and "bus" in each]


async def ensure_topology(setup: Setup) -> None:
    """Create the topics and subscriptions, as a cloud account has them; retry until that succeeds.

    The local AWS makes its own before it answers.
    """
    if setup.is_aws:
        return None
    # Imported here: an HTTP client takes 0.25 s to import, and the children use that time to start.
    from deploy.dev.emulated_topics import bus_topology, ensure, remove_others, topology

    ports, url = setup.ports, f"http://{HOST}:{setup.ports.apis}"
    brought = bus_topology(LOCAL_PROJECT, ports.receive, setup.configuration.slices["receive"])
    resources = topology(LOCAL_PROJECT, "", ports.transform, ports.notify) + brought
    while True:
        try:
            await ensure(url, resources)
            return await remove_others(url, LOCAL_PROJECT, resources)
        except Temporary:  # the emulated APIs have just died and are restarting; the start has its own time limit
            await asyncio.sleep(TOPOLOGY_SECONDS)
