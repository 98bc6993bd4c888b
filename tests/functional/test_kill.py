"""The kill test in small, and that it can fail. `python -m tests.kill` is the whole of it."""

from pathlib import Path

import pytest

from tests.kill.kill import DESTINATIONS, ENDPOINTS, HANGING, TROUBLES, Storm, kill_test

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_what_was_accepted_arrives_once_everywhere_though_parts_are_killed_and_a_destination_and_an_api_hang(
    tmp_path: Path,
) -> None:
    storm = Storm(200, 15.0, seed=5, kills=5, hurries=True, destinations=tuple(DESTINATIONS), hangs=True)
    outcome = kill_test(tmp_path, storm)
    print(outcome)
    assert sum(outcome.disturbed.values()) == 5
    assert outcome.verdicts.keys() == {"mail", "webhook", "chat", *ENDPOINTS, *HANGING}
    assert outcome.is_good, outcome


def test_what_was_accepted_arrives_once_though_network_processes_disk_and_clock_fail(tmp_path: Path) -> None:
    outcome = kill_test(tmp_path, Storm(500, 18.0, 3, kills=4, troubles=TROUBLES, seconds=2.2, hurries=True))
    print(outcome)
    assert {name.split()[0] for name in outcome.disturbed} == {"kill", "partition", "pause", "disk", "clock"}
    assert outcome.is_good, outcome


def test_what_serve_accepted_arrives_once_though_processes_network_disk_and_clock_fail(tmp_path: Path) -> None:
    outcome = kill_test(
        tmp_path, Storm(300, 18.0, 7, kills=4, troubles=TROUBLES, seconds=2.0, hurries=True, serves=True)
    )
    print(outcome)
    assert {name.split()[0] for name in outcome.disturbed} == {"kill", "partition", "pause", "disk", "clock"}
    assert outcome.is_good, outcome


def test_the_kill_test_fails_where_nothing_prevents_duplicates(tmp_path: Path) -> None:
    outcome = kill_test(tmp_path, Storm(400, 100.0, 3, kills=4, hurries=True, removed="deduplication"))
    print(outcome)
    assert not outcome.verdicts["mail"].lost
    assert len(outcome.verdicts["mail"].unexplained) > 10
