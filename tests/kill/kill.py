"""The kill test: events are posted while the processes behind them are disturbed; then every delivery is accounted for.

The verdicts are those of checker.py, one for each receiver. It sees what the senders posted and were answered, what
that receiver outside the pipe received, and when the test disturbed notify; the pipe's own records only tell when the
test may end.
"""

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.history.local import open_local_ledger
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.ledger import LedgerRow
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, EndpointSecret, Tenant
from shared.subscribers.sealing import NONCE_BYTES, sealer_of
from tests.kill.checker import Verdict, check
from tests.kill.disturbances import FAULTS, HOUR, Clock, Disturber, disk_of
from tests.kill.proxy import network
from tests.kill.senders import Sent, send_all
from tests.running.ports import free_base
from tests.running.processes import ROOT
from tests.running.stack import OFFSETS, Stack, running
from tests.stand_ins.outside_receiver import OutsideReceiver, receiving

SECRET: Final = "a-secret-of-the-kill-test"
SIGNING_KEY: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id}
routes:
  - {name: all, from: shop, to: [NAMES]}
destinations:
"""
OPTIONS: Final = """\
    timeout: 2s
    retry: [1s, 2s, 5s, 10s, 10s, 10s, 10s, 10s, 10s, 10s]
"""
DESTINATIONS: Final[Mapping[str, str]] = {
    "mail": 'email: {to: [inbox@example.com], from: shop@example.com, subject: "{{ data.id }}", via: sendgrid}',
    "webhook": "webhook: {url: URL, secret: signing-key, allow_private: true}",
    "chat": 'slack: {secret: chat-url, text: "{{ data.id }}", allow_private: true}',
    "customers": "subscribers: {tenant: \"'acme'\", type: kill.test, payload: data}",
}
"""Each of a name that stand_ins/outside_receiver.py knows, whose URL it gets; `customers` has receivers of its own."""
HANGING: Final = ("hanging", "asked")
"""The receivers of the variant in which some hang while parts are killed: `hanging` is a destination, and the API of
the step that the deliveries to `asked` wait for. Both take what a webhook takes."""
ASKING_ROUTE: Final = """\
  - name: asking
    from: shop
    steps: [{fetch: {url: "URL", into: data.more, timeout: 2s, retry: WAITS, allow_private: true}}]
    to: asked
"""
LONG_WAITS: Final = "[1s, 2s, 5s, 5s, 5s, 5s" + ", 10s" * 36 + ", 6h" * 8 + "]"
"""Of what hangs for as long as parts are killed. The last ones are longer than all steps of the clock together: what is
on its way while the clock is set forward must not be given up."""
ENDPOINTS: Final = ("endpoint 1", "endpoint 2", "endpoint 3")
"""The receivers of the tenant's endpoints. They take what a webhook takes."""
SUBSCRIBERS: Final = "subscribers: {}\n"
SUBSCRIBERS_KEY: Final = "the-key-to-secrets-of-the-kill-tests-endpoints"
TROUBLES: Final = ("partition", "pause", "disk", "clock")
SETTLE_SECONDS: Final = 900.0
HURRIED_SECONDS: Final = 200.0
"""Instead, where the clock goes ahead."""
SABOTAGED_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 3.0
MOST_CLOCK_SECONDS: Final = 10.0
LEAST_ACCEPTED: Final = 0.95

Action = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Storm:
    """`kills` are spread over all parts. Each of `troubles` strikes each part that it can strike for `seconds`.

    `hurries`: at the end the clock goes an hour ahead, so that leases are over and retries are due.
    `removed`: what the pipe is to lack (hooks/sitecustomize.py).
    `destinations`: names of DESTINATIONS; each event goes to all of them.
    `hangs`: a destination and the API of a step, which each event needs too, hang until the kills are over.
    `serves`: the pipe is `hookchain serve`, whose bus has no faults of its own.
    `commit_seconds`: how much longer each commit takes, as on a slow disk.
    `upgraded_from`: a checkout. Its processes run first. After half of the kills and troubles they are stopped, and
    those of this checkout continue on the same state.
    """

    events: int
    rate: float
    seed: int
    kills: int = 0
    troubles: Sequence[str] = ()
    seconds: float = 60.0
    hurries: bool = False
    removed: str = ""
    destinations: Sequence[str] = ("mail",)
    hangs: bool = False
    serves: bool = False
    commit_seconds: float = 0.0
    upgraded_from: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`verdicts` has one for each receiver."""

    verdicts: Mapping[str, Verdict]
    tries: int
    disturbed: Mapping[str, int]
    seconds: float

    @property
    def is_good(self) -> bool:
        return all(each.is_good and each.accepted >= LEAST_ACCEPTED * each.posted for each in self.verdicts.values())

    def __str__(self) -> str:
        disturbed = ", ".join(f"{name} {count}" for name, count in sorted(self.disturbed.items())) or "nothing"
        verdicts = "\n".join(f"{name}: {verdict}" for name, verdict in self.verdicts.items())
        return f"{verdicts}\n  {self.tries:,} requests; disturbed: {disturbed}; {self.seconds:.0f} s"


def with_hanging(config: str, receivers: Mapping[str, OutsideReceiver], patient: str) -> str:
    """Return the configuration with the destinations and the step of HANGING. `patient` are the destinations' options.

    The destinations come last in it, and its first route has a list of them.
    """
    api, asked = (receivers[name].url for name in HANGING)
    route = ASKING_ROUTE.replace("URL", api).replace("WAITS", LONG_WAITS)
    webhooks = "".join(
        f"  {name}:\n    webhook: {{url: {url}, allow_private: true}}\n{patient}"
        for name, url in zip(HANGING, (api, asked), strict=True)
    )
    with_destination = config.replace("]}\n", ", hanging]}\n" + route, 1)
    return with_destination + webhooks


def configuration(destinations: Sequence[str], receivers: Mapping[str, OutsideReceiver]) -> str:
    """Return the configuration in which each event goes to all these destinations."""
    urls = {name: receivers[name].url if name in receivers else "" for name in destinations}
    written = [f"  {name}:\n    {DESTINATIONS[name].replace('URL', url)}\n{OPTIONS}" for name, url in urls.items()]
    section = SUBSCRIBERS if "customers" in destinations else ""
    return section + CONFIG.replace("NAMES", ", ".join(destinations)) + "".join(written)


async def keep_endpoints(state: Path, receivers: Mapping[str, OutsideReceiver]) -> None:
    """Keep the tenant with an endpoint for each of the receivers that is one."""
    sealer, tenant = sealer_of((SUBSCRIBERS_KEY,)), "acme"
    with closing(LocalDocuments(state / FILE_NAME)) as documents:
        await documents.write(TENANTS, tenant, Tenant(id=tenant).text())
        for number, name in enumerate(ENDPOINTS):
            id_ = f"ep_{number:020}"
            secret = sealer.seal(SIGNING_KEY, f"{tenant}/{id_}", number.to_bytes(NONCE_BYTES, "big"))
            kept = EndpointSecret(sealed=secret, created_at=0.0)
            endpoint = Endpoint(id=id_, tenant=tenant, url=receivers[name].url, secrets=(kept,), is_verified=True)
            await documents.write(endpoints_of(tenant), id_, endpoint.text())


def kill_test(folder: Path, storm: Storm) -> Outcome:
    began = time.monotonic()
    base, clock = free_base(), Clock(folder / "clock")
    ports = {name: base + offset for name, offset in OFFSETS.items() if name != "receive"}
    with contextlib.ExitStack() as stage:
        receivers = {name: stage.enter_context(receiving(*each)) for name, each in _receivers(folder, storm)}
        mail_port = receivers["mail"].port
        is_cut = "partition" in storm.troubles
        cable = stage.enter_context(network([mail_port, *ports.values()])) if is_cut else None
        disk = stage.enter_context(disk_of(folder / "state")) if "disk" in storm.troubles else None
        environ = {
            **clock.environ,
            "DISTURBED_PORTS": json.dumps(cable.ports if cable else {}),
            "DISTURBED_COMMIT": str(storm.commit_seconds),
            "DISTURBED_REMOVED": storm.removed,
            "SENDGRID_API_KEY": "SG.of-the-kill-test",
            "SENDGRID_API_URL": f"http://127.0.0.1:{mail_port}",
            "SHOP_KEY": SECRET,
            "SIGNING_KEY": SIGNING_KEY,
            "SUBSCRIBERS_KEY": SUBSCRIBERS_KEY,
            **({"CHAT_URL": receivers["chat"].url} if "chat" in receivers else {}),
        }
        config = configuration(storm.destinations, receivers)
        if storm.hangs:
            config = with_hanging(config, receivers, f"    timeout: 2s\n    retry: {LONG_WAITS}\n")
            receivers["hanging"].hang()
        options = [] if storm.serves else ["--send-mail"]

        def run(root: Path) -> contextlib.AbstractContextManager[Stack]:
            # The checkout too, because what the hooks import is imported before Python knows of the current folder.
            path = os.pathsep.join((str(ROOT / "tests" / "kill" / "hooks"), str(root)))
            variables = {**environ, "PYTHONPATH": path}
            return running(folder, config, variables, options, base=base, root=root, serves=storm.serves)

        first = stage.enter_context(contextlib.ExitStack())
        stack = first.enter_context(run(storm.upgraded_from or ROOT))

        def upgrade() -> None:
            first.close()
            stage.enter_context(run(ROOT))

        if "customers" in storm.destinations:
            asyncio.run(keep_endpoints(stack.state, receivers))
        assert storm.serves or stack.trouble({"seed": storm.seed, **FAULTS})
        disturber = Disturber(stack, cable, clock, disk, mail_port, has_faults=not storm.serves)
        sent = asyncio.run(_storm(disturber, storm, upgrade))
        if storm.hangs:
            receivers["hanging"].answer_again()
        settle(storm, stack, receivers, sent, partial(_hurry, stack, clock if storm.hurries else None))
        verdicts = {name: check(sent.posts, each.arrivals(), disturber.noted) for name, each in receivers.items()}
        disturbed = Counter(f"{each.kind} {each.worker or 'notify'}" for each in disturber.noted)
        return Outcome(verdicts, len(sent.posts), disturbed, time.monotonic() - began)


def _receivers(folder: Path, storm: Storm) -> Iterator[tuple[str, tuple[str, Path]]]:
    """Yield each receiver's name, and its manner with the file that it writes."""
    for destination in storm.destinations:
        for name in ENDPOINTS if destination == "customers" else (destination,):
            yield name, ("webhook" if name in ENDPOINTS else name, folder / f"arrivals-{name.replace(' ', '-')}")
    for name in HANGING if storm.hangs else ():
        yield name, ("webhook", folder / f"arrivals-{name}")


async def _storm(disturber: Disturber, storm: Storm, upgrade: Callable[[], None]) -> Sent:
    actions = _actions(disturber, storm)
    if storm.upgraded_from:
        actions.insert(len(actions) // 2, partial(disturber.upgrade, upgrade))
    rests = random.Random(storm.seed)
    spare = max(0.0, storm.events / storm.rate - busy_seconds(storm))
    headers = {"Authorization": f"Bearer {SECRET}"}
    sending = asyncio.create_task(
        send_all(f"{disturber.stack.url}/shop", headers, storm.events, storm.rate, storm.seed)
    )
    for action in actions:
        await asyncio.sleep(rests.uniform(0.2, 1.8) * spare / (len(actions) + 1))
        await action()
    return await sending


def _actions(disturber: Disturber, storm: Storm) -> list[Action]:
    """In an order of chance; only the clock comes last, for it stays wrong."""
    names = [name for _ in range(storm.kills) for name in OFFSETS][: storm.kills]
    actions: list[Action] = [partial(disturber.kill, name) for name in names]
    if "pause" in storm.troubles:
        actions += [partial(disturber.pause, name, storm.seconds) for name in OFFSETS]
    if "partition" in storm.troubles:
        schemes = ("mail", "apis", "transform", "notify")
        actions += [partial(disturber.partition, name, storm.seconds) for name in schemes]
    if "disk" in storm.troubles and disturber.disk:
        actions.append(partial(disturber.fill_disk, storm.seconds))
    random.Random(storm.seed).shuffle(actions)
    if "clock" in storm.troubles:
        actions.append(partial(disturber.step_clock, min(storm.seconds, MOST_CLOCK_SECONDS)))
    return actions


def busy_seconds(storm: Storm) -> float:
    """How long the troubles take together."""
    parts = {"pause": 4, "partition": 4, "disk": 1}
    clock = 3 * min(storm.seconds, MOST_CLOCK_SECONDS) if "clock" in storm.troubles else 0.0
    return storm.seconds * sum(parts.get(trouble, 0) for trouble in storm.troubles) + clock


def settle(
    storm: Storm, stack: Stack, receivers: Mapping[str, OutsideReceiver], sent: Sent, hurry: Callable[[], None]
) -> None:
    """Until every accepted event has come everywhere, no delivery is open and nothing comes any more, or time is over.

    `hurry` is called while something is still to come. Where something was removed, a delivery may stay open for ever:
    one worker acknowledges the message of another, which is then killed.
    """
    patience = HURRIED_SECONDS if storm.hurries else SETTLE_SECONDS
    give_up_at = time.monotonic() + (SABOTAGED_SECONDS if storm.removed else patience)
    seen, quiet_since = -1, time.monotonic()
    while (now := time.monotonic()) < give_up_at:
        arrived = [each.arrivals() for each in receivers.values()]
        if (count := sum(map(len, arrived))) != seen:
            seen, quiet_since = count, now
        if now - quiet_since >= QUIET_SECONDS:
            is_closed = all(row.state in {"delivered", "dead_lettered"} for row in ledger_rows(stack))
            if is_closed and all(sent.accepted <= {int(each.id) for each in arrivals} for arrivals in arrived):
                return
            hurry()
        time.sleep(0.5)


def _hurry(stack: Stack, clock: Clock | None) -> None:
    """Make due what waits for minutes because a receiver did not answer. Other tests hold how long it waits."""
    if clock:
        clock.step(HOUR)
    with closing(sqlite3.connect(stack.state / "ledger.db", timeout=10.0)) as ledger, ledger:
        ledger.execute(
            "UPDATE deliveries SET retry_at = ? WHERE state = 'retry_scheduled' AND unknown_count > 0", (time.time(),)
        )


def ledger_rows(stack: Stack) -> list[LedgerRow]:
    async def read() -> list[LedgerRow]:
        async with open_local_ledger(stack.state) as ledger:
            return list(await ledger.rows(1_000_000))

    return asyncio.run(read())
