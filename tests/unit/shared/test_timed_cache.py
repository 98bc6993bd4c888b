"""The cache of values that expire."""

import pytest

from shared.timed_cache import TimedCache

NOW = 1_790_000_000.0


def test_what_was_asked_for_last_stays_longest() -> None:
    cache: TimedCache[bytes] = TimedCache(100, weight=len)
    for name in ("a", "b", "c"):
        cache.put(name, b"x" * 30, NOW, 60)
    assert cache.get("a", NOW)
    cache.put("d", b"x" * 30, NOW, 60)
    assert [name for name in "abcd" if cache.get(name, NOW)] == ["a", "c", "d"]


@pytest.mark.parametrize(("seconds_later", "kept"), [(0, b"x"), (59, b"x"), (60, None), (-1, b"x"), (-3_600, None)])
def test_a_value_is_kept_for_its_time_unless_the_clock_was_set_back(seconds_later: float, kept: bytes | None) -> None:
    cache: TimedCache[bytes] = TimedCache(100)
    cache.put("a", b"x", NOW, 60)
    assert cache.get("a", NOW + seconds_later) == kept
    assert cache.last("a") == b"x"


def test_a_value_that_is_put_again_weighs_once() -> None:
    cache: TimedCache[bytes] = TimedCache(100, weight=len)
    for _ in range(10):
        cache.put("a", b"x" * 30, NOW, 60)
    cache.put("b", b"x" * 60, NOW, 60)
    assert cache.get("a", NOW)
    assert cache.get("b", NOW)
