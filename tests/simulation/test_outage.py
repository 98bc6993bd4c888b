"""Destinations that are away for four days on a virtual clock: each event arrives once, soon after they are back."""

from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from tests.simulation.outage import DAY, HOUR, Away, Post, Result, Scenario, run_outage

pytestmark = pytest.mark.slow

BACK_AT: Final = 4 * DAY
AFTER_A_PAUSE: Final = 1.2 * HOUR
"""The breaker's longest pause and its jitter: soon after it all are tried that were not tried in vain before."""
AFTER_THE_LONGEST_WAIT: Final = 1.2 * DAY
PER_SECOND: Final = 400
BREAKER_OFF: Final = {"breaker": "off"}


def hook(name: str = "crm", **options: str) -> str:
    return _destination(name, f"webhook: {{url: 'https://{name}.example.com/in'}}", options)


def chat(**options: str) -> str:
    return _destination("crm", 'slack: {secret: chat-url, text: "{{ data.number }}"}', options)


def _destination(name: str, kind: str, options: Mapping[str, str]) -> str:
    lines = [kind, *(f"{option}: {value}" for option, value in options.items())]
    return "\n    ".join([f"  {name}:", *lines]) + "\n"


def hourly(count: int) -> list[Post]:
    """Posts that are spread over the first hour."""
    return [Post(number, number * HOUR / count) for number in range(count)]


def assert_each_arrived_once(result: Result, posts: Sequence[Post], destination: str = "crm") -> None:
    expected = {post.number: 1 for post in posts}
    assert result.answered(destination) == expected
    assert all(len(keys) == 1 for keys in result.keys(destination).values())
    assert result.is_over


def away_for_four_days(count: int, away: Away, options: Mapping[str, str], has_delays: bool) -> Result:
    """Each event arrives once: by key, for a receiver that may have taken what it did not answer."""
    posts = hourly(count)
    result = run_outage(Scenario(hook(**options), posts, away, BACK_AT, has_delays=has_delays))
    assert_each_arrived_once(result, posts)
    assert not result.dead_letters
    assert result.last_at("crm") < BACK_AT + AFTER_THE_LONGEST_WAIT
    assert result.most_within("crm", 10) <= 10 * PER_SECOND
    return result


@pytest.mark.parametrize("away", ["refuses", "hangs"])
@pytest.mark.parametrize("has_delays", [True, False], ids=["a bus with delays", "a bus without"])
def test_everything_arrives_once_by_its_schedule_after_four_days(away: Away, has_delays: bool) -> None:
    result = away_for_four_days(100, away, BREAKER_OFF, has_delays)
    assert result.attempts_while_away <= 100 * 10


@pytest.mark.parametrize("away", ["refuses", "hangs"])
@pytest.mark.parametrize("has_delays", [True, False], ids=["a bus with delays", "a bus without"])
def test_with_a_breaker_most_arrive_after_its_pause_and_few_were_tried_in_vain(away: Away, has_delays: bool) -> None:
    result = away_for_four_days(100, away, {}, has_delays)
    assert result.attempts_while_away < 200
    late = [each for each in result.arrivals["crm"] if each.is_answered and each.at > BACK_AT + AFTER_A_PAUSE]
    assert len(late) < 50, "only those that were tried for all the others wait by their own schedule"


def test_a_backlog_goes_out_at_the_sweep_s_pace_and_delays_no_other() -> None:
    """Many that failed at once, and all are due when the scheduler comes back: at a pace, and others pass them."""
    count, back = 3_000, 2 * HOUR
    posts = [Post(number, number / 1_000) for number in range(count)]
    others = [Post(count + number, back + number / 4, to="other") for number in range(count // PER_SECOND)]
    options = {**BREAKER_OFF, "retry": "[30m, 1h]"}
    scenario = Scenario(hook(**options) + hook("other"), [*posts, *others], back_at=HOUR, sweeps_from=back)
    result = run_outage(scenario)
    assert_each_arrived_once(result, posts)
    assert_each_arrived_once(result, others, "other")
    # Until one of them is answered, the destination counts as in trouble, and most come back a little later.
    assert result.last_at("crm") - back <= count / PER_SECOND + 8
    assert result.most_within("crm", 5) <= 6 * PER_SECOND
    assert max(max(delays) for delays in result.delays("other", others).values()) < 1


@pytest.mark.parametrize(("away", "has_delays"), [("refuses", True), ("hangs", True), ("refuses", False)])
def test_a_backlog_keeps_to_the_destination_s_rate(away: Away, has_delays: bool) -> None:
    posts = hourly(200)
    options = {"rate": "5/s", "in_flight": "4"}
    result = run_outage(Scenario(hook(**options), posts, away, BACK_AT, has_delays=has_delays))
    assert_each_arrived_once(result, posts)
    assert result.last_at("crm") < BACK_AT + AFTER_THE_LONGEST_WAIT
    assert result.most_within("crm", 60) <= 1.2 * 5 * 60


def flooded(flood: int, has_delays: bool) -> list[float]:
    """Return how long the events of 49 customers took, shortest first, while one customer sends so many at once."""
    quiet = [Post(100 * n + of, 3 * n + of / 17, f"c{of}") for of in range(1, 50) for n in range(10)]
    noisy = [Post(10_000 + n, n / 100, "c0") for n in range(flood)]
    options = {"rate": "5/s", "in_flight": "3", "per": "data.customer"}
    result = run_outage(Scenario(hook(**options), [*quiet, *noisy], has_delays=has_delays))
    assert_each_arrived_once(result, [*quiet, *noisy])
    delays = result.delays("crm", [*quiet, *noisy])
    assert result.takes < 2 * len(quiet) + 5 * flood, "a delivery comes back for its turn few times"
    return sorted(delay for customer, of in delays.items() if customer != "c0" for delay in of)


@pytest.mark.parametrize("has_delays", [True, False], ids=["a bus with delays", "a bus without"])
def test_one_key_of_fifty_that_floods_delays_no_other(has_delays: bool) -> None:
    calm, stormy = flooded(0, has_delays), flooded(600, has_delays)
    assert stormy[-1] < 2 * calm[-1]


@pytest.mark.parametrize("away", ["refuses", "hangs"])
def test_what_expires_arrives_at_the_other_destination_once(away: Away) -> None:
    posts = hourly(100)
    destinations = hook(expires_after="6h", otherwise="office") + hook("office")
    result = run_outage(Scenario(destinations, posts, away, BACK_AT))
    assert_each_arrived_once(result, posts, "office")
    assert result.dead_letters == {("crm", "expired"): len(posts)}
    assert not result.answered("crm")
    assert max(max(delays) for delays in result.delays("office", posts).values()) < 6 * HOUR + 120


def test_a_chat_that_does_not_answer_has_no_message_four_times_and_the_operator_learns_of_each() -> None:
    posts = hourly(100)
    result = run_outage(Scenario(chat(**BREAKER_OFF), posts, "hangs", BACK_AT))
    assert result.dead_letters == {("crm", "outcome_unknown"): len(posts)}
    assert len(result.arrivals["crm"]) == 3 * len(posts)
    assert result.is_over


@pytest.mark.parametrize("has_delays", [True, False], ids=["a bus with delays", "a bus without"])
def test_what_waits_for_an_open_breaker_costs_about_a_write_each_hour(has_delays: bool) -> None:
    posts = hourly(50)
    result = run_outage(Scenario(hook(), posts, back_at=BACK_AT, has_delays=has_delays))
    assert_each_arrived_once(result, posts)
    assert result.writes <= 1.5 * (BACK_AT / HOUR) * len(posts)


@pytest.mark.parametrize("has_delays", [True, False], ids=["a bus with delays", "a bus without"])
def test_what_waits_for_an_open_breaker_comes_within_a_minute_of_a_resume(has_delays: bool) -> None:
    resumed_at = 30.5 * HOUR
    posts = [*hourly(100), *(Post(1_000 + n, resumed_at + n / 2) for n in range(20))]
    scenario = Scenario(hook(), posts, back_at=resumed_at, has_delays=has_delays, resumed_at=resumed_at)
    result = run_outage(scenario)
    assert_each_arrived_once(result, posts)
    assert result.last_at("crm") <= resumed_at + 90
