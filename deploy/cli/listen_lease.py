"""The lease of `hookchain listen`: it is begun, renewed and ended here, and never taken from another developer.

lease   a developer's claim to copies of the requests to one source, until a time: `Lease` in shared/tap.py
holder  the user and the machine that have a lease
inbox   the subscription or queue in which the copies for one lease wait
"""

import time
from dataclasses import dataclass, replace
from typing import Final

from deploy.cloud_access.inboxes import Inboxes
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import printable
from shared import store_ports, tap
from shared.times import rfc3339, unix_seconds

MAX_LEASES: Final = 1_000


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
    """The lease of a write whose outcome is unknown; None if the outcome of each write is known."""

    @property
    def ends_at(self) -> float:
        """Return when the lease ends at the latest; 0 if there is none."""
        return max(self.lease.until, self._unconfirmed.until if self._unconfirmed else 0.0)

    async def begin(self) -> None:
        """Write the lease, or continue the one that this user of this machine has. Raises as `find` and `renew` do."""
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
            until = f"until {utc_time(earlier.until)}, and what was copied for it waits for 7 days"
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
            say(f"The lease has ended. Copies end within {tap.REMEMBERED_SECONDS:g} s")

    async def _confirm(self) -> None:
        """Learn from the store whether the last write succeeded, if that is unknown. Raises Temporary."""
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


async def verify_free_place(own: tap.Lease, leases: store_ports.Documents, now: float) -> None:
    """Raise CommandError if too many others listen to the source: the first ones get its copies. Raises Temporary."""
    documents = await leases.page(tap.PARTITION, MAX_LEASES)
    stored = [lease for each in documents if (lease := tap.read_lease(each.id, each.text))]
    others = [each for each in stored if each.name != own.name and each.is_open(now)]
    continued = next((each for each in stored if each.name == own.name and each.is_open(now)), own)  # keeps its turn
    mine = replace(continued, until=now + 1)
    if mine in tap.served_leases([*others, mine], now):
        return
    names = ", ".join(each.developer for each in others if each.source == own.source)
    rule = f"{tap.MAX_LISTENERS} developers listen to {own.source} already ({names})"
    raise CommandError(f"{rule}. One of them must end their lease with Ctrl-C, or with --stop")


async def remove_old(leases: store_ports.Documents, inboxes: Inboxes) -> None:
    """Remove the leases of all developers whose copies are gone, and the inboxes without a lease.

    A lease that ends far too late is removed too: it gets nothing now, and would get copies in its last hours. Two
    clocks that differ never make a lease so long.
    """
    now = time.time()
    earliest_end = now - tap.KEPT_SECONDS
    latest_end = now + 2 * tap.MAX_LEASE_SECONDS
    kept_names: set[str] = set()
    for document in await leases.page(tap.PARTITION, MAX_LEASES):
        lease = tap.read_lease(document.id, document.text)
        if lease and earliest_end < lease.until <= latest_end:
            kept_names.add(lease.name)
        else:
            await leases.delete(tap.PARTITION, document.id, document.version)
    for name in await inboxes.names():
        if name not in kept_names:
            await inboxes.remove(name)


def _print_gap(ended_at: float, now: float) -> None:
    until = f"about {utc_time(now + tap.REMEMBERED_SECONDS)}"
    say(f"Nothing was copied from {utc_time(ended_at)} to {until}: the lease had ended")


def utc_time(at: float) -> str:
    """Return the time to the second, such as 2026-03-01T12:00:00Z."""
    return f"{rfc3339(at)[:19]}Z"


def say(line: str) -> None:
    print(printable(line), flush=True)
