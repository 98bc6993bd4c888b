"""Closing groups: what waits in one becomes one delivery, at most one of a group at a time.

    frozen      its contents and members are decided, by a change of the group's record that only one can make
    published   as a delivery like any other, with a row of its own in the ledger
    merged      each member's row is final, and names it
    final       delivered, or a dead letter: from then on the group's next one may be frozen

Each step may be done again, by any sweep, after any crash: the record says with which contents. A member is listed once
the record was read, so it is in no digest that the record does not know. While a digest is not final, what comes later
waits: an outage of days ends in one more digest, and not in one for each quarter of an hour.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from functions.notify.gathering.draft import Draft, merged_bytes
from functions.notify.gathering.due import DueAlone, listed, settings_of, waits_in_group
from functions.notify.gathering.record import (
    FORGOTTEN_SECONDS,
    RECORD_SECONDS,
    Frozen,
    GroupRecord,
    max_members,
    read_record,
    record_name,
)
from functions.notify.registry import Configured
from functions.notify.sweep import BACK_SECONDS, PURGE_EVERY_SECONDS
from functions.notify.sweep_run import POSTPONE_SECONDS
from functions.notify.timer import due_message
from shared.delivery import DELIVERY_TYPE
from shared.errors import Permanent, Temporary
from shared.ledger import Ledger, LedgerRow
from shared.ledger_rules import FINAL, HELD, RETRY_SCHEDULED
from shared.logs import log
from shared.ports import DELIVERIES, Bus, BusMessage, Clock, Kept, Records

if TYPE_CHECKING:
    from functions.notify.recipient import Recipients

GROUPS_AT_ONCE: Final = 500
"""Groups whose members are read in one pass over the rows that are due."""
CLOSED_AT_ONCE: Final = 8
SOON_SECONDS: Final = 60.0
"""Rows that have to wait for no longer are left due: to read them again costs less than to move them."""
LONGEST_SECONDS: Final = 3_600.0
HELD_SHARE: Final = 0.25
"""While a digest is held, what comes later waits for this part of its age, and is then looked at again."""
AT_ONE_TIME: Final = 100
"""Rows that are moved to the same time: fewer than a page has."""


@dataclass(slots=True)
class _Pass:
    """A pass over some groups. `left_at`: the time of the oldest row that stays due."""

    now: float
    since: float
    left_at: float
    count: int = 0


class Closer:
    """The groups of the destinations that gather. `records` is called at first use."""

    def __init__(
        self,
        destinations: Mapping[str, Configured],
        ledger: Ledger,
        bus: Bus,
        records: Callable[[], Records],
        clock: Clock,
        recipients: "Recipients | None" = None,
    ) -> None:
        self._destinations = destinations
        self._ledger = ledger
        self._bus = bus
        self._make_records = records
        self._clock = clock
        self._recipients = recipients
        self._since = 0.0
        self._look_back_at = 0.0
        self.alone = DueAlone(ledger, destinations)

    @cached_property
    def _records(self) -> Records:
        return self._make_records()

    async def close(self) -> int:
        """Close the groups whose time has come; return how many deliveries were published.

        Raises Temporary, once every group was tried; what was not closed stays due.
        """
        now = self._clock.now()
        if now >= self._look_back_at:
            self._look_back_at, self._since = now + PURGE_EVERY_SECONDS, 0.0
        progress = _Pass(now, self._since, now)
        groups: dict[str, str] = {}
        async for row in listed(self._ledger, now, self._since):
            if waits_in_group(row, self._destinations):
                groups[row.group] = row.destination
        names = sorted(groups)
        faults: list[Temporary] = []
        for start in range(0, len(names), GROUPS_AT_ONCE):
            some = {name: groups[name] for name in names[start : start + GROUPS_AT_ONCE]}
            faults += await self._close_some(some, progress)
        if faults:
            raise faults[0]
        self._since = max(0.0, progress.left_at - BACK_SECONDS)
        return progress.count

    async def _close_some(self, groups: Mapping[str, str], progress: _Pass) -> list[Temporary]:
        faults: list[Temporary] = []
        texts: dict[str, str | None] = {}
        for name in groups:
            try:
                texts[name] = await self._records.read(record_name(name))
            except Temporary as error:
                faults.append(error)
        drafts = await self._drafts({name: groups[name] for name in texts}, progress)
        names = list(drafts)
        for start in range(0, len(names), CLOSED_AT_ONCE):
            some = names[start : start + CLOSED_AT_ONCE]
            closing = [self._close(name, texts[name], drafts[name], progress) for name in some]
            for outcome in await asyncio.gather(*closing, return_exceptions=True):
                if isinstance(outcome, Temporary):
                    faults.append(outcome)
                elif isinstance(outcome, BaseException):
                    raise outcome
        return faults

    async def _drafts(self, groups: Mapping[str, str], progress: _Pass) -> dict[str, Draft]:
        """Read what waits in the groups, of a burst also what is not due yet."""
        drafts: dict[str, Draft] = {}
        ahead = 0.0
        for name, destination in groups.items():
            settings = settings_of(name, self._destinations[destination])
            assert settings is not None
            drafts[name] = Draft(destination, settings, max_members(merged_bytes(settings)))
            if settings.coalesce is not None:
                ahead = max(ahead, settings.coalesce.wait_seconds)
        async for row in listed(self._ledger, progress.now + ahead, progress.since):
            draft = drafts.get(row.group)
            if draft is not None and row.destination == draft.destination:
                draft.add(row, is_due=(row.retry_at or 0.0) <= progress.now)
        return drafts

    async def _close(self, name: str, text: str | None, draft: Draft, progress: _Pass) -> None:
        record = read_record(text)
        if record.digest is not None and not record.digest.is_merged:
            await self._finish(name, record, text)
            progress.left_at = min(progress.left_at, draft.earliest_at)
            return
        if record.digest is not None:
            wait_until = await self._undelivered_until(name, text, record, progress.now)
            if wait_until is not None:
                await self._leave(draft, wait_until, progress)
                return
        if draft.unreadable:
            await self._publish_alone(draft.unreadable)
        if not draft.is_ripe(progress.now):
            await self._leave(draft, draft.look_again_at(progress.now), progress)
            return
        await self._freeze(name, text, record, draft, progress)

    async def _freeze(self, name: str, text: str | None, record: GroupRecord, draft: Draft, progress: _Pass) -> None:
        try:
            person = await self._person(draft)
        except Permanent:  # each of them ends by itself, with the reason
            await self._publish_group_alone(name, progress)
            return
        delivery = draft.merged(record.number, name, person)
        frozen = record.with_digest(delivery, draft.members, progress.now)
        frozen_text = frozen.text()
        if await self._change(name, text, frozen_text):
            await self._finish(name, frozen, frozen_text)
            progress.count += 1
            log(
                "INFO",
                "merged",
                function="notify",
                destination=draft.destination,
                event_id=delivery.event.id,
                count=delivery.merged,
            )

    async def _finish(self, name: str, record: GroupRecord, text: str | None) -> None:
        """Publish what is frozen, and merge its members into it. Raises Temporary: it is finished another time."""
        digest = record.digest
        assert digest is not None
        await self._publish(digest)
        answers = await self._ledger.merge_all(digest.members, self._clock.now(), digest.event_id)
        for answer in answers:
            if isinstance(answer, Temporary):
                raise answer
        await self._change(name, text, record.marked(self._clock.now(), is_merged=True).text())

    async def _undelivered_until(self, name: str, text: str | None, record: GroupRecord, now: float) -> float | None:
        """Return until when what comes later waits at least; None once the digest is final."""
        digest = record.digest
        assert digest is not None
        rows = await self._ledger.rows(20, event_id=digest.event_id)
        row = next((row for row in rows if row.key == digest.delivery_id), None)
        age = now - digest.published_at
        if row is None and age > FORGOTTEN_SECONDS:
            return None
        if row is None:
            if age > POSTPONE_SECONDS:  # its message is lost
                await self._publish(digest)
                await self._change(name, text, record.marked(now, is_merged=True).text())
            return now
        if row.state in FINAL:
            return None
        if row.state == HELD:
            return now + age * HELD_SHARE
        return max(now, row.retry_at or now) if row.state == RETRY_SCHEDULED else now

    async def _leave(self, draft: Draft, until: float, progress: _Pass) -> None:
        """Let the rows wait until then. Raises Temporary."""
        now = progress.now
        until = min(until, now + LONGEST_SECONDS)
        if until <= now + SOON_SECONDS:
            progress.left_at = min(progress.left_at, draft.earliest_at)
            return
        for number, start in enumerate(range(0, len(draft.due), AT_ONE_TIME)):
            some = draft.due[start : start + AT_ONE_TIME]
            moves = [(key, fence, until + number / 1_000) for key, fence in some]
            for answer in await self._ledger.postpone_all(moves, now):
                if isinstance(answer, Temporary):
                    raise answer

    async def _person(self, draft: Draft) -> str | None:
        """Return the recipient's name. Raises Temporary, and Permanent where there is none any more."""
        configured = self._destinations[draft.destination]
        if configured.recipient is None or self._recipients is None or draft.sample is None:
            return None
        from functions.notify.people import Person  # few destinations need it

        found = await self._recipients.recipient_of(configured, draft.sample)
        if not isinstance(found, Person):
            raise Permanent("unknown_person", found.reason)
        return found.name

    async def _publish(self, digest: Frozen) -> None:
        attributes = {"ce-id": digest.delivery_id, "ce-type": DELIVERY_TYPE, "ce-source": "/routes/digest"}
        await self._bus.publish(DELIVERIES, [BusMessage(digest.message, attributes)])

    async def _publish_group_alone(self, name: str, progress: _Pass) -> None:
        rows = [row async for row in listed(self._ledger, progress.now, progress.since) if row.group == name]
        await self._publish_alone(rows)
        progress.count += len(rows)

    async def _publish_alone(self, rows: Sequence[LedgerRow]) -> None:
        """Publish the rows as the sweep does those that wait in no group. Raises Temporary."""
        now = self._clock.now()
        moves = [(row.key, row.fence, now + POSTPONE_SECONDS) for row in rows]
        fences = await self._ledger.postpone_all(moves, now)
        messages = [
            due_message(row, fence, now) for row, fence in zip(rows, fences, strict=True) if isinstance(fence, int)
        ]
        if messages:
            await self._bus.publish(DELIVERIES, messages)

    async def _change(self, name: str, before: str | None, after: str) -> bool:
        """Change the record, unless another did since it was read. Raises Temporary."""
        now = self._clock.now()

        def decide(found: str | None) -> tuple[bool, Kept | None]:
            if found == after:  # the write came twice
                return True, None
            return (True, Kept(after, now + RECORD_SECONDS)) if found == before else (False, None)

        return await self._records.change(record_name(name), now, decide)
