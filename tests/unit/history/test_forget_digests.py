"""The records of groups, as forgetting reads them."""

import pytest

from deploy.history.forget import is_recorded
from functions.notify.digests.record import record_name
from shared.errors import Temporary
from shared.store_ports import Kept
from tests.fakes.records import FakeRecords

GROUP = "a" * 32


@pytest.mark.parametrize("text", ["", "{}", "not JSON", '{"n": 1, "published_at": 5, "members": "A"}'])
async def test_a_record_that_cannot_be_read_is_named_and_stops_the_command(text: str) -> None:
    records = FakeRecords()
    records.kept[record_name(GROUP)] = Kept(text, 9.0)
    with pytest.raises(Temporary, match=rf"'{record_name(GROUP)}' cannot be read .*delete it"):
        await is_recorded(records, GROUP + "0" * 16)
