"""Providers' keys: fetched where their schemes allow, kept for a while, and never a yes when they cannot be had."""

import pytest

from functions.receive.keys import KEEP_SECONDS, MAX_KEPT, Keys, confirmed
from shared.errors import Rejected, Temporary
from shared.ports import Fetched
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch

URL = "https://sns.eu-west-1.amazonaws.com/a.pem"


def answer(status: int = 200, body: bytes = b"pem") -> Fetched:
    return Fetched(status, (), body)


async def test_a_key_is_fetched_once_and_again_when_its_time_is_over() -> None:
    fetch, clock = FakeFetch({URL: answer()}), FakeClock()
    keys = Keys(fetch, clock)
    for _ in range(3):
        assert await keys.at([URL]) == {URL: b"pem"}
    assert len(fetch.asked) == 1
    clock.advance(KEEP_SECONDS + 1)
    fetch.answers[URL] = answer(body=b"newer")
    assert await keys.at([URL]) == {URL: b"newer"}


@pytest.mark.parametrize("status", [301, 408, 429, 500, 503])
async def test_a_key_that_cannot_be_had_now_is_our_trouble(status: int) -> None:
    with pytest.raises(Temporary) as trouble:
        await Keys(FakeFetch({URL: answer(status)}), FakeClock()).at([URL])
    assert trouble.value.code == "key_unavailable"


async def test_a_place_out_of_reach_or_not_public_is_our_trouble_too() -> None:
    for fetch in (FakeFetch(), FakeFetch({URL: answer()}, {"sns.eu-west-1.amazonaws.com": ["10.0.0.1"]})):
        with pytest.raises(Temporary):
            await Keys(fetch, FakeClock()).at([URL])


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_key_that_is_not_there_is_the_senders_fault(status: int) -> None:
    with pytest.raises(Rejected) as refusal:
        await Keys(FakeFetch({URL: answer(status)}), FakeClock()).at([URL])
    assert refusal.value.code == "cert_url"


async def test_no_more_keys_are_kept_than_memory_has_room_for() -> None:
    urls = [f"https://sns.eu-west-1.amazonaws.com/{number}.pem" for number in range(MAX_KEPT + 5)]
    fetch = FakeFetch(dict.fromkeys(urls, answer()))
    keys = Keys(fetch, FakeClock())
    await keys.at(urls)
    await keys.at(urls[-1:])
    assert len(fetch.asked) == len(urls)
    await keys.at(urls[:1])
    assert len(fetch.asked) == len(urls) + 1


async def test_a_subscription_that_is_not_confirmed_is_asked_for_again() -> None:
    await confirmed(FakeFetch({URL: answer(204)}), URL)
    for fetch in (FakeFetch({URL: answer(500)}), FakeFetch()):
        with pytest.raises(Temporary):
            await confirmed(fetch, URL)
    with pytest.raises(Rejected) as refusal:
        await confirmed(FakeFetch({URL: answer()}, {"sns.eu-west-1.amazonaws.com": ["169.254.169.254"]}), URL)
    assert refusal.value.code == "sub_url"
