"""Events become rows once, though notify is killed while it writes them."""

from pathlib import Path

import pytest

from tests.kill.sql_kill import SqlStorm, sql_kill_test
from tests.sql_server import sql_server


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "events"), [("postgresql", 600), ("mariadb", 300)])
def test_each_event_becomes_one_row_though_notify_is_killed(kind: str, events: int, tmp_path: Path) -> None:
    with sql_server(kind, tmp_path) as server:

        def read() -> list[int]:
            if not server.run("SELECT 1 FROM information_schema.tables WHERE table_name = 'arrivals'"):
                return []
            return [int(str(number)) for (number,) in server.run("SELECT number FROM arrivals")]

        outcome = sql_kill_test(tmp_path, server.url, SqlStorm(events, rate=60.0, kills=3), read)
    print(outcome)
    assert outcome.kills == 3
    assert outcome.found == outcome.accepted == list(range(events)), outcome
