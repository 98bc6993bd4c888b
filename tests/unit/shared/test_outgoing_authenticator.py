"""What authenticates requests to other systems: tokens that are kept, renewed and forgotten, and signatures."""

import asyncio
import base64
from typing import Final
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

from shared.errors import Permanent, Temporary, Unanswered
from shared.fetch import Fetched
from shared.jsontext import Json, to_json
from shared.outgoing.authenticator import Authenticator
from tests.fakes.fetch import FakeFetch
from tests.unit.shared.outgoing_auth import API, POST, TOKENS, Services, header, scheme

OAUTH: Final[Json] = {"scheme": "oauth2", "token_url": TOKENS, "client_id": "me:1", "secret": "client-secret"}


async def test_client_credentials_become_a_bearer_token_which_is_kept_until_shortly_before_its_end() -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH, scope="a b", audience="https://api.example.com")

    assert await header(authenticator, auth) == "Bearer token-1"
    [asked] = services.asked
    assert asked.method == "POST"
    pair = base64.b64encode(b"me%3A1:s3cret%2F%2Bvalue-long").decode()
    assert dict(asked.headers)["authorization"] == f"Basic {pair}"
    expected = {"grant_type": "client_credentials", "scope": "a b", "audience": "https://api.example.com"}
    assert dict(parse_qsl(asked.body.decode())) == expected
    services.now += 3_539
    assert await header(authenticator, auth) == "Bearer token-1"
    services.now += 1
    assert await header(authenticator, auth) == "Bearer token-2"


async def test_client_credentials_go_into_the_body_where_the_server_wants_them_there() -> None:
    services = Services()
    await header(services.authenticator(), scheme(OAUTH, style="body"))

    form = dict(parse_qsl(services.asked[0].body.decode()))
    assert (form["client_id"], form["client_secret"]) == ("me:1", "s3cret/+value-long")
    assert "authorization" not in dict(services.asked[0].headers)


@pytest.mark.parametrize(
    ("life", "kept"), [(20, 9), ("3600", 3_000), (None, 200), ("soon", 200), (-5, -1), (1e999, 80_000)]
)
async def test_a_token_is_kept_as_long_as_its_server_says_and_no_longer(life: Json, kept: float) -> None:
    services = Services(life)
    authenticator, auth = services.authenticator(), scheme(OAUTH)
    await header(authenticator, auth)
    services.now += max(kept, 0)
    await header(authenticator, auth)
    assert services.given == (1 if kept >= 0 else 2)
    services.now += 90_000
    await header(authenticator, auth)
    assert services.given == (2 if kept >= 0 else 3)


async def test_one_request_at_a_time_asks_for_a_token() -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH)

    assert {*await asyncio.gather(*(header(authenticator, auth) for _ in range(20)))} == {"Bearer token-1"}
    assert services.given == 1


async def test_who_gives_up_waiting_for_a_token_leaves_the_request_to_the_others() -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH)
    first = asyncio.ensure_future(header(authenticator, auth))
    second = asyncio.ensure_future(header(authenticator, auth))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == "Bearer token-1"


async def test_another_value_of_the_secret_asks_for_another_token() -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH)
    await header(authenticator, auth)
    services.secrets.texts["client-secret"] = "another-value-of-it"

    assert await header(authenticator, auth) == "Bearer token-2"


async def test_a_rejected_token_is_forgotten_and_the_request_sent_once_more() -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH)
    services.good = {"token-2"}

    assert (await authenticator.send([auth], POST)).status == 200
    assert [request.url for request in services.asked] == [TOKENS, API, TOKENS, API]
    services.good = set()
    assert (await authenticator.send([auth], POST)).status == 401
    assert services.given == 3


async def test_many_rejections_of_one_token_ask_for_one_new_token() -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH)
    await header(authenticator, auth)
    services.good = {"token-2"}

    answers = await asyncio.gather(*(authenticator.send([auth], POST) for _ in range(20)))
    assert ({answer.status for answer in answers}, services.given) == ({200}, 2)


async def test_a_401_without_a_kept_token_is_the_answer() -> None:
    services = Services()
    services.good = set()
    auth = scheme({"scheme": "bearer", "secret": "client-secret"})

    assert (await services.authenticator().send([auth], POST)).status == 401
    assert len(services.asked) == 1


@pytest.mark.parametrize(
    "fault", [Temporary("host_unreachable", "x refused the connection"), Unanswered("host_unreachable", "x is silent")]
)
async def test_without_a_token_nothing_is_sent_and_the_server_is_not_asked_again_at_once(fault: Exception) -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH)
    services.fault = fault
    for _ in range(3):
        with pytest.raises(Temporary) as error:
            await authenticator.send([auth], POST)
        assert (type(error.value), error.value.code) == (Temporary, "host_unreachable")
        assert "s3cret" not in error.value.detail
    assert [request.url for request in services.asked] == [TOKENS]
    services.fault = None
    services.now += 10
    assert (await authenticator.send([auth], POST)).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        Fetched(401, (), b'{"error": "invalid_clients"}'),
        Fetched(401, (), b'["invalid_client"]'),
        Fetched(401, (), b'{"error": ["invalid_client"]}'),
        Fetched(503, (), b'{"error": "invalid_client"}'),
        Fetched(302, (("location", "https://elsewhere.example/"),), b""),
        Fetched(200, (), b"not JSON"),
        Fetched(200, (), b"[" * 50_000),
        Fetched(200, (), b'["a"]'),
        Fetched(200, (), b'{"access_token": 7}'),
        Fetched(200, (), b'{"access_token": ""}'),
        Fetched(200, (), b'{"access_token": "a\\r\\nx-evil: 1"}'),
        Fetched(200, (), b'{"access_token": "\\u00e9"}'),
        Fetched(200, (), b'{"access_token": "%s"}' % (b"x" * 20_000)),
    ],
)
async def test_an_answer_without_a_token_is_temporary_and_is_not_quoted(answer: Fetched) -> None:
    services = Services()
    authenticator = Authenticator(services.secrets, FakeFetch({TOKENS: answer}))
    with pytest.raises(Temporary, match=r"login\.example\.com") as error:
        await authenticator.authenticate([scheme(OAUTH)], POST)
    assert error.value.code == "host_unavailable"
    assert not {"evil", "invalid_client", "xxx"} & set(error.value.detail.split())


@pytest.mark.parametrize(("status", "fault"), [(401, "invalid_client"), (400, "invalid_grant")])
async def test_a_server_that_rejects_the_credentials_says_that_another_secret_is_needed(
    status: int, fault: str
) -> None:
    services = Services()
    answer = Fetched(status, (), to_json({"error": fault, "error_description": "not quoted"}).encode())
    authenticator = Authenticator(services.secrets, FakeFetch({TOKENS: answer}))
    with pytest.raises(Temporary, match=r"login\.example\.com") as error:
        await authenticator.authenticate([scheme(OAUTH)], POST)
    assert error.value.code == "secret_unusable"
    assert fault in error.value.detail
    assert "not quoted" not in error.value.detail


async def test_a_token_is_fetched_through_the_guarded_way_out() -> None:
    services = Services()
    authenticator = Authenticator(services.secrets, FakeFetch({}, {"login.example.com": ["10.0.0.1"]}))
    with pytest.raises(Permanent, match="not public"):
        await authenticator.authenticate([scheme(OAUTH)], POST)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scheme": "aws", "service": "s3", "region": "eu-west-1", "access_key_id": "AKID"},
        {"scheme": "aws", "service": "s3", "region": "eu-west-1", "secret": "aws-secret"},
        {"scheme": "oauth2", "token_url": "ftp://x/", "client_id": "a", "secret": "b"},
        {"scheme": "oauth2", "token_url": "https://me:pw@x.example/", "client_id": "a", "secret": "b"},
        {"scheme": "oauth2", "token_url": TOKENS, "client_id": "a"},
    ],
)
def test_a_scheme_that_cannot_work_is_a_fault_of_the_configuration(wrong: Json) -> None:
    with pytest.raises(ValidationError):
        scheme(wrong)
