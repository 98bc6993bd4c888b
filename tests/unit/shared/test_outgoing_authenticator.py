"""What authenticates requests to other systems: tokens that are kept, renewed and forgotten, and signatures."""

import asyncio
import base64
import datetime
import json
from typing import Final
from urllib.parse import parse_qsl

import botocore.auth
import jwt
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import TypeAdapter, ValidationError

from shared.errors import Permanent, Temporary, Unanswered
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json
from shared.outgoing.auth import AnyRequestAuth
from shared.outgoing.authenticator import Authenticator, CloudIdentity
from shared.signatures.aws_v4 import Credentials
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets

NOW: Final = 1_790_000_000.0
TOKENS: Final = "https://login.example.com/token"
API: Final = "https://api.example.com/in"
POST: Final = Outgoing("POST", API, (("content-type", "application/json"),), b"{}")
SCHEME: Final[TypeAdapter[AnyRequestAuth]] = TypeAdapter(AnyRequestAuth)


def scheme(fields: Json, **more: Json) -> AnyRequestAuth:
    assert isinstance(fields, dict)
    return SCHEME.validate_python({**fields, **more})


class Services:
    """A token server that numbers its tokens, an API that takes the tokens in `good`, and a clock."""

    def __init__(self, life: Json = 3600) -> None:
        self.life = life
        self.now = NOW
        self.good: set[str] | None = None
        self.given = 0
        self.fault: Exception | None = None
        self.asked: list[Outgoing] = []
        self.secrets = FakeSecrets({"client-secret": "s3cret/+value-long", "aws-secret": "wJalrXUtnFEMI/K7MDENG"})

    async def fetch(self, request: Outgoing) -> Fetched:
        self.asked.append(request)
        await asyncio.sleep(0)
        if request.url != TOKENS:
            token = dict(request.headers).get("authorization", "").removeprefix("Bearer ")
            return Fetched(200 if self.good is None or token in self.good else 401, (), b"")
        if self.fault:
            raise self.fault
        self.given += 1
        body: dict[str, Json] = {"access_token": f"token-{self.given}", "token_type": "Bearer"}
        if self.life is not None:
            body["expires_in"] = self.life
        return Fetched(200, (), json.dumps(body).encode())

    def authenticator(self, cloud: CloudIdentity | None = None) -> Authenticator:
        return Authenticator(self.secrets, self, cloud or CloudIdentity(), lambda: self.now)


async def header(authenticator: Authenticator, auth: AnyRequestAuth, request: Outgoing = POST) -> str:
    return dict((await authenticator.authenticate([auth], request)).headers)["authorization"]


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
        Fetched(503, (), b'{"error": "invalid_client"}'),
        Fetched(302, (("location", "https://elsewhere.example/"),), b""),
        Fetched(200, (), b"[" * 50_000),
        Fetched(200, (), b'{"access_token": 7}'),
        Fetched(200, (), b'{"access_token": "a\\r\\nx-evil: 1"}'),
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


async def test_a_server_that_rejects_the_credentials_says_that_another_secret_is_needed() -> None:
    services = Services()
    answer = Fetched(401, (), b'{"error": "invalid_client", "error_description": "not quoted"}')
    authenticator = Authenticator(services.secrets, FakeFetch({TOKENS: answer}))
    with pytest.raises(Temporary, match=r"login\.example\.com") as error:
        await authenticator.authenticate([scheme(OAUTH)], POST)
    assert error.value.code == "secret_unusable"
    assert "invalid_client" in error.value.detail
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


@pytest.fixture(scope="module")
def account_key() -> tuple[str, rsa.RSAPublicKey]:
    key = rsa.generate_private_key(65_537, 2_048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    document = {
        "type": "service_account",
        "private_key_id": "k1",
        "private_key": key.private_bytes(*kinds).decode(),
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": TOKENS,
    }
    return json.dumps(document, indent=2), key.public_key()


async def test_a_service_accounts_key_becomes_a_token_of_a_scope(account_key: tuple[str, rsa.RSAPublicKey]) -> None:
    services = Services()
    services.secrets = FakeSecrets({"robot-key": account_key[0] + "\n"})
    auth = scheme({"scheme": "google_oauth", "scope": "https://www.googleapis.com/auth/a", "secret": "robot-key"})
    services.good = {"token-2"}
    assert (await services.authenticator().send([auth], POST)).status == 200

    form = dict(parse_qsl(services.asked[0].body.decode()))
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    options: dict[str, bool] = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(form["assertion"], account_key[1], ["RS256"], audience=TOKENS, options=options)  # type: ignore[arg-type]
    assert claims["scope"] == "https://www.googleapis.com/auth/a"
    assert (claims["iss"], claims["iat"], claims["exp"]) == ("robot@p.iam.gserviceaccount.com", NOW, NOW + 3_600)
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "k1"


@pytest.mark.parametrize(
    "key", ["not JSON", json.dumps({"client_email": "a", "private_key": "b", "token_uri": TOKENS})]
)
async def test_a_key_that_is_none_is_an_unusable_secret(key: str) -> None:
    services = Services()
    services.secrets = FakeSecrets({"robot-key": key})
    with pytest.raises(Temporary) as error:
        await services.authenticator().authenticate([scheme({"scheme": "google_oauth", "secret": "robot-key"})], POST)
    assert error.value.code == "secret_unusable"
    assert error.value.detail.startswith("secret 'robot-key' ")


async def test_the_platforms_own_tokens_are_for_an_audience_or_a_scope() -> None:
    async def token(text: str) -> str:
        return f"for:{text}"

    authenticator = Services().authenticator(CloudIdentity(token, token))
    request = POST._replace(url=f"{API}?q=1")
    assert await header(authenticator, scheme({"scheme": "google"}), request) == f"Bearer for:{API}"
    custom = scheme({"scheme": "google", "audience": "https://other.example"})
    assert await header(authenticator, custom, request) == "Bearer for:https://other.example"
    scoped = scheme({"scheme": "google_oauth", "scope": "https://www.googleapis.com/auth/a"})
    assert await header(authenticator, scoped, request) == "Bearer for:https://www.googleapis.com/auth/a"


@pytest.mark.parametrize("auth", [{"scheme": "google"}, {"scheme": "aws", "service": "lambda", "region": "eu-west-1"}])
async def test_a_platform_without_an_identity_says_so(auth: Json) -> None:
    with pytest.raises(Temporary) as error:
        await Services().authenticator().authenticate([scheme(auth)], POST)
    assert error.value.code == "identity_missing"


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "https://abc.lambda-url.eu-west-1.on.aws/in?b=2&a=%20x&a-c=3&a=1+2&empty", b'{"n": 1}'),
        ("GET", "https://abc.execute-api.eu-west-1.amazonaws.com//a/./b/../c//?key=%ff", b""),
        ("PUT", "https://api.example.com:8443/", b"\x00\xff"),
    ],
)
async def test_a_request_is_signed_for_aws_as_botocore_signs_it(
    monkeypatch: pytest.MonkeyPatch, method: str, url: str, body: bytes
) -> None:
    auth = scheme(
        {"scheme": "aws", "service": "lambda", "region": "eu-west-1", "access_key_id": "AKID", "secret": "aws-secret"}
    )
    given = (("Content-Type", "application/json"), ("X-Amz-Meta-A", "b"), ("accept", "*/*"))
    request = Outgoing(method, url, given, body)
    signed = await Services().authenticator().authenticate([auth], request)

    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC).replace(tzinfo=None)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
    expected = AWSRequest(method=method, url=signed.url, headers=dict(given[:2]), data=body)
    botocore.auth.SigV4Auth(BotoCredentials("AKID", "wJalrXUtnFEMI/K7MDENG"), "lambda", "eu-west-1").add_auth(expected)
    assert dict(signed.headers)["Authorization"] == expected.headers["Authorization"]
    assert signed.headers[:3] == given
    assert sorted(parse_qsl(signed.url.partition("?")[2], keep_blank_values=True)) == sorted(
        parse_qsl(url.partition("?")[2], keep_blank_values=True)
    )


async def test_a_request_with_plain_http_is_signed_for_aws_where_http_is_allowed() -> None:
    auth = scheme(
        {"scheme": "aws", "service": "s3", "region": "eu-west-1", "access_key_id": "A", "secret": "aws-secret"}
    )
    request = Outgoing("GET", "http://store.example.com/a", allow_http=True)
    signed = await Services().authenticator().authenticate([auth], request)
    assert signed.url == request.url
    assert "Authorization" in dict(signed.headers)


async def test_a_header_that_aws_would_read_in_its_own_way_is_not_signed() -> None:
    auth = scheme(
        {"scheme": "aws", "service": "s3", "region": "eu-west-1", "access_key_id": "A", "secret": "aws-secret"}
    )
    authenticator = Services().authenticator()
    with pytest.raises(Permanent, match="the header 'X-Amz-Meta-Name' is signed for AWS and must be ASCII") as error:
        await authenticator.authenticate([auth], POST._replace(headers=(("X-Amz-Meta-Name", "Zo\u00eb"),)))
    assert error.value.code == "invalid_header"
    signed = await authenticator.authenticate([auth], POST._replace(headers=(("x-name", "Zo\u00eb"),)))
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date" in dict(signed.headers)["Authorization"]


async def test_the_role_of_the_function_signs_where_no_key_is_named_and_after_every_other_scheme() -> None:
    role = Credentials("AKIDROLE", "a-secret", "a-session")
    authenticator = Services().authenticator(CloudIdentity(aws_role=lambda: role))
    auth = scheme({"scheme": "aws", "service": "execute-api", "region": "eu-west-1"})
    query = scheme({"scheme": "query", "parameter": "key", "secret": "client-secret"})

    signed = await authenticator.authenticate([auth, query], POST)
    assert signed == await authenticator.authenticate([query, auth], POST)
    assert dict(signed.headers)["X-Amz-Security-Token"] == "a-session"
    assert "AKIDROLE" in dict(signed.headers)["Authorization"]
    assert signed.url.endswith("?key=s3cret%2F%2Bvalue-long")


async def test_who_gives_up_waiting_for_a_token_leaves_the_request_to_the_others() -> None:
    services = Services()
    authenticator, auth = services.authenticator(), scheme(OAUTH)
    first = asyncio.ensure_future(header(authenticator, auth))
    second = asyncio.ensure_future(header(authenticator, auth))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == "Bearer token-1"
