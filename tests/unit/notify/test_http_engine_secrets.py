"""Secrets in a request: read by name, in no kept answer, and what follows where one is missing or rejected."""

import asyncio
from dataclasses import replace

import pytest

from functions.notify.destination import Attempt, Context
from functions.notify.http_engine import UNREACHABLE_SECONDS, HttpDestination
from functions.notify.http_kind import OutgoingRequest, Response, SecretValues
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater
from shared.errors import Temporary
from shared.fetch import Fetched, Outgoing
from shared.outgoing.auth import BearerRequestAuth, OAuth2RequestAuth
from shared.outgoing.authenticator import TokenCache
from shared.secrets import SecretStoreUnreachable
from shared.settings import read_settings
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.notifier import DELIVERY
from tests.fakes.secrets import FakeSecrets
from tests.unit.notify.http_engines import ATTEMPT, TOKEN, URL, Engine, FakeKind, answering

OAUTH = OAuth2RequestAuth(scheme="oauth2", token_url="https://id.example.com/token", client_id="c", secret="crm-token")


async def test_secrets_are_read_by_name_and_do_not_appear_in_the_kept_answer() -> None:
    engine = answering(200, f"you sent {TOKEN}".encode())
    outcome = await engine.attempt(names=["crm-token"])
    assert outcome == Delivered("200 you sent ***")
    assert engine.fetch.asked[0].headers == (("x-crm-token", TOKEN),)


async def test_a_secret_that_a_header_of_the_response_repeats_is_masked_in_the_outcome() -> None:
    class HeaderKind(FakeKind):
        def outcome(self, response: Response) -> Outcome:
            return Delivered(f"queued at {response.header('location')}")

    engine = Engine(FakeFetch({URL: Fetched(201, (("location", f"/queue?token={TOKEN}"),), b"")}), HeaderKind())
    assert await engine.attempt(names=["crm-token"]) == Delivered("queued at /queue?token=***")


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_after_a_rejected_credential_the_order_of_several_values_is_named(status: int) -> None:
    engine = answering(status, b"no")
    engine.secrets = FakeSecrets({"crm-token": "an-older-token-of-the-crm\nthe-newest-token-of-the-crm"})
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled | Failed | RetryLater)
    assert ("the first line is sent: it must be the newest" in outcome.reason) is (status != 500)


async def test_a_store_of_secrets_that_fails_is_a_failure_of_our_own_and_nothing_is_sent() -> None:
    class UnreachableSecrets(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            raise SecretStoreUnreachable("secret_unavailable", f"secret {name!r} cannot be read")

    engine = Engine(FakeFetch(), secrets=UnreachableSecrets({}))
    with pytest.raises(Temporary):
        await engine.attempt(names=["crm-token"])
    assert engine.fetch.asked == []


@pytest.mark.parametrize(("texts", "fault"), [({}, "does not exist"), ({"crm-token": ""}, "is empty")])
async def test_a_secret_that_is_missing_or_empty_holds_the_destination_and_names_the_command(
    texts: dict[str, str], fault: str
) -> None:
    engine = Engine(FakeFetch(), secrets=FakeSecrets(texts))
    outcome = await engine.attempt(names=["crm-token"])
    assert outcome == Disabled(f"secret 'crm-token' {fault}: set it with `hookchain secrets set crm-token`")
    assert engine.fetch.asked == []


async def test_a_rejected_secret_that_was_set_again_meanwhile_disables_nothing() -> None:
    class CachingSecrets(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            return await super().values(name) if fresh else ("the-one-before-1234",)

    engine = answering(410)
    engine.secrets = CachingSecrets({"crm-token": TOKEN})
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, RetryLater)
    assert "set since" in outcome.reason

    engine.secrets = FakeSecrets({"crm-token": TOKEN})
    assert isinstance(await engine.attempt(names=["crm-token"]), Disabled)


async def test_credentials_that_the_server_of_tokens_rejects_hold_the_destination() -> None:
    fetch = FakeFetch({OAUTH.token_url: Fetched(401, (), b'{"error": "invalid_client"}')})
    engine = Engine(fetch, FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,))))
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "id.example.com rejects the credentials (invalid_client)" in outcome.reason
    assert [request.url for request in fetch.asked] == [OAUTH.token_url]


async def test_destinations_with_the_same_client_share_its_token_unless_one_may_use_private_addresses() -> None:
    token = Fetched(200, (), b'{"access_token": "an-access-token", "expires_in": 600}')
    fetch, clock = FakeFetch({OAUTH.token_url: token, URL: Fetched(200, (), b"")}), FakeClock()
    secrets, tokens = FakeSecrets({"crm-token": TOKEN}), TokenCache(clock.now)
    context = Context(secrets, read_settings({}), None, clock, fetch=lambda: fetch, tokens=lambda: tokens)
    for allow_private in (False, False, True):
        kind = FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,), allow_private=allow_private))
        await HttpDestination(kind, None, ["crm-token"], context).attempt(DELIVERY, ATTEMPT)
    assert [request.url for request in fetch.asked].count(OAUTH.token_url) == 2


async def test_a_secret_at_the_end_of_the_excerpt_leaves_no_beginning_of_it() -> None:
    body = b"x" * 490 + TOKEN.encode()
    outcome = await answering(500, body).attempt(names=["crm-token"])
    assert TOKEN[:5] not in outcome.answer
    assert outcome.answer.startswith("500 xxx")


async def test_an_access_token_that_a_receiver_repeats_is_masked() -> None:
    token = Fetched(200, (), b'{"access_token": "an-access-token-5678", "expires_in": 60}')
    echo = Fetched(200, (), b"you sent: Bearer an-access-token-5678")
    engine = Engine(
        FakeFetch({OAUTH.token_url: token, URL: echo}), FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,)))
    )
    assert await engine.attempt(names=["crm-token"]) == Delivered("200 you sent: Bearer ***")


async def test_credentials_that_are_rejected_when_a_token_is_renewed_hold_the_destination() -> None:
    class ExpiringFetch(FakeFetch):
        """Gives a token, rejects it, and then gives no other."""

        async def fetch(self, request: Outgoing) -> Fetched:
            answer = await super().fetch(request)
            self.answers[OAUTH.token_url] = Fetched(401, (), b'{"error": "invalid_client"}')
            return answer

    token = Fetched(200, (), b'{"access_token": "an-access-token-5678", "expires_in": 60}')
    fetch = ExpiringFetch({OAUTH.token_url: token, URL: Fetched(401, (), b"")})
    outcome = await Engine(fetch, FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,)))).attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "rejects the credentials (invalid_client)" in outcome.reason


async def test_a_server_of_tokens_that_is_slower_than_the_attempt_is_the_destinations_trouble() -> None:
    class SlowFetch(FakeFetch):
        async def fetch(self, request: Outgoing) -> Fetched:
            await asyncio.sleep(60)
            return await super().fetch(request)

    engine = Engine(SlowFetch(), FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,))))
    context = Context(engine.secrets, read_settings({}), None, FakeClock(), fetch=lambda: engine.fetch)
    destination = HttpDestination(engine.kind, None, ["crm-token"], context)
    outcome = await destination.attempt(DELIVERY, replace(ATTEMPT, timeout_seconds=0.01))
    assert outcome == RetryLater("no access token came in time; nothing was sent", UNREACHABLE_SECONDS)


@pytest.mark.parametrize("value", ["token\u201cwith-a-quote", "token-with-a-mark\ufeff", "token\x01-of-the-crm"])
async def test_a_secret_that_no_header_can_hold_holds_the_destination_and_costs_no_delivery(value: str) -> None:
    auth = (BearerRequestAuth(scheme="bearer", secret="crm-token"),)
    engine = Engine(FakeFetch(), FakeKind(OutgoingRequest("POST", URL, auth=auth)), FakeSecrets({"crm-token": value}))
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "secret 'crm-token' has a character that no header can hold" in outcome.reason
    assert value not in outcome.reason
    assert engine.fetch.asked == []


@pytest.mark.parametrize("host", ["hooks.example.com:22", "user:password@hooks.example.com", "localhost", "10.0.0.1"])
async def test_a_secret_url_that_nothing_is_sent_to_holds_the_destination_and_costs_no_delivery(host: str) -> None:
    class UrlKind(FakeKind):
        def request(
            self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt
        ) -> OutgoingRequest:
            return OutgoingRequest("POST", f"{secrets['crm-token'][0]}?wait=true")

    secrets = FakeSecrets({"crm-token": f"https://{host}/services/1"})
    outcome = await Engine(FakeFetch(), UrlKind(), secrets).attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "secret 'crm-token' is no URL to send to" in outcome.reason
    assert "hookchain secrets set crm-token" in outcome.reason
    assert host not in outcome.reason


async def test_a_certificate_that_cannot_be_used_holds_the_destination() -> None:
    class PemFetch(FakeFetch):
        async def fetch(self, request: Outgoing) -> Fetched:
            raise Temporary("secret_unusable", "the client's certificate and its key do not belong together")

    assert isinstance(await Engine(PemFetch()).attempt(names=["crm-token"]), Disabled)


@pytest.mark.parametrize(
    "echo",
    [
        "no such path {path}",
        '{{"url": "https:\\/\\/hooks.example.com{escaped}"}}',
        "GET https%3A%2F%2Fhooks.example.com{quoted}",
        "unknown token a-part-of-a-url-that-is-secret",
        "<a href='{path}&amp;sig=another-secret-of-the-url'>",
    ],
)
async def test_no_spelling_of_a_secret_url_is_left_in_the_answer(echo: str) -> None:
    path = "/services/T1/a-part-of-a-url-that-is-secret?v=1&sig=another-secret-of-the-url"
    texts = {"path": path, "escaped": path.replace("/", "\\/"), "quoted": path.replace("/", "%2F")}
    engine = answering(500, echo.format(**texts).encode())
    engine.secrets = FakeSecrets({"crm-url": f"https://hooks.example.com{path}"})
    outcome = await engine.attempt(names=["crm-url"])
    assert "***" in outcome.answer
    assert "secret" not in outcome.answer
