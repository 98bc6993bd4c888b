from shared.cloud.grant_rules import RecordedGrants
from tests.fakes.records import FakeRecords


class FakeGrants(RecordedGrants):
    """Grants over a dictionary: `records` counts calls and writes, and refuses where its `fault` is set."""

    def __init__(self) -> None:
        self.records = FakeRecords("grants_unavailable")
        super().__init__(self.records)
