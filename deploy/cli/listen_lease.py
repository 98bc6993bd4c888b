"""The lease of `hookchain listen`, by which transform copies the requests to a source for a developer.

A lease is a document in the deployment's store that ends at a time. `listen` writes it, renews it while the command
runs, and ends it at last. A name has one lease: the newest process of a user on a machine has it, and an earlier one
gets LeaseLost at its next write.
"""

import time
from dataclasses import dataclass, replace
from typing import Final

from deploy.cli.listen_forwarding import say
from deploy.cloud_access.inboxes import Inboxes
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import clock
from shared import store_ports, tap, times

MAX_LEASES: Final = 1_000
"""The most leases that are read, of all developers and sources together."""


class LeaseLost(CommandError):
    """An error: another process has taken over the lease."""


@dataclass(slots=True)
class LeaseKeeper:
    """The lease of this process, and its document in the store.

    `begin`, then `renew` again and again, then `end`. Each of them writes the document if it still has `version`:
    otherwise another process has taken the lease over, which raises LeaseLost.

    lease       as it was last written; its `until` is 0 before the first write
    seconds     how long each write extends it
    takes_over  the lease of another machine or user with this name is taken over
    version     that of the document; NO_VERSION before there is one
    """

    leases: store_ports.Documents
    lease: tap.Lease
    seconds: float
    takes_over: bool = False
    version: str = store_ports.NO_VERSION
    _unconfirmed: tap.Lease | None = None
    """The lease of a write that may have succeeded or not, if it ends later than the lease before; otherwise None."""

    @property
    def ends_at(self) -> float:
        """Return when the lease ends at the latest; 0 if there is none."""
        return max(self.lease.until, self._unconfirmed.until if self._unconfirmed else 0.0)

    async def begin(self) -> None:
        """Write the lease, or continue the one that this user of this machine has.

        Raises as `adopt_stored` and `renew` do.
        """
        now = time.time()
        earlier = await self.adopt_stored()
        if earlier and earlier.is_open(now):
            self.lease = replace(self.lease, since=earlier.since)
        elif earlier:
            _print_gap(earlier.until, now)
        await self.renew()

    async def adopt_stored(self) -> tap.Lease | None:
        """Take the version of the lease that the store has by this name, so that a write replaces it, and return it.

        Return None if the store has none. Raises CommandError if it is another machine's, unless it is taken over.
        """
        found = await self.leases.get(tap.PARTITION, self.lease.name)
        earlier = tap.read_lease(found.id, found.text) if found else None
        if earlier and earlier.holder != self.lease.holder and not self.takes_over:
            until = f"until {clock(earlier.until)}, and what was copied for it waits for 7 days"
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
        written_at = _cloud_time(self.version)
        if written_at is not None and (fault := _clock_fault(time.time() - written_at)):
            # The lease ends now by the cloud's clock. By this machine's, it might end hours later.
            await self._write(written_at)
            raise CommandError(fault)

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
        # `_unconfirmed` stays until the next write: the last one may still reach the store.

    async def _write(self, until: float) -> None:
        """Write the lease with this end (Unix seconds). Raises LeaseLost and Temporary."""
        lease = replace(self.lease, until=until)
        expires_at = until + tap.KEPT_SECONDS
        if until > self.ends_at:  # a write that shortens the lease does not change when it ends at the latest
            self._unconfirmed = lease
        version = await self.leases.write(tap.PARTITION, lease.name, lease.text, self.version, expires_at)
        self._unconfirmed = None
        if version is None:
            raise LeaseLost(f"another `hookchain listen` uses the name {lease.developer!r}. Choose another with --as")
        self.lease, self.version = lease, version


def _cloud_time(version: str) -> float | None:
    """Return when the version was written (Unix seconds) by the clock of Firestore, whose versions are times.

    Return None on AWS, which needs no comparison of clocks: it rejects requests with a wrong time.
    """
    try:
        return times.unix_seconds(version)
    except ValueError:
        return None


def _clock_fault(seconds_ahead: float) -> str:
    """Return the fault if the clock of this machine is so far ahead of the cloud's, or behind; empty if it is not far.

    The lease would be ignored, or would end too early.
    """
    if abs(seconds_ahead) <= tap.MAX_SKEW_SECONDS:
        return ""
    side = "ahead of" if seconds_ahead > 0 else "behind"
    return f"the clock of this machine is {abs(seconds_ahead) / 60:.0f} min {side} that of the cloud. Set it"


async def verify_free_place(own: tap.Lease, leases: store_ports.Documents, now: float) -> None:
    """Raise CommandError if too many others listen to the source: the first ones get its copies. Raises Temporary.

    Whether this lease would be served is computed as transform does it, as if the lease were open now.
    """
    documents = await leases.page(tap.PARTITION, MAX_LEASES)
    stored = [lease for each in documents if (lease := tap.read_lease(each.id, each.text))]
    others = [each for each in stored if each.name != own.name and each.is_open(now)]
    continued = next((each for each in stored if each.name == own.name and each.is_open(now)), own)  # keeps its turn
    mine = replace(continued, until=now + 1)  # open, although it may not be written yet
    if mine in tap.served_leases([*others, mine], now):
        return
    names = ", ".join(each.developer for each in others if each.source == own.source)
    rule = f"{tap.MAX_LISTENERS} developers listen to {own.source} already ({names})"
    raise CommandError(f"{rule}. One of them must end their lease with Ctrl-C, or with --stop")


async def remove_old(leases: store_ports.Documents, inboxes: Inboxes) -> None:
    """Remove the leases of all developers whose copies are gone, and the inboxes without a lease.

    A lease that ends too far ahead is removed, too. It gets no copies now, but in its last hours it would. No `listen`
    writes such a lease, even if the clocks differ as far as `renew` allows.
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
    until = f"about {clock(now + tap.REMEMBERED_SECONDS)}"
    say(f"Nothing was copied from {clock(ended_at)} to {until}: the lease had ended")
