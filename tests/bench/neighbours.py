"""A quiet sender alone, and beside somebody else's trouble: the time from each post to its arrival, in `make dev`.

Each trouble has a `hookchain dev` of its own. The quiet receiver is a process of its own too, and notes arrivals on the
clock that the sender uses.
"""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import uvloop

from functions.notify.hook_expiry import PARTITION
from shared.cloud.kept_by_key import DocumentRecords
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.store_ports import Kept
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Tenant
from shared.subscribers.sealing import sealer_of
from tests.bench.configurations import ENVIRON
from tests.bench.folders import new_folder
from tests.bench.load import http_post, read_answer
from tests.bench.pipe import NOTHING
from tests.bench.receivers import LISTED_EVENTS, WANTED_TYPE, arrival_times, counts
from tests.bench.rows import TROUBLES
from tests.bench.run import Run
from tests.bench.subscribers import KEY, verified_endpoint
from tests.bench.tree import Tree
from tests.running.databases import has_postgresql, postgresql
from tests.running.ports import free_port
from tests.running.processes import Request, started
from tests.running.stack import Stack, running

Result = TypeVar("Result")
QUIET_PER_SECOND: Final = 16.0
ALONE_EVENTS: Final = 200
BESIDE_EVENTS: Final = 224
WARM_UP_EVENTS: Final = 16
SETTLE_SECONDS: Final = 40.0
"""How long after the last post quiet events may take. Only where the limit is missed by far do they take so long."""
LATE_COPY_SECONDS: Final = 1.0
CAPACITY_EVENTS: Final = 6_000
"""They take some seconds. Within half a second, the same code seemed to deliver 1,100 to 1,800 a second."""
FLOOD: Final = 1.5
QUIET_KEYS: Final = 10
CALM_EVENTS: Final = 160
CALM_DESTINATIONS: Final = 4
LEAST_WRITES: Final = 2
"""Rows that a delivery writes: its claim and its outcome."""
LEDGER_FILES: Final = ("ledger.db", "grants.db")

HEAD: Final = """\
sources:
  quiet: {auth: none, id: data.id, type: data.event, dedupe: delivery_id}
  loud: {auth: none, id: data.id, type: data.event, dedupe: delivery_id}
"""
QUIET: Final = '  quiet: {webhook: {url: "http://127.0.0.1:QUIET/ok", allow_private: true}}\n'
TO_SUBSCRIBERS: Final = "  customers: {subscribers: {tenant: data.who}}\n"
FETCH: Final = '{fetch: {url: "http://127.0.0.1:LOUD/API", into: data.more, allow_private: true, timeout: 30s}}'
ROWS: Final = "{driver: postgresql, host: 127.0.0.1, port: DATABASE, database: postgres, user: app, table: orders"
BASE: Final = "appAbCdEfGhIjKlMn"
RETRIED: Final = (
    '  quiet: {webhook: {url: "http://127.0.0.1:QUIET/again", allow_private: true}, retry: [2s, 2s], breaker: off}\n'
)
RECOVERING: Final = f"""\
  lost:
    provider: stripe
    secret: shop-key
    recover: {{secret: api-key, api: "http://127.0.0.1:LOUD/lists", ALLOWED}}
  unread:
    provider: github
    secret: shop-key
    recover: {{secret: api-key, repositories: acme/shop, api: "http://127.0.0.1:LOUD/mute", ALLOWED}}
  expiring:
    provider: airtable
    secret: base-key
    hook: {{token: api-key, at: {BASE}, renew: true, api: "http://127.0.0.1:LOUD/mute", ALLOWED}}
""".replace("ALLOWED", "allow_private: true")
RECOVERED_EVENTS: Final = 720
"""They take 45 s, in which the recovery runs twice."""
LIMITED: Final = "{url: 'http://127.0.0.1:QUIET/ok', allow_private: true}, rate: 100/s, per: data.who"
HOSTILE: Final = ("mute", "drip", "fail", "refuse", "close", "slow", "away")


def _webhook(kind: str, options: str = "", name: str = "loud") -> str:
    port = "REFUSING" if kind == "refuse" else "LOUD"
    return f'  {name}: {{webhook: {{url: "http://127.0.0.1:{port}/{kind}", allow_private: true}}{options}}}\n'


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens beside the quiet sender.

    destinations  YAML, in which ports have names. Without one named `quiet`, quiet events go where the loud ones go
    steps         of the route of loud events
    second_route  the steps of a route that quiet events take too while the trouble lasts
    events        the number of loud ones; None: as many as the flood has in its time
    endpoints     of the tenant `noisy`, where the destination is `customers`
    recovering    sources with `recover` and `renew`, for which a `hookchain dev` of its own is started
    """

    destinations: str
    to: str = "loud"
    steps: str = ""
    second_route: str = ""
    events: int | None = 300
    per_second: float = 100.0
    endpoints: int = 0
    recovering: str = ""

    def configuration(self, ports: Mapping[str, int]) -> str:
        quiet_to = "quiet" if "  quiet: " in self.destinations else self.to
        routes = [
            f"  - {{name: loud, from: loud, steps: [{self.steps}], to: [{self.to}]}}",
            f"  - {{name: quiet, from: quiet, to: [{quiet_to}]}}",
        ]
        if self.second_route:
            routes.append(f"  - {{name: both, from: quiet, types: [both], steps: [{self.second_route}], to: loud}}")
        if self.recovering:
            routes.append(f"  - {{name: recovered, from: [lost, unread], types: [{WANTED_TYPE}, push], to: loud}}")
        section = "subscribers: {allow_private: true, allow_http: true, limits: {endpoints: 10000}}\n"
        text = HEAD + self.recovering + (section if self.endpoints else "") + "destinations:\n" + self.destinations
        text += "\n".join(["routes:", *routes, ""])
        for name, port in ports.items():
            text = text.replace(name, str(port))
        return text


_HOOKS: Final = "".join(_webhook(HOSTILE[n % len(HOSTILE)], name=f"odd-{n}") for n in range(28))
_MAIL: Final = "  loud: {email: {to: [a@example.com], from: a@example.com, subject: A, via: smtp}}\n"
_SQL: Final = f"  loud: {{sql: {ROWS}, columns: {{number: data.id}}, tls: 'off', create: true}}}}\n"
_CALM: Final = "".join(_webhook("ok", name=f"calm-{n}") for n in range(CALM_DESTINATIONS))
SCENARIOS: Final[Mapping[str, Trouble]] = {
    "hanging": Trouble(QUIET + _webhook("mute")),
    "hanging-60s": Trouble(QUIET + _webhook("mute", ", timeout: 60s")),
    "hostile": Trouble(QUIET + _HOOKS, ", ".join(f"odd-{n}" for n in range(28)), events=30, per_second=2),
    "fetch": Trouble(QUIET + _webhook("ok"), steps=FETCH.replace("API", "mute"), events=100),
    "fetch-503": Trouble(QUIET + _webhook("ok"), steps=FETCH.replace("API", "away"), events=None),
    "routes": Trouble(QUIET + _webhook("ok"), second_route=FETCH.replace("API", "mute"), events=0),
    "tenant": Trouble(TO_SUBSCRIBERS, "customers", events=None, per_second=150, endpoints=5),
    "fan-out": Trouble(TO_SUBSCRIBERS, "customers", events=1, endpoints=10_000),
    "flood": Trouble(QUIET + _webhook("ok"), events=None, per_second=0),
    "mail": Trouble(QUIET + _MAIL),
    "sql": Trouble(QUIET + _SQL),
    "recovery": Trouble(RETRIED + _webhook("ok"), recovering=RECOVERING),
    "key": Trouble(f"  crm: {{webhook: {LIMITED}}}\n", "crm", events=None, per_second=150),
}
assert SCENARIOS.keys() == TROUBLES.keys()
CALM: Final = Trouble(_CALM, ", ".join(f"calm-{n}" for n in range(CALM_DESTINATIONS)), events=CALM_EVENTS)


@dataclass(slots=True)
class Sender:
    """Posts events at their times, whatever the answers, over connections that stay open."""

    port: int
    posted_at: dict[str, float] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def send(self, source: str, count: int, per_second: float, event: str = "order") -> list[str]:
        """Return the ids of the events, once each has its answer."""
        began, ids = time.monotonic(), []
        first = sum(each.startswith(source) for each in self.posted_at)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                ids.append(f"{source}-{first + number:06d}")
                self.posted_at[ids[-1]] = time.monotonic()
                who = "noisy" if source == "loud" else f"q{number % QUIET_KEYS}"
                group.create_task(self._post(source, {"id": ids[-1], "event": event, "who": who}))
        return ids

    async def _post(self, source: str, document: Mapping[str, str]) -> None:
        request, status = http_post(Request(f"/{source}", json.dumps(document).encode(), {})), 0
        while self._idle and not status:  # a server closes a kept connection now and then, just as we write to it
            status = await self._status(request, *self._idle.pop())
        if not status:
            with contextlib.suppress(OSError):
                status = await self._status(request, *await asyncio.open_connection("127.0.0.1", self.port))
        self.statuses[source, status] += 1
        if status == 200:
            self.accepted.add(document["id"])

    async def _status(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        """Return the answer's status; 0 where none came."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(request)
            status, is_open = await read_answer(reader)
            if is_open:
                self._idle.append((reader, writer))
            else:
                writer.close()
            return status
        writer.close()
        return 0


@dataclass(frozen=True, slots=True)
class World:
    """A `hookchain dev` and its receivers, by port."""

    stack: Stack
    ports: Mapping[str, int]

    async def delays(self, sender: Sender, ids: Sequence[str]) -> tuple[list[float], int]:
        """Return how long the quiet events took, and how many were lost or came twice.

        One that has not come in time took until now.
        """
        give_up_at = time.monotonic() + SETTLE_SECONDS
        times = await self.times("QUIET")
        while any(each not in times for each in ids) and time.monotonic() < give_up_at:
            await asyncio.sleep(0.3)
            times = await self.times("QUIET")
        await asyncio.sleep(LATE_COPY_SECONDS)
        times, now = await self.times("QUIET"), time.monotonic()
        found = [times.get(each, [now])[0] - sender.posted_at[each] for each in ids]
        return sorted(found), sum(abs(len(times.get(each, [])) - 1) for each in ids)

    async def times(self, receiver: str) -> Mapping[str, list[float]]:
        return await asyncio.to_thread(arrival_times, self.ports[receiver])

    async def arrivals_at_loud(self, ids: Sequence[str], copies: int = 1) -> list[float]:
        """Return the times of all arrivals of these loud events, once they have come; sorted."""
        async with asyncio.timeout(4 * SETTLE_SECONDS):
            while True:
                times = await self.times("LOUD")
                found = [at for each in ids for at in times.get(each, [])]
                if len(found) >= copies * len(ids):
                    return sorted(found)
                await asyncio.sleep(0.1)


class Writes:
    """Counts the rows that are written to the ledger, and the messages that are published, from now on."""

    def __init__(self, state: Path) -> None:
        """Raises RuntimeError if there is no ledger yet: it begins with the first delivery."""
        self._files = [state / name for name in (*LEDGER_FILES, "bus.db") if (state / name).exists()]
        if len(self._files) < 2:
            raise RuntimeError("the ledger has not been written to")
        for path in self._files:
            with contextlib.closing(sqlite3.connect(path, timeout=10)) as file, file:
                tables = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                file.execute("CREATE TABLE counted (writes INTEGER)")
                file.execute("INSERT INTO counted VALUES (0)")
                for (table,) in tables:
                    is_bus = path.name == "bus.db"
                    if table.startswith("sqlite_") or (is_bus and table != "message"):
                        continue
                    for action in ("INSERT",) if is_bus else ("INSERT", "UPDATE"):
                        file.execute(
                            f"CREATE TRIGGER counted_{table}_{action} AFTER {action} ON {table}"
                            " BEGIN UPDATE counted SET writes = writes + 1; END"
                        )

    def counts(self) -> dict[str, int]:
        """Return the number of writes, by file."""
        found = {}
        for path in self._files:
            with contextlib.closing(sqlite3.connect(path, timeout=10)) as file:
                [(found[path.name],)] = file.execute("SELECT writes FROM counted")
        return found


def measure_neighbours(run: Run) -> None:
    """Measure each trouble once. One that fails has no figures, and the others go on."""
    for name, trouble in SCENARIOS.items():
        _measure_part(run, name, trouble)
    _measure_part(run, "writes", CALM)


def _measure_part(run: Run, name: str, trouble: Trouble) -> None:
    part = f"neighbours-{name}"
    if part not in run.parts:
        return
    for _, tree in run.rounds_of(part, 1):
        try:
            figures = _figures(tree, name, trouble)
        except (RuntimeError, OSError, TimeoutError, subprocess.SubprocessError) as error:
            run.faults[part] = f"{type(error).__name__}: {error}"
            run.clear()
            print(f"{part}, {tree.name}: {run.faults[part]}", file=sys.stderr)
            continue
        for suffix, (value, note) in figures.items():
            run.record(part + suffix, tree, value, note)


Figures = Mapping[str, tuple[float, str]]
"""A value and its note for each row, by what the row's name has after that of the part."""
Delays = tuple[Sequence[float], int]
"""How long the quiet events took, sorted, and how many of them were lost or came twice."""


def _figures(tree: Tree, name: str, trouble: Trouble) -> Figures:
    if trouble.recovering:
        return _beside_recovery(tree, trouble)
    measure = _writes if name == "writes" else _beside
    with _world(tree, trouble) as world:
        return _run(measure(world, trouble))


def _run(measuring: Coroutine[None, None, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measuring)


def _beside_recovery(tree: Tree, trouble: Trouble) -> Figures:
    """Measure without the recovering sources, and with them from the first sweep on."""
    with _world(tree, replace(trouble, recovering="")) as world:
        alone = _run(_quiet_delays(world, ALONE_EVENTS))
    with _world(tree, trouble) as world:
        beside = _run(_quiet_delays(world, RECOVERED_EVENTS))
        pages = sum(path.startswith("v1/events") for path in counts(world.ports["LOUD"]))
    return _compared(alone, beside, f"pages of {LISTED_EVENTS} events that the provider listed: {pages}")


async def _quiet_delays(world: World, count: int) -> Delays:
    sender = Sender(world.stack.base)
    await sender.send("quiet", WARM_UP_EVENTS, 2 * QUIET_PER_SECOND)
    return await world.delays(sender, await sender.send("quiet", count, QUIET_PER_SECOND))


async def _beside(world: World, trouble: Trouble) -> Figures:
    sender = Sender(world.stack.base)
    per_second, capacity = trouble.per_second or 0.0, ""
    if not per_second:  # before anybody quiet is known, for whom the loud source would leave places free
        delivered = await _capacity(world, sender)
        per_second, capacity = FLOOD * delivered, f"; `make dev` delivers {delivered:.0f}/s"
    await sender.send("quiet", WARM_UP_EVENTS, 2 * QUIET_PER_SECOND)
    alone = await world.delays(sender, await sender.send("quiet", ALONE_EVENTS, QUIET_PER_SECOND))
    async with asyncio.TaskGroup() as group:
        seconds = BESIDE_EVENTS / QUIET_PER_SECOND
        count = int(per_second * seconds) if trouble.events is None else trouble.events
        group.create_task(sender.send("loud", count, per_second))
        kind = "both" if trouble.second_route else "order"
        ids = await sender.send("quiet", BESIDE_EVENTS, QUIET_PER_SECOND, kind)
    beside = await world.delays(sender, ids)
    rejected = dict.fromkeys(("quiet", "loud"), 0)
    for (source, status), times in sender.statuses.items():
        rejected[source] += times if status != 200 else 0
    answers = f"quiet posts without a 200: {rejected['quiet']}, loud ones: {rejected['loud']} of {count}{capacity}"
    return _compared(alone, beside, answers)


def _compared(alone: Delays, beside: Delays, note: str) -> Figures:
    ranks_alone, ranks_beside = _ranks(alone[0]), _ranks(beside[0])
    p50_limit = max(5 * ranks_alone[0], 0.25)
    p50, p99 = (f"{before:.3f} → {after:.3f} s" for before, after in zip(ranks_alone, ranks_beside, strict=True))
    return {
        "": (ranks_beside[1] - ranks_alone[1], p99),
        "-p50": (ranks_beside[0] / p50_limit, p50),
        "-wrong": (alone[1] + beside[1], note),
    }


def _ranks(delays: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p99 of sorted values."""
    return delays[len(delays) // 2], delays[len(delays) * 99 // 100]


async def _capacity(world: World, sender: Sender) -> float:
    """Return how many events a second come through of those that are accepted, when more are posted than it takes."""
    await world.arrivals_at_loud(await sender.send("loud", WARM_UP_EVENTS, 2 * QUIET_PER_SECOND))
    began = time.monotonic()
    ids = sender.accepted.intersection(await sender.send("loud", CAPACITY_EVENTS, 2_000))
    return len(ids) / ((await world.arrivals_at_loud(list(ids)))[-1] - began)


async def _writes(world: World, _: Trouble) -> Figures:
    sender = Sender(world.stack.base)
    await world.arrivals_at_loud(await sender.send("loud", WARM_UP_EVENTS, QUIET_PER_SECOND), CALM_DESTINATIONS)
    await asyncio.sleep(LATE_COPY_SECONDS)
    writes = Writes(world.stack.state)
    await world.arrivals_at_loud(await sender.send("loud", CALM_EVENTS, QUIET_PER_SECOND), CALM_DESTINATIONS)
    await asyncio.sleep(LATE_COPY_SECONDS)
    counts = writes.counts()
    least = CALM_DESTINATIONS * LEAST_WRITES + 1 + CALM_DESTINATIONS
    return {"": (sum(counts.values()) / CALM_EVENTS - least, str(counts))}


@contextlib.contextmanager
def _world(tree: Tree, trouble: Trouble) -> Iterator[World]:
    """A `hookchain dev` of the tree, with what the trouble needs, until the block ends."""
    with contextlib.ExitStack() as stack:
        ports = {"REFUSING": free_port()}
        for name in ("QUIET", "LOUD"):
            ports[name] = free_port()
            command = [sys.executable, "-m", "tests.bench.receivers", str(ports[name])]
            stack.enter_context(started(command, {}, ports[name], NOTHING, ready="open"))
        if "DATABASE" in trouble.destinations:
            ports["DATABASE"] = stack.enter_context(_locked_table())
        config = trouble.configuration(ports)
        # To a server that takes connections and never greets: the receiver waits for a request.
        environ = {**ENVIRON, "PYTHONPATH": str(tree.root), "SMTP_URL": f"smtp://127.0.0.1:{ports['LOUD']}"}
        environ |= {"API_KEY": "a-token-of-the-benchmark", "BASE_KEY": "YS1rZXktb2YtdGhlLWJlbmNobWFyaw=="}
        arguments = ["--send-mail"] if "email:" in config else []
        folder = new_folder()
        if trouble.recovering:
            asyncio.run(_keep_overdue_tasks(folder / "state"))
        dev = stack.enter_context(running(folder, config, environ, arguments, root=tree.root))
        if trouble.endpoints:
            asyncio.run(_keep_endpoints(dev.state, trouble.endpoints, ports))
        yield World(dev, ports)


@contextlib.contextmanager
def _locked_table() -> Iterator[int]:
    """Yield the port of a database whose table `orders` is locked until the block ends."""
    if not has_postgresql():
        raise RuntimeError("PostgreSQL is not here: install the package postgresql")
    with postgresql() as url:
        create = "CREATE TABLE orders (number text, delivery_id varchar(80) UNIQUE); "
        lock = "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600);"
        subprocess.run(["psql", url, "-q", "-c", create], check=True, capture_output=True)
        with subprocess.Popen(["psql", url, "-q", "-c", lock], stdout=subprocess.DEVNULL) as holder:
            try:
                yield int(url.rpartition(":")[2].partition("/")[0])
            finally:
                holder.kill()


async def _keep_overdue_tasks(state: Path) -> None:
    """Keep records by which the first sweep asks for a day's missed events, and renews a hook that expires soon."""
    state.mkdir(mode=0o700)
    now = time.time()
    with contextlib.closing(DocumentRecords(LocalDocuments(state / "records.db", "records"))) as records:
        kept = Kept(json.dumps({"run_at": now - 3_600, "complete_at": now - 86_400}), now + 86_400)
        for source in ("lost", "unread"):
            await records.change(f"recover:{source}", now, lambda _: (None, kept))
    with contextlib.closing(LocalDocuments(state / FILE_NAME)) as documents:
        hook = {"id": "ach1", "expires_at": now + 86_400}
        await documents.write(PARTITION, "expiring", json.dumps({"hooks": {BASE: hook}}))


async def _keep_endpoints(state: Path, count: int, ports: Mapping[str, int]) -> None:
    """Keep ten quiet tenants with an endpoint each, and a noisy one with so many."""
    sealer = sealer_of((KEY,))
    owners = [f"q{number}" for number in range(QUIET_KEYS)] + ["noisy"] * count
    with contextlib.closing(LocalDocuments(state / FILE_NAME)) as documents:
        for tenant in dict.fromkeys(owners):
            await documents.write(TENANTS, tenant, Tenant(id=tenant).text())

        async def keep(number: int, tenant: str) -> None:
            url = f"http://127.0.0.1:{ports['LOUD' if tenant == 'noisy' else 'QUIET']}/ok/{number}"
            endpoint = verified_endpoint(sealer, tenant, number, url)
            await documents.write(endpoints_of(tenant), endpoint.id, endpoint.text())

        for first in range(0, len(owners), 500):
            await asyncio.gather(*(keep(first + n, owner) for n, owner in enumerate(owners[first : first + 500])))
