from pathlib import Path

from tests.kill.kill import kill_test


def test_what_was_accepted_arrives_though_each_part_is_killed(tmp_path: Path) -> None:
    verdict = kill_test(tmp_path, events=400, kills=4, rate=60.0, seed=3)
    print(verdict)
    assert sum(verdict.kills.values()) == 4
    assert verdict.is_good, verdict
