"""The item of a row of the ledger: how it is written and read.

An item has the fields of the row that are not at their defaults, and these:

attempts      the ended attempts, as JSON
version       a random mark of the last write
shard         the index of rows by their creation, by `retry_at` while they wait, and by `ended_at`
state_shard   the index of rows that wait, are held or failed
endpoint_at   the index of the rows of a subscriber's endpoint, by their creation and key
failed        1 if such a row is dead-lettered
ended_at      the time at which the last attempt ended. It is left out if the first attempt succeeded within
              PROMPT_SECONDS, which saves a write to an index
expires_at    the time from which on DynamoDB deletes a final row
"""

from collections.abc import Mapping
from math import ceil
from secrets import token_hex
from typing import Final, cast

from shared import ledger_rules as rules, ledger_writes
from shared.cloud import shards
from shared.cloud.aws import tables
from shared.cloud.aws.dynamo import state_shard
from shared.cloud.aws.dynamo_values import Fields, Value
from shared.delivery import REMEMBERED_SECONDS
from shared.ledger import LedgerRow, Place
from shared.subscribers.names import endpoint_name

VERSION: Final = "version"
FOUND: Final[frozenset[str]] = frozenset({rules.RETRY_SCHEDULED, rules.HELD, rules.DEAD_LETTERED})
"""The states that `by_state` finds."""
PROMPT_SECONDS: Final = 10.0
"""A list by the end of the last attempt finds the deliveries that succeeded so soon by their creation instead."""
MAX_ATTEMPTS_BYTES: Final = 150_000
"""The most bytes of a row's newest attempts, so that they fit into an item beside a message of 200 KiB."""

_DEFAULTS: Final[Mapping[str, object]] = {
    **LedgerRow._field_defaults,
    "generation": 0,
    "retry_at": None,
    "reason": "",
    "answer": "",
    "message": b"",
}
"""The values that an item leaves out. Some fields have a usual value here, and no default in LedgerRow."""
_NO_DEFAULT: Final = object()
_DEFAULT_VALUES: Final = tuple([_DEFAULTS.get(name, _NO_DEFAULT) for name in LedgerRow._fields])
"""The values of _DEFAULTS in the order of the fields; _NO_DEFAULT, which no value equals, for the other fields."""
_TIMES: Final = frozenset({"retry_at", "created_at", "updated_at", "lease_until", "slot_at"})
"""The fields that are floats. DynamoDB returns a whole number as an integer."""
LISTED: Final = (*(name for name in LedgerRow._fields if name != "attempts"), VERSION)
"""The attributes of a row that was listed: all but its attempts."""


def item_of(row: LedgerRow, version: str) -> Fields:
    """Return the row's whole item. `version` is the mark of the write."""
    shard = shards.shard_of(row.key)
    values = zip(LedgerRow._fields, row, _DEFAULT_VALUES, strict=True)
    fields = cast("dict[str, Value]", {name: value for name, value, default in values if value != default})
    fields[VERSION], fields[tables.SHARD] = version, str(shard)
    if row.attempts:
        fields["attempts"] = _newest_attempts(row)
        if not _is_prompt(row):
            fields["ended_at"] = row.attempts[-1].ended_at
    if row.state in FOUND:
        fields[tables.STATE_SHARD] = state_shard(row.state, shard)
    if endpoint_name(row.destination):
        fields |= {
            tables.ENDPOINT_AT: endpoint_at((row.created_at, row.key)),
            tables.FAILED: 1 if row.state == rules.DEAD_LETTERED else None,
        }
    if row.state in rules.FINAL:
        fields[tables.EXPIRES_AT] = ceil(row.updated_at + REMEMBERED_SECONDS)
    return fields


def endpoint_at(place: Place) -> str:
    """Return a text that sorts as the places of an endpoint's rows do, to the microsecond.

    16 digits, because texts sort like numbers only if all have the same length. They suffice until the year 2286.
    """
    at, key = place
    return f"{round(at * 1_000_000):016d}/{key}"


def row_of(fields: Fields) -> LedgerRow:
    """Return the row, with its attempts where they were read."""
    stored = {name: fields[name] for name in LedgerRow._fields if name in fields and name != "attempts"}
    stored |= {name: float(value) for name in _TIMES if isinstance(value := stored.get(name), int)}
    row = LedgerRow(**{**_DEFAULTS, **stored})  # type: ignore[arg-type] # ours
    attempts = fields.get("attempts")
    return ledger_writes.with_attempts(row, attempts) if isinstance(attempts, str) else row


def merged_fields(fence: int, now: float, digest_id: str) -> Fields:
    """Return the attributes that rules.merge changes, as `item_of` writes them; None for one that is removed.

    The fence is higher than any that postponing gave the row, so that no late write to the waiting row succeeds.
    """
    return {
        "state": rules.MERGED,
        "fence": fence + rules.MAX_POSTPONED + 1,
        "retry_at": None,
        "reason": rules.merged_reason(digest_id),
        "updated_at": now,
        "message": None,
        "group": digest_id,
        VERSION: token_hex(4),
        tables.STATE_SHARD: None,
        tables.EXPIRES_AT: ceil(now + REMEMBERED_SECONDS),
    }


def _newest_attempts(row: LedgerRow) -> str:
    """Return the newest attempts that fit, as JSON. It drops a quarter at a time, because each try writes all of them
    again."""
    while len((text := ledger_writes.attempts_text(row)).encode()) > MAX_ATTEMPTS_BYTES:
        row = row._replace(attempts=row.attempts[len(row.attempts) // 4 + 1 :])
    return text


def _is_prompt(row: LedgerRow) -> bool:
    """Return whether the first attempt succeeded within PROMPT_SECONDS. The row has an attempt."""
    [last, *others] = row.attempts
    return not others and row.state == rules.DELIVERED and last.ended_at - row.created_at <= PROMPT_SECONDS
