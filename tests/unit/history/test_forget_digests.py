"""The digests that forgetting an event finds, and the records of groups, as it reads them."""

import pytest

from deploy.history.forget import digest_ids, is_recorded
from functions.notify.digests.record import record_name
from shared.errors import Temporary
from shared.ledger import LedgerRow
from shared.store_ports import Kept
from tests.fakes.records import FakeRecords

GROUP = "a" * 32


def test_each_digest_of_an_event_is_found_however_many_it_has() -> None:
    rows = [
        LedgerRow(f"k{number}", "e1", "tell", "crm", "merged", 1, 0, 0, None, "", "", 1.0, 1.0, b"", group=f"d{number}")
        for number in range(1_001)
    ]
    assert digest_ids([*rows, *rows]) == [row.group for row in rows]


@pytest.mark.parametrize("text", ["", "{}", "not JSON", '{"n": 1, "published_at": 5, "members": "A"}'])
async def test_a_record_that_cannot_be_read_is_named_and_stops_the_command(text: str) -> None:
    records = FakeRecords()
    records.kept[record_name(GROUP)] = Kept(text, 9.0)
    with pytest.raises(Temporary, match=rf"'{record_name(GROUP)}' cannot be read .*delete it"):
        await is_recorded(records, GROUP + "0" * 16)
