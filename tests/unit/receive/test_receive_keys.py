"""Providers' keys: fetched where their schemes allow, kept for a while, and never a yes when they cannot be had."""

import asyncio
import json

import pytest

from functions.receive import provider_keys
from functions.receive.lambda_handler import handle
from shared.errors import Rejected, Temporary
from shared.fetch import Fetched, Outgoing
from shared.http import Request
from shared.jsontext import JsonObject
from shared.signatures.auth_scheme import NeededKey
from tests.aws.invoked import Context, url_event
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.in_process.posting import JSON, Posting

URL = "https://sns.eu-west-1.amazonaws.com/a.pem"


def answer(status: int = 200, body: bytes = b"pem") -> Fetched:
    return Fetched(status, (), body)


def named(url: str = URL) -> NeededKey:
    return NeededKey(url, is_configured=False)


CONFIGURED = NeededKey("https://www.googleapis.com/oauth2/v3/certs", is_configured=True)


async def code_of(keys: provider_keys.Keys, key: NeededKey) -> str:
    try:
        await keys.at([key])
    except (Rejected, Temporary) as error:
        return error.code
    return ""


async def test_a_key_is_fetched_once_and_again_when_its_time_is_over() -> None:
    fetch, clock = FakeFetch({URL: answer()}), FakeClock()
    keys = provider_keys.Keys(fetch, clock)
    for _ in range(3):
        assert await keys.at([named()]) == {URL: b"pem"}
    assert len(fetch.asked) == 1
    clock.advance(provider_keys.KEEP_SECONDS + 1)
    fetch.answers[URL] = answer(body=b"newer")
    assert await keys.at([named()]) == {URL: b"newer"}


@pytest.mark.parametrize("status", [301, 429, 503])
async def test_a_key_that_cannot_be_had_now_is_our_trouble_for_ten_seconds(status: int) -> None:
    fetch, clock = FakeFetch({URL: answer(status)}), FakeClock()
    keys = provider_keys.Keys(fetch, clock)
    for _ in range(3):
        assert await code_of(keys, named()) == "key_unavailable"
    assert len(fetch.asked) == 1
    fetch.answers[URL] = answer()
    clock.advance(provider_keys.FAILED_SECONDS)
    assert await keys.at([named()]) == {URL: b"pem"}


async def test_a_key_that_is_not_there_is_the_senders_fault_for_a_minute() -> None:
    fetch, clock = FakeFetch({URL: answer(404)}), FakeClock()
    keys = provider_keys.Keys(fetch, clock)
    for _ in range(3):
        assert await code_of(keys, named()) == "certificate_url_not_allowed"
    assert len(fetch.asked) == 1
    fetch.answers[URL] = answer()
    clock.advance(provider_keys.MISSING_SECONDS - 1)
    assert await code_of(keys, named()) == "certificate_url_not_allowed"
    clock.advance(1)
    assert await keys.at([named()]) == {URL: b"pem"}


async def test_a_configured_url_without_a_key_is_our_trouble_and_rejects_no_genuine_event() -> None:
    fetch = FakeFetch({CONFIGURED.url: answer(404)})
    assert await code_of(provider_keys.Keys(fetch, FakeClock()), CONFIGURED) == "key_unavailable"


class SlowFetch(FakeFetch):
    """Answers once the test lets it."""

    def __init__(self, answers: dict[str, Fetched]) -> None:
        super().__init__(answers)
        self.may_answer = asyncio.Event()

    async def fetch(self, request: Outgoing) -> Fetched:
        found = await super().fetch(request)
        await self.may_answer.wait()
        return found


async def test_requests_that_need_the_same_key_at_once_share_one_fetch() -> None:
    fetch = SlowFetch({URL: answer()})
    keys = provider_keys.Keys(fetch, FakeClock())
    waiting = [asyncio.create_task(code_of(keys, named())) for _ in range(20)]
    await asyncio.sleep(0)
    fetch.may_answer.set()
    assert await asyncio.gather(*waiting) == [""] * 20
    assert len(fetch.asked) == 1


async def test_a_request_that_ends_early_takes_the_shared_fetch_from_no_other() -> None:
    fetch = SlowFetch({URL: answer()})
    keys = provider_keys.Keys(fetch, FakeClock())
    first, second = (asyncio.create_task(code_of(keys, named())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    fetch.may_answer.set()
    assert await second == ""


async def test_at_most_ten_keys_are_fetched_in_a_minute_and_strangers_leave_two_to_known_ones() -> None:
    urls = [f"https://sns.eu-west-1.amazonaws.com/{number}.pem" for number in range(20)]
    fetch, clock = FakeFetch({**dict.fromkeys(urls, answer(404)), URL: answer(), CONFIGURED.url: answer()}), FakeClock()
    keys = provider_keys.Keys(fetch, clock)
    await keys.at([named()])
    clock.advance(provider_keys.KEEP_SECONDS)
    codes = [await code_of(keys, named(url)) for url in urls]
    allowed = provider_keys.MAX_FETCHES_A_MINUTE - provider_keys.RESERVED_FETCHES
    assert codes == ["certificate_url_not_allowed"] * allowed + ["key_unavailable"] * (len(urls) - allowed)
    assert await keys.at([CONFIGURED, named()]) == {CONFIGURED.url: b"pem", URL: b"pem"}
    assert len(fetch.asked) == 1 + provider_keys.MAX_FETCHES_A_MINUTE
    other = NeededKey("https://login.example.com/keys", is_configured=True)
    assert await code_of(keys, other) == "key_unavailable"
    assert len(fetch.asked) == 1 + provider_keys.MAX_FETCHES_A_MINUTE
    clock.advance(provider_keys.MINUTE_SECONDS)
    assert await code_of(keys, named(urls[-1])) == "certificate_url_not_allowed"


async def test_no_more_keys_are_kept_than_memory_has_room_for() -> None:
    urls = [f"https://login.example.com/{number}" for number in range(provider_keys.MAX_KEPT + 1)]
    fetch, clock = FakeFetch(dict.fromkeys(urls, answer())), FakeClock()
    keys = provider_keys.Keys(fetch, clock)
    for url in urls:
        await keys.at([NeededKey(url, is_configured=True)])
        clock.advance(provider_keys.MINUTE_SECONDS / provider_keys.MAX_FETCHES_A_MINUTE)
    assert await keys.at([NeededKey(urls[-1], is_configured=True)])
    assert len(fetch.asked) == len(urls)
    assert await keys.at([NeededKey(urls[0], is_configured=True)])
    assert len(fetch.asked) == len(urls) + 1


async def test_a_subscription_that_is_not_confirm_subscription_is_asked_for_again() -> None:
    await provider_keys.confirm_subscription(FakeFetch({URL: answer(204)}), URL)
    for fetch in (FakeFetch({URL: answer(500)}), FakeFetch()):
        with pytest.raises(Temporary):
            await provider_keys.confirm_subscription(fetch, URL)
    inside = FakeFetch({URL: answer()}, {"sns.eu-west-1.amazonaws.com": ["169.254.169.254"]})
    with pytest.raises(Rejected) as rejection:
        await provider_keys.confirm_subscription(inside, URL)
    assert rejection.value.code == "subscribe_url_not_allowed"


def test_on_lambda_a_binary_body_is_the_bytes_that_were_sent_and_a_rejection_has_its_code() -> None:
    posting = Posting("open: {auth: none}\ninside: {auth: none, allow: [192.0.2.0/24]}")

    def invoke(request: Request) -> JsonObject:
        return handle(url_event(request), Context(), lambda: posting.receiver)

    accepted = invoke(Request("POST", "/open", "", (("content-type", "application/octet-stream"),), b"\xff\x00"))
    [event] = posting.events
    assert accepted == {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"id": event.id}, separators=(",", ":")),
        "isBase64Encoded": False,
    }
    assert "/wA=" in json.dumps(event.data)
    rejected = invoke(Request("POST", "/inside", "", (JSON,), b"{}", peer="198.51.100.7"))
    assert (rejected["statusCode"], json.loads(str(rejected["body"]))["code"]) == (403, "address_not_allowed")
