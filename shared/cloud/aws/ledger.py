"""The Ledger port on DynamoDB. The protocol itself is shared/ledger_rules.py.

Each write puts the whole row, conditional on the version of the row that it was decided by, and gives it the next one.
So a delivery that goes well costs two writes and no read: its claim makes the row, where there is none, and its outcome
is written over the version that the claim made. Where a condition does not hold, DynamoDB answers what is stored, by
which the write is decided again; where that has the version of the write itself, an answer had been lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf, nextafter
from secrets import randbits, token_hex
from typing import Final, NamedTuple, TypeVar

from shared import ledger_rules as rules
from shared.batching import batches
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import TRIES, Condition, Dynamo, is_expired
from shared.cloud.aws.dynamo_values import Fields
from shared.cloud.aws.ledger_items import VERSION, item_of, merged_fields, row_of
from shared.cloud.aws.ledger_lists import LedgerLists, keys_of
from shared.cloud.aws.shards import read_shards
from shared.cloud.aws.tables import (
    DELIVERIES,
    DESTINATIONS,
    DUE,
    EXPIRES_AT,
    KEY,
    LISTED_DELIVERIES,
)
from shared.cloud.ledger_writes import FENCE_BITS, LedgerWrites
from shared.delivery import REMEMBERED_SECONDS, Delivery
from shared.errors import Temporary
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Place
from shared.ledger_rules import Rule
from shared.outcomes import DeliveryState

AT_ONCE: Final = 25
"""Writes at the same time, each over a connection of its own."""
MAX_PURGED: Final = 1_000
ABSENT_OR_EXPIRED: Final = f"attribute_not_exists(#{KEY}) OR #{EXPIRES_AT} <= :now"
MAX_DESTINATIONS: Final = 500

Answer = TypeVar("Answer")


class _Known(NamedTuple):
    """A row as it is stored, or was when it was last seen. `row` is None if there is none."""

    row: LedgerRow | None
    version: str = ""


Decide = Callable[[LedgerRow | None], tuple[Answer, LedgerRow | None]]
"""From the stored row to an answer and the row that is to be written, if any."""


class DynamoLedger(LedgerWrites):
    _moves_at_once = AT_ONCE

    def __init__(self, place: AwsPlace, table_prefix: str) -> None:
        self._store = Dynamo(place, table_prefix, "ledger_unavailable")
        self._lists = LedgerLists(self._store)

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)
        new = rules.new_row(delivery, key, now)

        def decide(stored: LedgerRow | None) -> tuple[Claim, LedgerRow | None]:
            row = stored or new
            answer, claimed = rules.claim(row, payload_hash, message, now, lease_seconds, due_fence, fence)
            return answer, None if claimed is row else claimed

        is_new = due_fence is None  # most likely; then nothing is read
        answer, version = await self._write(key, decide, _Known(None) if is_new else None, now)
        return answer._replace(version=version) if isinstance(answer, Claimed) else answer

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)
        new = rules.new_row(delivery, key, now)

        def decide(stored: LedgerRow | None) -> tuple[Claim, LedgerRow | None]:
            row = stored or new
            answer, gathered = rules.gather(row, payload_hash, message, group, reason, now, at, fence)
            return answer, None if gathered is row else gathered

        answer, _ = await self._write(key, decide, _Known(None), now)
        return answer

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        """Do as rules.postpone, in one write: all that it compares and changes are the row's own numbers."""
        version = token_hex(4)
        changes: Fields = {"fence": fence + 1, "retry_at": at, "updated_at": now, VERSION: version}
        found = await self._store.update(DELIVERIES, key, changes, _is_waiting(fence))
        return fence + 1 if found is None or found.get(VERSION) == version else None

    async def _merge(self, key: str, fence: int, now: float, digest_id: str) -> bool:
        """Do as rules.merge, in one write: what it leaves as it is need not be known."""
        found = await self._store.update(DELIVERIES, key, merged_fields(fence, now, digest_id), _waits_since(fence))
        return found is None or (found.get("state") == rules.MERGED and found.get("group") == digest_id)

    async def reopen(
        self, key: str, now: float, replay: str = "", only: frozenset[DeliveryState] | None = None
    ) -> int | None:
        def rule(row: LedgerRow) -> LedgerRow | None:
            is_gone = row.state in rules.FINAL and row.updated_at + REMEMBERED_SECONDS <= now
            return None if is_gone else rules.reopen(row, now, replay, only)

        row = await self._change(key, rule)
        return None if row is None else row.generation

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Find keys by the index, which is some moments behind, and then read the rows, strongly consistent.

        So a row that was moved or merged before the call is never returned as it was.
        """
        found = await read_shards(self._store, DELIVERIES, DUE, limit, low=since, high=now)
        rows = await self._lists.read(keys_of(found))
        return sorted((row for row in rows if rules.is_due(row, now)), key=lambda row: row.retry_at or 0.0)

    async def disable(self, destination: str, reason: str, now: float) -> None:
        await self._store.update(DESTINATIONS, destination, {"disabled_reason": reason, "updated_at": now})

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        pause: Fields = {"paused_until": until, "pause_reason": reason, "updated_at": now}
        await self._store.update(DESTINATIONS, destination, pause)

    async def release(self, destination: str, now: float) -> int:
        await self._store.delete(DESTINATIONS, destination)
        count = 0
        while released := await self._release_held(destination, now):
            count += released
        return count

    async def _release_held(self, destination: str, now: float) -> int:
        """Release once what is held: an index may still have what was released a moment before."""
        count = 0
        async for keys in self._lists.keys(rules.HELD, destination):
            for some in batches(keys, AT_ONCE):
                changed = await asyncio.gather(
                    *(self._change(key, lambda row: rules.release(row, now)) for key in some)
                )
                count += sum(row is not None for row in changed)
        return count

    async def destination_state(self, destination: str) -> DestinationState:
        return state_of(await self._store.get(DESTINATIONS, destination) or {})

    async def destination_states(self) -> dict[str, DestinationState]:
        """Return the states of those that were disabled or paused, and not released since."""
        found = await self._store.scan(DESTINATIONS, MAX_DESTINATIONS)
        return {str(each[KEY]): state_of(each) for each in found}

    async def held(self, destination: str, limit: int) -> int:
        """Count the deliveries that wait for its release, about as far as the limit, without reading them."""
        count = 0
        async for keys in self._lists.keys(rules.HELD, destination):
            count += len(keys)
            if count >= limit:
                break
        return min(count, limit)

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        fields = await self._store.get(DELIVERIES, key)
        return row_of(fields) if fields and fields["event_id"] == event_id else None

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        return await self._lists.rows(limit, event_id, destination, state, before)

    async def purge(self, before: float) -> int:
        """Delete at most MAX_PURGED a call: most expire by themselves. A row is older than its last write."""
        high = nextafter(before, -inf)
        found = await read_shards(self._store, DELIVERIES, LISTED_DELIVERIES, MAX_PURGED, high=high)
        known = await self._store.get_all(DELIVERIES, keys_of(found), ("state", "updated_at", VERSION))
        old = [
            (key, str(each[VERSION]))
            for key, each in known.items()
            if each["state"] in rules.FINAL and float(str(each["updated_at"])) < before
        ]
        count = 0
        for some in batches(old, AT_ONCE):
            deletions = (self._store.delete(DELIVERIES, key, _is_still(version)) for key, version in some)
            count += (await asyncio.gather(*deletions)).count(None)
        return count

    def close(self) -> None:
        self._store.close()

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        row, _ = await self._write(key, _deciding(rule), None)
        return row

    async def _change_claimed(self, claim: Claimed, rule: Rule) -> Claimed | None:
        known = _Known(claim.row, claim.version) if claim.version else None
        row, version = await self._write(claim.row.key, _deciding(rule), known)
        return None if row is None else claim._replace(row=row, version=version)

    async def _write(
        self, key: str, decide: Decide[Answer], known: _Known | None, now: float = 0.0
    ) -> tuple[Answer, str]:
        """Decide by what is known, else by what is stored, and write. Return the answer and the row's version.

        To write nothing is decided by what is stored only. `now` is for what makes a new row: one that has expired
        until then is as good as none.
        """
        is_stored = False
        for _ in range(TRIES):
            if known is None:
                known, is_stored = _known_of(await self._store.get(DELIVERIES, key), now), True
            answer, row = decide(known.row)
            if row is None and is_stored:
                return answer, known.version
            if row is None:
                known = None
                continue
            version = token_hex(4)
            condition = _is_still(known.version) if known.row else Condition(ABSENT_OR_EXPIRED, {"now": now})
            found = await self._store.put(DELIVERIES, item_of(row, version), condition)
            if found is None or found.get(VERSION) == version:
                return answer, version
            known, is_stored = _known_of(found, now), True
        raise Temporary("ledger_unavailable", f"DynamoDB: others kept writing delivery {key}, {TRIES} times in a row")


def _deciding(rule: Rule) -> Decide[LedgerRow | None]:
    def decide(stored: LedgerRow | None) -> tuple[LedgerRow | None, LedgerRow | None]:
        changed = rule(stored) if stored else None
        return changed, None if changed is stored else changed

    return decide


def _known_of(fields: Fields | None, now: float) -> _Known:
    if not fields or is_expired(fields, now):
        return _Known(None)
    return _Known(row_of(fields), str(fields[VERSION]))


def _is_waiting(fence: int) -> Condition:
    return Condition("#fence = :fence AND #state = :state", {"fence": fence, "state": rules.RETRY_SCHEDULED})


def _waits_since(fence: int) -> Condition:
    """Return the condition that the row waits, and was only postponed since it had this fence: see rules.merge."""
    most = fence + rules.MAX_POSTPONED
    values: Fields = {"fence": fence, "most": most, "state": rules.RETRY_SCHEDULED}
    return Condition("#fence BETWEEN :fence AND :most AND #state = :state", values)


def _is_still(version: str) -> Condition:
    return Condition(f"#{VERSION} = :version", {"version": version})


def state_of(fields: Fields) -> DestinationState:
    reason, until, pause_reason = (fields.get(name) for name in ("disabled_reason", "paused_until", "pause_reason"))
    return DestinationState(
        reason if isinstance(reason, str) else None,
        float(until) if isinstance(until, int | float) else None,
        pause_reason if isinstance(pause_reason, str) else "",
    )
