"""What a rejection's line in the log says besides, and what its sender is never told."""

import json
from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from functions.receive.entry import answer
from functions.receive.receive import DIAGNOSES_AT_ONCE, SECONDS_A_DIAGNOSIS, DiagnosisLimit, Receiver
from functions.receive.source import read_sources
from shared.formats import json_body
from shared.formats.media_type import MediaType
from shared.http import Reply, Request
from shared.jsontext import Json
from shared.limits import Limits
from shared.signatures.signing import hmac_signature
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

SOURCES = """
sources:
  hub: {auth: {scheme: hmac, header: X-Hub-Signature-256, prefix: sha256=, secret: hub-secret}}
  shop: {auth: {scheme: hmac, header: X-Shop-Signature, secret: shop-secret}}
  form: {auth: {scheme: basic, username: web, secret: form-password}}
  mail: {provider: mailgun, secret: mail-secret}
  lab: {provider: gitlab, secret: lab-secret}
  token: {auth: {scheme: header, header: X-Token, secret: hub-secret}}
"""
SECRETS = {
    "hub-secret": "the hub's own secret",
    "shop-secret": "the shop's own secret",
    "form-password": "correct horse",
    "lab-secret": "the lab's own secret",
    "mail-secret": "the mail's own secret",
}
BODY = b'{"a":1}'


class Receiving:
    def __init__(self) -> None:
        slices = compile_config(parse_config(SOURCES, "test.yaml", Path()))
        self._receiver = Receiver(
            read_sources(slices["receive"]), FakeSecrets(SECRETS), FakeBus(), None, FakeClock(), lambda: "f" * 32
        )

    async def send(self, path: str, body: bytes, *headers: tuple[str, str]) -> Reply:
        return await answer(self._receiver, Request("POST", path, headers=headers), reading(body))


def logged(capsys: pytest.CaptureFixture[str]) -> Json:
    line: Json = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(line, dict)
    return line["detail"]


async def test_the_log_says_why_and_the_sender_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = Receiving()
    signature = hmac_signature(BODY + b"\n", SECRETS["hub-secret"], prefix="sha256=")
    reply = await receiving.send("/hub", BODY, ("x-hub-signature-256", signature))
    assert reply.status == 401
    assert b"newline" not in reply.body
    assert "Why: the signature is over the raw body: yours was re-encoded" in str(logged(capsys))


async def test_a_mixed_up_secret_is_reported_by_its_sources_name(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = Receiving()
    signature = hmac_signature(BODY, SECRETS["shop-secret"], prefix="sha256=")
    await receiving.send("/hub", BODY, ("x-hub-signature-256", signature))
    assert "the secret of the source 'shop' is the right one" in str(logged(capsys))


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/shpo", "the path of the source with the nearest name is /shop"),
        ("//shop", "the URL of this source ends in /shop"),
        ("/Shop", "the path of the source with the nearest name is /shop"),
        ("/shop/", "the URL of this source ends in /shop"),
        ("/shop/orders", "the URL of this source ends in /shop"),
    ],
)
async def test_a_path_that_is_almost_a_sources_is_reported_and_the_sender_is_not_told(
    path: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = await Receiving().send(path, BODY)
    assert (reply.status, b"shop" in reply.body) == (404, False)
    assert str(logged(capsys)).endswith(f"Why: {cause}")


@pytest.mark.parametrize("path", ["/", "/wp-admin", "/" + "shop" * 2000])
async def test_a_path_that_is_like_no_source_has_no_cause(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    await Receiving().send(path, BODY)
    assert "Why:" not in str(logged(capsys))


async def test_a_missing_credential_is_not_reported_twice(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = Receiving()
    await receiving.send("/hub", BODY)
    lost = "no secret is set at the sender, or a proxy drops the header"
    assert logged(capsys) == (
        f"the request has no signature: it is expected in the header x-hub-signature-256. Why: {lost}"
    )
    await receiving.send("/token", BODY)
    assert logged(capsys) == (
        "the request has no password or token where this source takes it. "
        f"Why: this source takes it in the header x-token: {lost}"
    )


async def test_a_password_rejected_before_the_body_is_read_is_diagnosed_too(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = Receiving()
    await receiving.send("/form", BODY, ("x-webhook-password", SECRETS["form-password"]))
    detail = str(logged(capsys))
    assert "the right secret stands in the header x-webhook-password" in detail
    assert SECRETS["form-password"] not in detail


async def test_a_wrong_token_is_reported_as_that_and_not_as_a_signature_that_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await Receiving().send("/lab", BODY, ("x-gitlab-token", "another"))
    assert "the value in the header x-gitlab-token is not this source's secret" in str(logged(capsys))


async def test_the_header_of_a_standard_webhooks_signature_is_named_where_it_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await Receiving().send("/lab", BODY)
    assert "it is expected in the header webhook-signature" in str(logged(capsys))


async def test_a_flood_of_forgeries_is_rejected_without_a_diagnosis_each(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = Receiving()
    for _ in range(20):
        await receiving.send("/hub", BODY, ("x-hub-signature-256", "sha256=00"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert sum("Why:" in line for line in lines) == DIAGNOSES_AT_ONCE
    assert all("`hookchain explain --source hub` prints it" in line for line in lines if "Why:" not in line)


def test_the_ration_grows_again_with_time() -> None:
    ration, now = DiagnosisLimit(), 1_790_000_000.0
    assert [ration.take(now) for _ in range(6)] == [True] * 5 + [False]
    assert not ration.take(now + SECONDS_A_DIAGNOSIS - 0.1)
    assert [ration.take(now + 2 * SECONDS_A_DIAGNOSIS) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("items", "most"), [(1, 100), (30_000, 4)])
async def test_a_large_body_that_is_looked_into_is_not_parsed_for_each_guess(
    items: int, most: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed: list[int] = []
    really = json_body.parse

    def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
        parsed.append(len(body))
        return really(body, media, limits)

    monkeypatch.setattr(json_body, "parse", parse)
    signature: Json = {"signature": "00", "timestamp": str(int(FakeClock().now())), "token": "t"}
    body = json.dumps({"signature": signature, "items": [{}] * items}).encode()
    assert (await Receiving().send("/mail", body)).status == 401
    assert 0 < len(parsed) <= most
    assert ("too large" in str(logged(capsys))) == (items > 1)
