"""The bus of the `hookchain dev` that runs here, or of another emulator; never Google's own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from deploy.config.dev_file import read_dev_file
from deploy.config.ports import DEFAULT_BASE, HOST, Ports, ports_from
from deploy.history.state import StateFault
from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.tokens import no_authorization
from shared.settings import LOCAL_PROJECT, read_settings

CONNECT_SECONDS: Final = 2.0


@asynccontextmanager
async def local_bus(state: Path, environ: Mapping[str, str]) -> AsyncIterator[PubSubBus]:
    """Raises StateFault where nothing answers, before anything is marked as sent."""
    settings = read_settings(environ)
    host = settings.emulator_host or own_host(state, environ)
    await _require_answer(host)
    if settings.emulator_host:
        bus = PubSubBus(f"http://{host}", settings.project, settings.topic_prefix, no_authorization)
    else:  # whatever project and prefix the shell speaks of, `hookchain dev` has its own
        bus = PubSubBus(f"http://{host}", LOCAL_PROJECT, "", no_authorization)
    try:
        yield bus
    finally:
        bus.close()


async def _require_answer(host: str) -> None:
    name, _, port = host.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(name.strip("[]"), int(port))
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise StateFault(f"the bus does not answer at {host}: start `make dev`, then try again") from error
    writer.close()


def own_host(state: Path, environ: Mapping[str, str]) -> str:
    """As the `hookchain dev` of this state folder says while it runs, else as PORT_BASE has it."""
    return f"{HOST}:{own_ports(state, environ).apis}"


def own_ports(state: Path, environ: Mapping[str, str]) -> Ports:
    """As the `hookchain dev` of this state folder says while it runs, else as PORT_BASE has them."""
    base = environ.get("PORT_BASE", "")
    return told_ports(state) or ports_from(int(base) if base.isdecimal() else DEFAULT_BASE)


def told_ports(state: Path) -> Ports | None:
    """None where no `hookchain dev` is up."""
    document = read_dev_file(state)
    ports = document.get("ports") if document else None
    named = {name: port for name, port in ports.items() if isinstance(port, int)} if isinstance(ports, dict) else {}
    return Ports(**named) if named.keys() == set(Ports.__dataclass_fields__) else None
