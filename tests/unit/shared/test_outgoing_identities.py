"""Requests that prove an identity: of a service account, of the platform, or of an AWS role."""

import datetime
import json
from urllib.parse import parse_qsl

import botocore.auth
import jwt
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.errors import Permanent, Temporary
from shared.fetch import Outgoing
from shared.jsontext import Json
from shared.outgoing.authenticator import CloudIdentity
from shared.signatures.aws_v4 import Credentials
from tests.fakes.secrets import FakeSecrets
from tests.unit.shared.outgoing_auth import API, NOW, POST, TOKENS, Services, header, scheme


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


async def test_a_service_accounts_key_becomes_an_access_token_of_a_scope(
    account_key: tuple[str, rsa.RSAPublicKey],
) -> None:
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
    "key",
    [
        "not JSON at all",
        '{"client_email": "a"}',
        json.dumps({"client_email": "a", "private_key": "b", "token_uri": TOKENS}),
    ],
)
async def test_a_key_that_is_none_is_an_unusable_secret(key: str) -> None:
    services = Services()
    services.secrets = FakeSecrets({"robot-key": key})
    with pytest.raises(Temporary) as error:
        await services.authenticator().authenticate([scheme({"scheme": "google_oauth", "secret": "robot-key"})], POST)
    assert error.value.code == "secret_unusable"


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


@pytest.mark.parametrize(
    "auth",
    [
        {"scheme": "google"},
        {"scheme": "google_oauth"},
        {"scheme": "aws", "service": "lambda", "region": "eu-west-1"},
    ],
)
async def test_a_platform_without_an_identity_says_so(auth: Json) -> None:
    with pytest.raises(Temporary) as error:
        await Services().authenticator().authenticate([scheme(auth)], POST)
    assert error.value.code == "identity_missing"


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "https://abc.lambda-url.eu-west-1.on.aws/in?b=2&a=%20x&a-c=3&a=1+2&empty", b'{"n": 1}'),
        ("GET", "https://search.eu-west-1.es.amazonaws.com/index/a%20b", b""),
        ("GET", "https://abc.execute-api.eu-west-1.amazonaws.com//a/./b/../c//?key=%ff", b""),
        ("GET", "https://abc.execute-api.eu-west-1.amazonaws.com/a/.hidden/..", b""),
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


@pytest.mark.parametrize("name", ["content-type", "X-Amz-Meta-Name"])
async def test_a_header_that_aws_would_read_in_its_own_way_is_not_signed(name: str) -> None:
    auth = scheme(
        {"scheme": "aws", "service": "s3", "region": "eu-west-1", "access_key_id": "A", "secret": "aws-secret"}
    )
    authenticator = Services().authenticator()
    with pytest.raises(Permanent, match=f"the header '{name}' is signed for AWS and must be ASCII") as error:
        await authenticator.authenticate([auth], POST._replace(headers=((name, "Zo\u00eb"),)))
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
