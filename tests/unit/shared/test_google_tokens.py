"""Google's tokens: those that the metadata server gives, and those of pushes that transform and notify accept."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from deploy.dev.pubsub.push_tokens import PushTokens
from functions.transform import entry
from shared.cloud.gcp.push_identity import (
    ASK_AGAIN_SECONDS,
    EMULATED_KEYS_PATH,
    GOOGLE_KEYS,
    KEYS_SECONDS,
    PushVerifier,
)
from shared.cloud.gcp.tokens import (
    IDENTITY_SECONDS,
    LAST_IDENTITY_SECONDS,
    Authorization,
    MetadataIdentity,
    RenewedToken,
    ScopedTokens,
    Token,
    metadata_authorization,
)
from shared.errors import Rejected, Temporary
from shared.event import to_cloudevent
from shared.http import Request
from shared.jsontext import Json, JsonObject, to_json
from shared.settings import read_settings
from shared.signatures.jwt import JwtScheme
from tests.fakes.bodies import reading
from tests.fakes.clock import FakeClock
from tests.fakes.pushes import PUSHER, cloud_run_environment, cloud_run_headers
from tests.gcp.metadata_server import MetadataServer
from tests.unit.transform.transform_bench import EVENT, Bench


@pytest.fixture
async def authorization(metadata_host: str) -> AsyncIterator[Authorization]:
    yield metadata_authorization(metadata_host, FakeClock().now)
    await asyncio.sleep(0)  # in which its connection is gone


async def test_a_token_is_asked_for_once_and_kept(metadata: MetadataServer, authorization: Authorization) -> None:
    assert await asyncio.gather(*(authorization() for _ in range(20))) == ["Bearer t0"] * 20
    assert await authorization() == "Bearer t0"
    assert metadata.tokens_asked == 1


async def test_a_token_of_a_scope_is_asked_for_once_and_kept(metadata: MetadataServer, metadata_host: str) -> None:
    tokens = ScopedTokens(metadata_host, FakeClock().now)
    for scope in ("https://a.example/one https://a.example/two", "https://a.example/three"):
        assert [await tokens(scope), await tokens(scope)] == ["t0", "t0"]
    assert metadata.scopes == ["https://a.example/one,https://a.example/two", "https://a.example/three"]
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (404, {}, "answered 404"),
        (200, {}, "holds no token"),
        (200, {"access_token": 1, "expires_in": 1}, "holds no token"),
        (200, {"access_token": "t"}, "holds no token"),
    ],
)
async def test_no_token_is_temporary_and_asked_for_again(
    metadata: MetadataServer, authorization: Authorization, status: int, answer: JsonObject, message: str
) -> None:
    metadata.status, good = status, metadata.token
    metadata.token = answer
    with pytest.raises(Temporary, match=message):
        await authorization()
    metadata.status, metadata.token = 200, good
    assert await authorization() == "Bearer t0"


async def test_a_token_is_renewed_before_it_ends() -> None:
    clock, given = FakeClock(), iter(range(9))

    async def fetch() -> Token:
        return Token(f"t{next(given)}", clock.now() + 3_600)

    authorization = RenewedToken(fetch, clock.now).header
    assert await authorization() == "Bearer t0"
    clock.advance(3_374)
    assert await authorization() == "Bearer t0"
    clock.advance(1)
    assert await authorization() == "Bearer t1"


async def test_a_token_serves_to_its_end_while_no_new_one_comes() -> None:
    clock, given = FakeClock(), iter([Token("t0", FakeClock().now() + 3_600)])

    async def fetch() -> Token:
        for token in given:
            return token
        raise Temporary("credentials_unavailable", "the metadata server did not answer")

    authorization = RenewedToken(fetch, clock.now).header
    await authorization()
    clock.advance(3_589)
    assert await authorization() == "Bearer t0"
    clock.advance(1)
    with pytest.raises(Temporary, match="did not answer"):
        await authorization()


AUDIENCE = "https://convert-abc.a.run.app/in?x=1"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def identity(metadata_host: str, clock: FakeClock) -> AsyncIterator[MetadataIdentity]:
    yield MetadataIdentity(metadata_host, clock.now)
    await asyncio.sleep(0)  # in which its connection is gone


async def test_a_token_is_for_its_audience_and_is_kept_for_half_its_life(
    metadata: MetadataServer, identity: MetadataIdentity, clock: FakeClock
) -> None:
    assert [await identity(AUDIENCE), await identity(AUDIENCE)] == ["token-1", "token-1"]
    assert await identity("https://other.example.com") == "token-2"
    clock.advance(IDENTITY_SECONDS)
    assert await identity(AUDIENCE) == "token-3"
    assert metadata.audiences == [AUDIENCE, "https://other.example.com", AUDIENCE]


async def test_a_token_that_is_still_good_serves_while_there_is_no_new_one(
    metadata: MetadataServer, identity: MetadataIdentity, clock: FakeClock
) -> None:
    await identity(AUDIENCE)
    metadata.status = 503
    clock.advance(LAST_IDENTITY_SECONDS - 1)
    assert await identity(AUDIENCE) == "token-1"
    clock.advance(1)
    with pytest.raises(Temporary, match="answered 503"):
        await identity(AUDIENCE)


async def test_without_a_token_the_event_comes_again(metadata: MetadataServer, identity: MetadataIdentity) -> None:
    metadata.status = 404
    with pytest.raises(Temporary, match="answered 404"):
        await identity(AUDIENCE)
    with pytest.raises(Temporary, match="did not answer"):
        await MetadataIdentity("127.0.0.1:9")(AUDIENCE)


# The pushes that transform and notify accept

TRANSFORM: Final = "https://transform.example"
ANOTHER: Final = "convert@a-project.iam.gserviceaccount.com"
DEPLOYED: Final = cloud_run_environment(TRANSFORM)


def head(headers: dict[str, str], path: str = "/") -> Request:
    return Request("POST", path, "", tuple((name.lower(), value) for name, value in headers.items()))


def on_cloud_run() -> PushVerifier:
    return PushVerifier(read_settings(DEPLOYED))


@pytest.mark.parametrize(
    "claims",
    [
        {"email": ANOTHER},
        {"aud": "https://notify.example"},
        {"iss": "https://accounts.example"},
        {"email_verified": False},
        {"exp": 1_000},
    ],
    ids=str,
)
async def test_a_token_of_another_account_audience_issuer_or_time_is_rejected(claims: dict[str, Json]) -> None:
    with pytest.raises(Rejected) as rejected:
        await on_cloud_run().verify(head(cloud_run_headers(TRANSFORM, **claims)))
    assert (rejected.value.code, rejected.value.status) == ("push_identity_mismatch", 401)
    assert ANOTHER not in rejected.value.detail


@pytest.mark.parametrize("verified", [cloud_run_headers(TRANSFORM, email=ANOTHER)["Authorization"], ""])
async def test_a_forged_token_beside_the_one_that_cloud_run_verified_is_ignored(verified: str) -> None:
    forged = cloud_run_headers(TRANSFORM)
    with pytest.raises(Rejected):
        await on_cloud_run().verify(head({**forged, "X-Serverless-Authorization": verified}))


@pytest.mark.parametrize("missing", ["K_SERVICE", "HOOKCHAIN_INVOKER_CHECK"])
def test_only_a_deployment_on_cloud_run_goes_without_the_signature(missing: str) -> None:
    environ = {name: value for name, value in DEPLOYED.items() if name != missing}
    assert PushVerifier(read_settings(environ)).scheme.keys_url == GOOGLE_KEYS
    assert on_cloud_run().scheme.keys_url == ""


@pytest.mark.parametrize("missing", ["HOOKCHAIN_PUSH_ACCOUNT", "HOOKCHAIN_PUSH_AUDIENCE"])
async def test_a_function_that_does_not_know_who_pushes_accepts_nothing_and_loses_nothing(missing: str) -> None:
    settings = read_settings({name: value for name, value in DEPLOYED.items() if name != missing})
    with pytest.raises(Temporary, match="HOOKCHAIN_PUSH_ACCOUNT and HOOKCHAIN_PUSH_AUDIENCE are not set"):
        await PushVerifier(settings).verify(head(cloud_run_headers(TRANSFORM)))


async def test_a_caller_of_a_chain_cannot_push_an_event() -> None:
    bench = Bench()
    service = entry.Service(bench.transformer, {}, None, on_cloud_run().verify)
    data = base64.b64encode(to_json(to_cloudevent(EVENT)).encode()).decode()
    body = to_json({"message": {"data": data, "messageId": "m1"}}).encode()
    caller = cloud_run_headers(TRANSFORM, email=ANOTHER)
    assert (await entry.answer(service, head(caller), reading(body))).status == 401
    assert bench.bus.sent == []
    chain = await entry.answer(service, head(caller, "/chains/none"), reading(body))
    assert json.loads(chain.body)["code"] == "unknown_chain"
    assert (await entry.answer(service, head(cloud_run_headers(TRANSFORM)), reading(body))).status == 204
    assert bench.bus.sent != []


# Where the signature is verified by the function: locally, and wherever Cloud Run does not verify it


class KeyServer:
    """Serves the key set of one state folder, as the emulated cloud APIs do."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.tokens = PushTokens(folder, clock.now)
        self.status = 200
        self.count = 0
        self.host = ""

    async def serve(self, _: web.Request) -> web.Response:
        self.count += 1
        return web.json_response(self.tokens.keys(), status=self.status)


@pytest.fixture
async def server(tmp_path: Path, clock: FakeClock) -> AsyncIterator[KeyServer]:
    server = KeyServer(tmp_path, clock)
    app = web.Application()
    app.router.add_get(EMULATED_KEYS_PATH, server.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.host = f"127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
def local(server: KeyServer, clock: FakeClock) -> PushVerifier:
    environ = {
        "PUBSUB_EMULATOR_HOST": server.host,
        "HOOKCHAIN_PUSH_ACCOUNT": PUSHER,
        "HOOKCHAIN_PUSH_AUDIENCE": TRANSFORM,
    }
    return PushVerifier(read_settings(environ), clock.now)


def bearer(token: str) -> Request:
    return head({"Authorization": f"Bearer {token}"})


async def test_the_emulators_push_is_accepted_with_keys_fetched_once(server: KeyServer, local: PushVerifier) -> None:
    for _ in range(3):
        await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))
    assert server.count == 1


async def test_pushes_that_come_together_share_one_fetch_and_its_failure(
    server: KeyServer, local: PushVerifier
) -> None:
    pushes = [bearer(server.tokens.token(PUSHER, TRANSFORM)) for _ in range(20)]
    server.status = 503
    outcomes = await asyncio.gather(*map(local.verify, pushes), return_exceptions=True)
    assert {type(each) for each in outcomes} == {Temporary}
    assert server.count == 1
    server.status = 200
    await asyncio.gather(*map(local.verify, pushes))
    assert server.count == 2


async def test_a_token_that_the_emulators_key_did_not_sign_for_this_function_is_rejected(
    server: KeyServer, local: PushVerifier, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    signed, _, _ = server.tokens.token(PUSHER, TRANSFORM).rpartition(".")
    for token in (
        PushTokens(tmp_path / "other", clock.now).token(PUSHER, TRANSFORM),
        f"{signed}.SIGNATURE_REMOVED_BY_GOOGLE",
        f"{signed}.",
        cloud_run_headers(TRANSFORM)["Authorization"].removeprefix("Bearer "),
        server.tokens.token(ANOTHER, TRANSFORM),
        server.tokens.token(PUSHER, "https://notify.example"),
    ):
        with pytest.raises(Rejected):
            await local.verify(bearer(token))


async def test_a_remembered_token_is_accepted_without_its_signature_until_it_expires(
    server: KeyServer, local: PushVerifier, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.tokens.token(PUSHER, TRANSFORM)
    await local.verify(bearer(token))
    calls = 0

    def counted(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        raise Rejected("signature_mismatch", "the signature is verified again")

    monkeypatch.setattr(JwtScheme, "verify", counted)
    clock.advance(3_599)
    await local.verify(bearer(token))
    assert calls == 0
    clock.advance(1)
    with pytest.raises(Rejected, match="verified again"):
        await local.verify(bearer(token))


async def test_a_remembered_token_of_another_account_or_audience_fails(server: KeyServer, local: PushVerifier) -> None:
    await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))
    for account, audience in ((ANOTHER, TRANSFORM), (PUSHER, "https://notify.example")):
        for _ in range(2):
            with pytest.raises(Rejected):
                await local.verify(bearer(server.tokens.token(account, audience)))


async def test_a_token_is_remembered_no_longer_than_the_keys_that_verified_it(
    server: KeyServer, local: PushVerifier, clock: FakeClock, tmp_path: Path
) -> None:
    await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))
    clock.advance(KEYS_SECONDS / 2)
    token = PushTokens(tmp_path, clock.now).token(PUSHER, TRANSFORM)
    await local.verify(bearer(token))
    (tmp_path / "next").mkdir()
    server.tokens = PushTokens(tmp_path / "next", clock.now)
    clock.advance(KEYS_SECONDS / 2)
    with pytest.raises(Rejected):
        await local.verify(bearer(token))


async def test_a_new_key_is_fetched_and_forged_tokens_fetch_nothing_each_time(
    server: KeyServer, local: PushVerifier, clock: FakeClock, tmp_path: Path
) -> None:
    await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))
    (tmp_path / "next").mkdir()
    server.tokens = PushTokens(tmp_path / "next", clock.now)
    for _ in range(5):
        with pytest.raises(Rejected):
            await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))
    assert server.count == 1
    clock.advance(ASK_AGAIN_SECONDS)
    await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))
    assert server.count == 2


async def test_a_push_is_accepted_after_the_clock_was_set_back(
    server: KeyServer, local: PushVerifier, clock: FakeClock
) -> None:
    server.tokens.token(PUSHER, TRANSFORM)
    clock.advance(-3_600)
    await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))


async def test_without_the_keys_a_push_comes_again(server: KeyServer, local: PushVerifier) -> None:
    server.status = 503
    with pytest.raises(Temporary, match="answered 503 when asked for its keys"):
        await local.verify(bearer(server.tokens.token(PUSHER, TRANSFORM)))


async def test_a_request_with_two_tokens_in_one_header_is_rejected() -> None:
    tokens = [cloud_run_headers(TRANSFORM, **each)["Authorization"] for each in ({"email": ANOTHER}, {})]
    with pytest.raises(Rejected):
        await on_cloud_run().verify(Request("POST", "/", "", tuple(("authorization", token) for token in tokens)))
