"""Close groups: the deliveries that wait in a group become one delivery, which is called a digest here.

A digest goes through these states. A group has at most one digest that is not final.

    frozen      its contents and members are decided, by a change of the group's record that only one worker can make
    published   it is a delivery like any other, with its own row in the ledger
    merged      the row of each member is final, and refers to the digest
    final       it is delivered or a dead letter: now the next digest of the group may be frozen

After a crash, any sweep can repeat any step, because the record has the contents and the members. The record is read
before the members, so no member can be in a digest that was frozen in between. While a digest is not final, later
deliveries wait: after an outage of days there is one more digest, and not one for each quarter of an hour.

A pass looks for groups among the rows that are due. Reading rows that are long gone costs time, so a pass begins where
the last one left its oldest due row (`Progress.left_at`). Each step that leaves rows due notes their time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from functions.notify.digests.draft import Draft, LineBudget
from functions.notify.digests.record import FORGOTTEN_SECONDS, RECORD_SECONDS, Frozen, GroupRecord, record_name
from functions.notify.digests.settings import ALERTS, GatherSettings, group_of, spread_delay
from functions.notify.registry import DeliveryOptions
from functions.notify.waiting.due import BACK_SECONDS, PAGE_ROWS, due_message, due_pages, due_rows, move_rows
from shared import batching, ledger_rules, logs, ports
from shared.delivery import DELIVERY_TYPE
from shared.errors import Permanent, Temporary, place_of
from shared.ledger import POSTPONE_SECONDS, Ledger, LedgerRow
from shared.store_ports import Answer, Kept, Records

if TYPE_CHECKING:
    from functions.notify.recipients.recipient import Recipients
    from functions.notify.tracing import NotifySpans

LOOK_BACK_EVERY_SECONDS: Final = 3_600.0
"""How often a pass looks for all due rows, however old they are."""
GROUPS_AT_ONCE: Final = 500
"""The number of groups whose members are read together: each such reading goes through all due rows."""
CLOSED_AT_ONCE: Final = 8
"""The number of groups that are closed at the same time."""
SOON_SECONDS: Final = 60.0
"""Rows that have to wait for at most this time stay due: it costs less to read them again than to move them."""
LONGEST_SECONDS: Final = 3_600.0
"""The longest time for which the rows of a group are moved ahead. Then the group is checked again: in the meantime, an
operator may have changed the settings or resumed the destination."""
HELD_SHARE: Final = 0.25
"""While a digest is held, later deliveries wait for this share of its age. Then the group is checked again."""
LOOKING_SHARE: Final = 0.5
"""The share of a pass's time in which it looks for groups. The next pass finds the others."""
LINES_SECONDS: Final = 5.0
"""The time that the templates of lines may take in one pass. The events after that get a default line."""
AT_ONE_TIME: Final = 100
"""The number of rows that are moved to the same time: less than a page, so that the next page begins later."""
STEP_SECONDS: Final = 0.001
"""The time between these rows and the next ones."""


@dataclass(slots=True)
class Progress:
    """The progress of a pass over the groups, and what the next pass has to know. Times are Unix seconds.

    Fixed at its beginning:

    now        when it began. A row is due if its time has come by then
    end        nothing is begun after this time

    Changed on the way:

    oldest_at    the time of the oldest row of the groups that are being closed
    left_at      the time of the oldest row that stays due; the time of the pass if none does
    count        the number of digests, and of deliveries without one, that it has published
    line_budget  the time that the templates of lines may still take
    faults       the errors of single groups, which do not keep the other groups from being closed
    """

    clock: ports.Clock
    now: float
    oldest_at: float
    left_at: float
    end: float
    count: int = 0
    line_budget: LineBudget = field(default_factory=lambda: LineBudget(LINES_SECONDS))
    faults: list[Temporary] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.clock.now() >= self.end

    def note_left_due(self, at: float) -> None:
        """Note that a row of that time stays due."""
        self.left_at = min(self.left_at, at)

    def note_fault(self, error: Exception) -> None:
        """Note a fault, which is raised once the other groups were tried. Its group stays as it is."""
        self.faults.append(error if isinstance(error, Temporary) else Temporary("internal_error", place_of(error)))

    async def for_each(self, names: Sequence[str], act: Callable[[str], Awaitable[Answer]]) -> dict[str, Answer]:
        """Call `act` with each group's name, for CLOSED_AT_ONCE groups at once, and return the answers by name.

        Once the time of the pass is over, the groups after the first CLOSED_AT_ONCE are left out. A group whose call
        raises an error is left out, too; the error is noted.
        """
        answers: dict[str, Answer] = {}
        for start in range(0, len(names), CLOSED_AT_ONCE):
            if start and self.is_over:
                self.note_left_due(self.oldest_at)
                break
            some_names = names[start : start + CLOSED_AT_ONCE]
            answers_or_errors = await asyncio.gather(*[act(name) for name in some_names], return_exceptions=True)
            for name, answer in zip(some_names, answers_or_errors, strict=True):
                if isinstance(answer, Exception):
                    self.note_fault(answer)
                elif isinstance(answer, BaseException):  # the sweep was cancelled
                    raise answer
                else:
                    answers[name] = answer
        return answers


@dataclass(slots=True)
class Closer:
    """The groups of the destinations that gather. One process has one, for all its sweeps.

    `records` returns the store of the groups' records. It is called only for a group that is due, because most sweeps
    find none.
    """

    destinations: Mapping[str, DeliveryOptions]
    ledger: Ledger
    bus: ports.Bus
    records: Callable[[], Records]
    clock: ports.Clock
    recipients: "Recipients | None" = None
    spans: "NotifySpans | None" = None
    _first_at: float = 0.0  # the next pass looks at the rows from this time on
    _look_back_at: float = 0.0  # the next pass after this time looks at all rows

    async def close(self, seconds: float) -> int:
        """Close the groups that are due, the one that has waited longest first. Return how many deliveries were
        published.

        It tries groups for about `seconds`. Then it raises the first Temporary of a group, if there is one: the next
        pass begins where this one did. A group that was not closed stays due.
        """
        now = self.clock.now()
        if now >= self._look_back_at:
            self._look_back_at = now + LOOK_BACK_EVERY_SECONDS
            self._first_at = 0.0
        progress = Progress(self.clock, now, oldest_at=self._first_at, left_at=now, end=now + seconds)
        seen: set[str] = set()
        drafts: dict[str, Draft] = {}
        async for row in due_rows(self.ledger, now, self._first_at):
            settings = gather_settings(row, self.destinations)
            if settings is not None and row.group not in seen:
                if not drafts:  # rows come in the order of their times, so this one is the oldest of these groups
                    progress.oldest_at = row.retry_at or 0.0
                seen.add(row.group)
                drafts[row.group] = Draft(row.group, row.destination, settings, progress.line_budget)
            if self.clock.now() >= now + seconds * LOOKING_SHARE:  # the rest of the time is for the groups found
                progress.note_left_due(row.retry_at or 0.0)
                break
            if len(drafts) == GROUPS_AT_ONCE:
                await self._close_groups(drafts, progress)
                drafts = {}
        await self._close_groups(drafts, progress)
        if progress.faults:
            raise progress.faults[0]
        self._first_at = max(0.0, progress.left_at - BACK_SECONDS)
        return progress.count

    async def due_alone(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the first rows of `Ledger.due` that wait in no group, which the sweep publishes. Raises Temporary.

        It reads page after page, because thousands of rows in groups may come before the first other row.
        """
        async for page in due_pages(self.ledger, now, since, max(limit, PAGE_ROWS)):
            if alone := [row for row in page if gather_settings(row, self.destinations) is None]:
                return alone[:limit]
        return []

    async def _close_groups(self, drafts: Mapping[str, Draft], progress: Progress) -> None:
        """Read the groups' records, then add their deliveries to the drafts, then close each. Raises Temporary."""
        texts = await progress.for_each(list(drafts), lambda name: self.records().read(record_name(name)))
        filled = await self._fill({name: drafts[name] for name in texts}, progress)
        await progress.for_each(list(filled), lambda name: self._close(filled[name], texts[name], progress))

    async def _fill(self, drafts: Mapping[str, Draft], progress: Progress) -> dict[str, Draft]:
        """Add the deliveries that wait in the groups to the drafts. Return the drafts that could be filled.

        For a burst, deliveries that are not due yet are read as well. Deliveries for which there is no time stay due.
        Raises Temporary.
        """
        filled = dict(drafts)
        if not drafts:
            return filled
        waits = [draft.settings.coalesce.wait_seconds for draft in drafts.values() if draft.settings.coalesce]
        async for row in due_rows(self.ledger, progress.now + max(waits, default=0.0), progress.oldest_at):
            draft = filled.get(row.group)
            if draft is not None and row.destination == draft.destination:
                try:
                    draft.add(row, is_due=(row.retry_at or 0.0) <= progress.now)
                except Exception as error:
                    progress.note_fault(error)
                    del filled[row.group]
            if progress.is_over:
                progress.note_left_due(row.retry_at or 0.0)
                break
        return filled

    async def _close(self, draft: Draft, text: str | None, progress: Progress) -> None:
        """Take the group's next step. `text` is the text of its record; None if it has none yet. Raises Temporary."""
        record = GroupRecord.read(text)
        if record.digest is not None and not record.digest.is_merged:
            await self._publish_and_merge(draft.group, record, text)
            progress.note_left_due(draft.earliest_at)
            return
        if record.digest is not None:
            final_at = await self._final_at(record.digest, draft.group, record, text, progress.now)
            if final_at is not None:
                await self._postpone(draft, final_at, progress)
                return
        if draft.unreadable:
            await self._publish_alone(draft.unreadable, progress)
        if draft.is_ripe(progress.now):
            await self._freeze(draft, text, record, progress)
        else:
            await self._postpone(draft, draft.look_again_at(progress.now), progress)

    async def _final_at(
        self, digest: Frozen, group: str, record: GroupRecord, text: str | None, now: float
    ) -> float | None:
        """Return None if the group's merged digest is final, else when it may be. Raises Temporary.

        If the digest's message was lost, it is published again.
        """
        row = await self.ledger.row(digest.event_id, digest.delivery_id)
        age = now - digest.published_at
        if row is not None:
            return None if row.state in ledger_rules.FINAL else _next_look_at(row, age, now)
        if age > FORGOTTEN_SECONDS:  # the row was final before the ledger forgot it
            return None
        if age > POSTPONE_SECONDS:
            # Its message was lost, because notify would have written its row by now. Its time is noted, so that it is
            # not published in each pass.
            await self._publish(digest)
            await self._change_record(group, text, record.published_again(now).text())
        return now

    async def _freeze(self, draft: Draft, text: str | None, record: GroupRecord, progress: Progress) -> None:
        """Freeze the draft as the group's next digest, then publish and merge it. Raises Temporary."""
        try:
            person = await self._person(draft)
        except Permanent:  # there is no recipient any more: each delivery ends by itself, with that reason
            await self._publish_group_alone(draft.group, progress)
            return
        if draft.sample is None or group_of(draft.settings, draft.sample, person) != draft.group:
            # The list of people or the settings changed since: each delivery is gathered again, in its new group.
            await self._publish_group_alone(draft.group, progress)
            return
        delivery = draft.to_delivery(record.number, person)
        frozen = record.with_digest(delivery, draft.members, progress.now)
        frozen_text = frozen.text()
        if len(draft.due) > len(draft.members):
            # The other deliveries go into the next digest.
            progress.note_left_due(draft.earliest_at)
        if await self._change_record(draft.group, text, frozen_text):
            await self._publish_and_merge(draft.group, frozen, frozen_text)
            progress.count += 1
            logs.log(
                "INFO",
                "merged",
                function="notify",
                destination=draft.destination,
                event_id=delivery.event.id,
                count=delivery.merged,
            )

    async def _publish_and_merge(self, group: str, record: GroupRecord, text: str | None) -> None:
        """Publish the frozen digest, and merge its members into it. Raises Temporary: a later pass repeats it."""
        digest = record.digest
        assert digest is not None
        await self._publish(digest)
        answers = await self.ledger.merge_all(digest.members, self.clock.now(), digest.event_id)
        _raise_fault(answers)
        await self._change_record(group, text, record.merged(self.clock.now()).text())

    async def _postpone(self, draft: Draft, until: float, progress: Progress) -> None:
        """Move the group's due rows to about `until`: each group to a slightly different time. Raises Temporary."""
        now = progress.now
        until = min(until, now + LONGEST_SECONDS) + spread_delay(draft.settings, draft.group)
        if until <= now + SOON_SECONDS:
            progress.note_left_due(draft.earliest_at)
            return
        for number, some_rows in enumerate(batching.batches(draft.due, AT_ONE_TIME)):
            moves = [(key, fence, until + number * STEP_SECONDS) for key, fence in some_rows]
            _raise_fault(await self.ledger.postpone_all(moves, now))

    async def _person(self, draft: Draft) -> str | None:
        """Return the recipient's name; None if the destination has no recipients.

        Raises Temporary, and Permanent if there is no such recipient any more.
        """
        configured = self.destinations[draft.destination]
        if configured.recipient is None or self.recipients is None or draft.sample is None:
            return None
        return (await self.recipients.require_person(configured, draft.sample)).name

    async def _publish(self, digest: Frozen) -> None:
        """Publish the digest as a delivery. If it was published before, notify recognises it. Raises Temporary."""
        attributes = {"ce-id": digest.delivery_id, "ce-type": DELIVERY_TYPE, "ce-source": "/routes/digest"}
        started_at = self.clock.now()
        await self.bus.publish(ports.DELIVERIES, [ports.BusMessage(digest.message, attributes)])
        if self.spans is not None:
            self.spans.note_digest(digest.message, started_at)

    async def _publish_group_alone(self, group: str, progress: Progress) -> None:
        """Publish the group's due rows one by one, as long as there is time. Raises Temporary."""
        rows: list[LedgerRow] = []
        async for row in due_rows(self.ledger, progress.now, progress.oldest_at):
            if row.group != group:
                continue
            rows.append(row)
            if len(rows) == PAGE_ROWS:
                await self._publish_alone(rows, progress)
                rows = []
                if progress.is_over:
                    progress.note_left_due(row.retry_at or 0.0)
                    break
        await self._publish_alone(rows, progress)

    async def _publish_alone(self, rows: Sequence[LedgerRow], progress: Progress) -> None:
        """Publish the rows one by one, as the sweep publishes rows outside groups. Raises Temporary."""
        now = self.clock.now()
        moved, faults = await move_rows(self.ledger, rows, now, now + POSTPONE_SECONDS)
        if moved:
            await self.bus.publish(ports.DELIVERIES, [due_message(row, fence, now) for row, fence in moved])
            progress.count += len(moved)
        _raise_fault(faults)

    async def _change_record(self, group: str, before: str | None, after: str) -> bool:
        """Write the record if its text is still `before`. Return whether it is `after` now. Raises Temporary."""
        now = self.clock.now()

        def decide(stored: str | None) -> tuple[bool, Kept | None]:
            if stored == after:  # an earlier try wrote it, although it seemed to fail
                return True, None
            return (True, Kept(after, now + RECORD_SECONDS)) if stored == before else (False, None)

        return await self.records().change(record_name(group), now, decide)


def gather_settings(row: LedgerRow, destinations: Mapping[str, DeliveryOptions]) -> GatherSettings | None:
    """Return the settings by which the row's group is closed; None if the row waits in no group.

    A row whose destination no longer gathers waits in no group, and is published alone.
    """
    configured = destinations.get(row.destination)
    if configured is None or not row.group:
        return None
    if row.group.startswith(ALERTS):
        return configured.alert_options.gather if configured.alert_options else None
    return configured.gather


def _next_look_at(row: LedgerRow, age: float, now: float) -> float:
    """Return when to look again whether the digest with this row, published `age` seconds ago, is final."""
    if row.state == ledger_rules.HELD:
        return now + age * HELD_SHARE
    return max(now, row.retry_at or now)


def _raise_fault(answers: Sequence[int | Temporary | None]) -> None:
    """Raise the first Temporary among the answers for several rows. The other rows are done then."""
    for answer in answers:
        if isinstance(answer, Temporary):
            raise answer
