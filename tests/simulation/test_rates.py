"""Rates over all instances on a virtual clock, minute by minute, on a bus with delays and on one without.

On the latter, deliveries that wait come with the sweep only, so that the minute in which a queue begins is not counted.
"""

from collections.abc import Sequence
from typing import Final

import pytest

from tests.simulation.outage import Post, Result, Scenario, run_outage

pytestmark = pytest.mark.slow

MINUTE: Final = 60.0
WEBHOOK: Final = "  crm:\n    webhook: {url: 'https://crm.example.com/in'}\n"
TOLERANCE: Final = 0.2
INSTANCES: Final = 4


def flooded(count: int, limits: str, keys: int, has_delays: bool) -> Result:
    """Let all come within five seconds, shortly before a sweep."""
    posts = [Post(number, 55 + 5 * number / count, f"c{number % keys}") for number in range(count)]
    scenario = Scenario(WEBHOOK + limits, posts, has_delays=has_delays, instances=INSTANCES)
    result = run_outage(scenario)
    assert result.answered("crm") == dict.fromkeys(range(count), 1)
    assert result.is_over
    return result


def most_within(seconds: float, times: Sequence[float]) -> int:
    return max(sum(begin <= at < begin + seconds for at in times[number:]) for number, begin in enumerate(times))


@pytest.mark.parametrize("has_delays", [True, False], ids=["a bus with delays", "a bus without"])
@pytest.mark.parametrize(
    ("limits", "per_minute", "keys"),
    [
        ("    rate: 2/s\n    in_flight: 4\n", 120, 1),
        ("    rate: 30/m\n", 30, 1),
        ("    rate: 1/s\n    per: data.customer\n", 60, 3),
    ],
    ids=["2 a second and 4 under way", "30 a minute", "1 a second of each of 3 keys"],
)
def test_each_minute_has_its_rate_within_a_fifth(limits: str, per_minute: int, keys: int, has_delays: bool) -> None:
    count = 4 * per_minute * keys
    result = flooded(count, limits, keys, has_delays)
    for key in range(keys):
        times = sorted(each.at for each in result.arrivals["crm"] if each.number % keys == key)
        assert most_within(MINUTE, times) <= (1 + TOLERANCE) * per_minute
        minutes = [sum(begin <= at < begin + MINUTE for at in times) for begin in (120.0, 180.0)]
        assert min(minutes) >= (1 - TOLERANCE) * per_minute
    assert result.takes <= 2.2 * count, "nearly each comes twice: first, and at its slot"
