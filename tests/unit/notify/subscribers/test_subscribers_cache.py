"""What is remembered of tenants and endpoints: for a time, and only so much."""

from functions.notify.subscribers.subscribers import TimedCache
from tests.fakes.clock import FakeClock


def test_what_is_used_least_is_forgotten_until_the_rest_fits() -> None:
    cache: TimedCache[list[int]] = TimedCache(FakeClock(), most=10, seconds=10.0, weight=len)
    for name in ("a", "b", "c"):
        cache.put(name, [0] * 3)
    assert cache.get("a") is not None
    cache.put("d", [0] * 4)
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]
    cache.put("a", [0] * 9)  # in place of what it was
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a"]
    cache.drop("a")
    cache.put("b", [0] * 10)
    assert cache.get("b") is not None


def test_a_value_lasts_no_longer_where_the_clock_is_set_back() -> None:
    clock = FakeClock()
    cache: TimedCache[str] = TimedCache(clock, most=2, seconds=10.0)
    cache.put("a", "1")
    clock.advance(-3_600)
    assert cache.get("a") is None
    cache.put("a", "2")
    assert cache.get("a") == "2"


def test_what_is_empty_has_a_weight_too() -> None:
    cache: TimedCache[list[int]] = TimedCache(FakeClock(), most=2, seconds=10.0, weight=len)
    for name in ("a", "b", "c"):
        cache.put(name, [])
    assert len(cache) == 2
