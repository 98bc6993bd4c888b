"""A table of faults: a source, its secret and a request, and the cause that the log and `explain` name."""

import base64
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from deploy.cli import explain as explain_command
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.sections.catalogue import load_catalogue
from deploy.explain.receive_stage import explain_receive
from functions.receive.diagnosis.diagnose import PROVIDER_HANDSHAKES
from functions.receive.diagnosis.signatures import DIFFERENT_SECRET
from functions.receive.entry import answer
from functions.receive.receive import DIAGNOSES_AT_ONCE, SECONDS_A_DIAGNOSIS, DiagnosisLimit, Receiver
from functions.receive.source import read_sources
from shared.errors import Temporary
from shared.formats import json_body
from shared.formats.media_type import MediaType
from shared.http import Reply, Request
from shared.jsontext import Json
from shared.limits import Limits
from shared.secrets import from_folder
from shared.signatures.locations import parse_location
from shared.signatures.signing import hmac_signature, hmac_text
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets
from tests.posting import FORM, JSON, Posting

NOW: Final = int(FakeClock().now())
KEY: Final = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY: Final = b'{"a":1}'
OWN: Final = "{auth: {scheme: hmac, header: X-Sig, secret: key}}"
STANDARD: Final = "{provider: standard_webhooks, secret: key}"
BASIC: Final = "{auth: {scheme: basic, username: web, secret: key}}"
BEARER: Final = "{auth: {scheme: bearer, secret: key}}"
JWT: Final = "{auth: {scheme: jwt, algorithms: HS256, secret: key}}"
SLACK: Final = "{provider: slack, secret: key}"
META: Final = "{provider: meta, secret: key, params: {verify_token: token}}"
SMART: Final = f"“{KEY}”"


def signed(content: str, name: str = "x-sig", key: str = KEY) -> tuple[str, str]:
    return name, hmac.new(key.encode(), content.encode(), "sha256").hexdigest()


def basic(user: str, password: str) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def standard_mac(content: bytes) -> str:
    return base64.b64encode(hmac.digest(KEY.encode(), content, "sha256")).decode()


def standard(id_: str, sent_id: str) -> list[tuple[str, str]]:
    signature = "v1," + standard_mac(f"{id_}.{NOW}.".encode() + BODY)
    return [("webhook-id", sent_id), ("webhook-timestamp", str(NOW)), ("webhook-signature", signature)]


def token(key: bytes = KEY.encode(), exp: int = NOW + 300) -> str:
    parts = (b'{"alg":"HS256"}', json.dumps({"exp": exp}).encode())
    content = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    return f"{content}.{hmac_text(content.encode(), key, 'sha256', 'base64url')}"


def slack(content: str) -> list[tuple[str, str]]:
    return [("x-slack-request-timestamp", str(NOW)), ("x-slack-signature", "v0=" + signed(content)[1])]


def mac_with(key: bytes) -> tuple[str, str]:
    return "x-sig", hmac.new(key, BODY, "sha256").hexdigest()


def posted(*headers: tuple[str, str], body: bytes = BODY, query: str = "", method: str = "POST") -> Request:
    return Request(method, "/s", query, (JSON, *headers), body)


TIME: Final = ("x-time", str(NOW))
DIFFERENT: Final = (DIFFERENT_SECRET, "signs something else")
HEADER: Final = "{auth: {scheme: header, header: X-Token, secret: key}}"
URL_SAFE: Final = "ab-_cdEFgh12ijKLmn34opQRst56uvWX"
HEX: Final = KEY.encode().hex()
WHSEC: Final = f"whsec_{base64.b64encode(KEY.encode()).decode()}"
CAUSES: Final[dict[str, tuple[str, str, Request, Sequence[str]]]] = {
    "time.body": (
        OWN,
        KEY,
        posted(signed(f'{NOW}.{{"a":1}}'), TIME),
        ("over {timestamp}.{body}", 'write `timestamp: header.x-time`, `content: "{timestamp}.{body}"`'),
    ),
    "time:body": (OWN, KEY, posted(signed(f'{NOW}:{{"a":1}}'), TIME), ('`content: "{timestamp}:{body}"`',)),
    "milliseconds": (
        OWN,
        KEY,
        posted(signed(f'{NOW}000.{{"a":1}}'), ("x-time", f"{NOW}000")),
        ('`timestamp: header.x-time`, `unit: ms`, `content: "{timestamp}.{body}"`',),
    ),
    "RFC 3339": (
        OWN,
        KEY,
        posted(signed('2026-09-21T10:13:20Z.{"a":1}'), ("date-sent", "2026-09-21T10:13:20Z")),
        ("`timestamp: header.date-sent`, `unit: rfc3339`",),
    ),
    "id.time.body": (
        OWN,
        KEY,
        posted(signed(f'e7.{NOW}.{{"a":1}}'), TIME, ("x-event-id", "e7")),
        ("`id: header.x-event-id`, `timestamp: header.x-time`",),
    ),
    "another secret": (OWN, KEY, posted(signed('{"a":1}', key="another"), TIME), (*DIFFERENT, "the body was changed")),
    "another content": (OWN, KEY, posted(signed(f'x{NOW}|{{"a":1}}'), TIME), DIFFERENT),
    "a changed id": (
        STANDARD,
        WHSEC,
        posted(*standard("msg_1", "msg_2")),
        (DIFFERENT_SECRET, "or the header webhook-id or the header webhook-timestamp or the body was changed"),
    ),
    "a changed id, the right one elsewhere": (
        STANDARD,
        WHSEC,
        posted(*standard("msg_1", "msg_2"), ("x-request-id", "msg_1")),
        ("over the id in the header x-request-id, and the header webhook-id has another one",),
    ),
    "a prefix and another content": (
        OWN,
        KEY,
        posted(("x-sig", "sha256=" + signed(f'{NOW}.{{"a":1}}')[1]), TIME),
        ("the signature begins with 'sha256='", '`content: "{timestamp}.{body}"`'),
    ),
    "decoded from base64": (OWN, KEY, posted(mac_with(base64.b64decode(KEY))), ("decodes the secret from base64",)),
    "decoded from base64url": (
        OWN,
        URL_SAFE,
        posted(mac_with(base64.urlsafe_b64decode(URL_SAFE))),
        ("decodes the secret from base64url",),
    ),
    "decoded from hex": (OWN, HEX, posted(mac_with(KEY.encode())), ("decodes the secret from hex",)),
    "signed with a variable's name": (OWN, KEY, posted(mac_with(b"$KEY")), ("signs with the text `$KEY`",)),
    "six characters of a short secret": (
        HEADER,
        "short-keys",
        posted(("x-token", "short-")),
        (DIFFERENT_SECRET,),
    ),
    "signed with nothing": (OWN, KEY, posted(mac_with(b"")), ("signs with an empty secret",)),
    "signed with quotation marks": (
        OWN,
        KEY,
        posted(mac_with(f"'{KEY}'".encode())),
        ("has quotation marks around it",),
    ),
    "the secret as a signature": (OWN, KEY, posted(("x-sig", KEY)), ("the secret itself stands in the place",)),
    **{
        f"{how}, {scheme}": (source, KEY, request, causes)
        for how, (sent, *causes) in {
            "in quotation marks": (f'"{KEY}"', "has quotation marks around it"),
            "base64": (base64.b64encode(KEY.encode()).decode(), "is base64 of this source's secret"),
            "hex": (HEX, "is this source's secret in hex"),
            "cut": (KEY[:-3], "is a part of this source's secret: 3 of its characters are missing"),
            "in lower case": (KEY.lower(), "in upper and lower case only"),
            "a variable's name": ("$SHOP_KEY", "is the name of a variable, and not its value"),
            "a name in braces": ("${SHOP_KEY}", "is the name of a variable, and not its value"),
            "a word twice": (f"Bearer {KEY}", "has this source's secret in it, and more"),
            "another": ("another-secret-of-the-sender", DIFFERENT_SECRET),
            "a few of its characters": (KEY[:7], DIFFERENT_SECRET),
        }.items()
        for scheme, source, request in (
            ("bearer", BEARER, posted(("authorization", f"Bearer {sent}"))),
            ("basic", BASIC, posted(basic("web", sent))),
            ("header", HEADER, posted(("x-token", sent))),
        )
    },
    "a wrong verify token": (
        META,
        KEY,
        posted(query="hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", method="GET"),
        ("this is the provider's handshake, and its token", "is not the secret 'token'"),
    ),
    "quotation marks, HMAC": (OWN, f'"{KEY}"', posted(signed('{"a":1}')), ("the secret here is in quotation marks",)),
    "smart ones, HMAC": (OWN, SMART, posted(signed('{"a":1}')), ("the secret here is in quotation marks",)),
    "smart ones, basic": (BASIC, SMART, posted(basic("web", KEY)), ("the secret here is in quotation marks",)),
    "another word, bearer": (
        BEARER,
        KEY,
        posted(("authorization", f"Token {KEY}")),
        ("the token is right", "must be `Bearer`"),
    ),
    "no word, bearer": (BEARER, KEY, posted(("authorization", KEY)), ("the word `Bearer` is missing before it",)),
    "a colon, bearer": (
        BEARER,
        KEY,
        posted(("authorization", f"Bearer:{KEY}")),
        ("the token is right, but a colon follows the word `Bearer`",),
    ),
    "a colon and a space, bearer": (
        BEARER,
        KEY,
        posted(("authorization", f"Bearer: {KEY}")),
        ("a colon follows the word `Bearer`",),
    ),
    "no token after the word": (BEARER, KEY, posted(("authorization", "Bearer")), ("the word `Bearer` alone",)),
    "another token after another word, bearer": (
        BEARER,
        KEY,
        posted(("authorization", "Token of-another")),
        ("does not begin with the word `Bearer` and a space",),
    ),
    "basic to bearer": (
        BEARER,
        KEY,
        posted(basic("web", "another")),
        ("the request has `Authorization: Basic` where this source expects `Authorization: Bearer`",),
    ),
    "another header, bearer": (
        BEARER,
        KEY,
        posted(("authorisation", f"Bearer {KEY}")),
        ("the right token is in the header authorisation; this source expects it in `Authorization: Bearer`",),
    ),
    "sent twice, bearer": (
        BEARER,
        KEY,
        posted(("authorization", "Basic eDp5"), ("authorization", f"Bearer {KEY}")),
        ("`Authorization` was sent more than once",),
    ),
    "bearer to basic": (
        BASIC,
        KEY,
        posted(("authorization", "Bearer another-token")),
        ("the request has `Authorization: Bearer` where this source expects basic authentication",),
    ),
    **{
        f"{header}, basic": (
            BASIC,
            KEY,
            posted((header, basic("web", KEY)[1])),
            (f"the right credentials are in the header {header}; this source expects them in `Authorization: Basic`",),
        )
        for header in ("authorisation", "x-forwarded-authorization")
    },
    "nothing after the word, basic": (BASIC, KEY, posted(("authorization", "Basic")), ("the word `Basic` alone",)),
    "no word, basic": (
        BASIC,
        KEY,
        posted(("authorization", basic("web", KEY)[1].removeprefix("Basic "))),
        ("the credentials are right, but the word `Basic` is missing before them",),
    ),
    **{
        f"a token, {name}": (JWT, KEY, posted((header, f"{word}{token()}")), (cause,))
        for name, header, word, cause in (
            ("another word", "authorization", "Token ", "the word before it in `Authorization` must be `Bearer`"),
            ("no word", "authorization", "", "the word `Bearer` is missing before it in `Authorization`"),
            ("a colon", "authorization", "Bearer:", "a colon follows the word `Bearer`"),
            ("another header", "x-token", "Bearer ", "the right token is in the header x-token"),
        )
    },
    "a token, another word, another key": (
        JWT,
        KEY,
        posted(("authorization", f"Token {token(KEY[::-1].encode())}")),
        ("the header authorization does not begin with 'Bearer '",),
    ),
    **{
        f"a token signed with a key {name}": (JWT, KEY, posted(("authorization", f"Bearer {token(key)}")), (cause,))
        for name, key, cause in (
            ("decoded from base64", base64.b64decode(KEY), "decodes the secret from base64 before it signs"),
            ("that ends in a newline", f"{KEY}\n".encode(), "the sender's secret ends in a newline"),
        )
    },
    "a token, milliseconds": (
        JWT,
        KEY,
        posted(("authorization", f"Bearer {token(exp=1000 * (NOW + 300))}")),
        ("the token's exp is in milliseconds",),
    ),
    **{
        f"slack, {template}": (
            SLACK,
            KEY,
            posted(*slack(template.format(timestamp=NOW, body=BODY.decode()))),
            (f"over {template}: the sender must sign v0:{{timestamp}}:{{body}} instead",),
        )
        for template in ("{timestamp}:{body}", "{timestamp}.{body}", "{body}")
    },
    "standard webhooks without the id": (
        "{auth: {scheme: standard-webhooks, secret: key}}",
        WHSEC,
        posted(
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", str(NOW)),
            ("webhook-signature", "v1," + standard_mac(f"{NOW}.".encode() + BODY)),
        ),
        ("over {timestamp}.{body}: the sender must sign {id}.{timestamp}.{body} instead",),
    ),
    "smart ones, bearer": (BEARER, SMART, posted(("authorization", f"Bearer {KEY}")), ("in quotation marks",)),
    "no base64": (BASIC, KEY, posted(("authorization", "Basic §§§")), ("must have base64", "is no base64")),
    "not encoded": (BASIC, KEY, posted(("authorization", f"Basic web:{KEY}")), ("they stand in it as they are",)),
    "Slack's handshake": (
        OWN,
        KEY,
        posted(body=b'{"type": "url_verification", "challenge": "x"}'),
        ("a handshake as slack sends it", "set `provider: slack`"),
    ),
    "Meta's handshake": (
        OWN,
        KEY,
        posted(query="hub.mode=subscribe&hub.challenge=1", method="GET"),
        ("a handshake as meta sends it", "set `provider: meta`"),
    ),
    "XML declared, JSON sent": (
        "{auth: none}",
        KEY,
        Request("POST", "/s", "", (("content-type", "application/xml"),), BODY),
        ("the content type says xml, and the body begins like json",),
    ),
}


@pytest.mark.parametrize("name", CAUSES)
async def test_the_log_names_the_cause(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source, secret, request, causes = CAUSES[name]
    posting = Posting(f"s: {source}", {"key": secret, "token": "the-right-verify-token"})
    reply = await posting.send("/s", request.body, *request.headers, method=request.method, query=request.query)
    detail = json.loads(capsys.readouterr().out.splitlines()[-1])["detail"]
    assert [cause for cause in causes if cause not in detail] == [], detail
    assert "has no token" not in detail
    assert source not in {SLACK, JWT} or "write `" not in detail
    assert (DIFFERENT_SECRET in detail) is (DIFFERENT_SECRET in causes), "it claims what is not so"
    sent = [
        value
        for name, value in request.headers
        if name not in {"content-type", "webhook-id"} and value not in {"Basic", "Bearer"}
    ]
    assert [text for text in (KEY, secret, *sent) if text in detail or text in reply.body.decode()] == []


@pytest.mark.parametrize("name", CAUSES)
def test_explain_names_the_cause(name: str) -> None:
    source, secret, request, causes = CAUSES[name]
    slices = compile_config(parse_config(f"sources: {{s: {source}}}\n", "test.yaml", Path()))
    report = explain_receive(request, slices["receive"], {"KEY": secret, "TOKEN": "the-right-verify-token"}, NOW)
    text = " ".join([*report.advice, *(check.text for stage in report.stages for check in stage.checks)])
    assert [cause for cause in causes if cause not in text] == [], text


def test_the_handshakes_are_those_of_the_catalogue() -> None:
    """Those that another provider shares, or that only a missing header shows, are left out."""
    catalogue = load_catalogue()
    for provider, (place, wanted) in PROVIDER_HANDSHAKES.items():
        shown: dict[str, str | bool] = {}
        for each in catalogue[provider].handshakes:
            shown |= {str(parse_location(name)): value for name, value in (each.when or {}).items()}
        assert shown[str(place)] == (wanted or True), provider


@pytest.mark.parametrize(("kept", "is_told"), [("another-older-secret-value", True), (f"\ufeff{KEY}\n", False)])
def test_an_older_file_before_the_variable_is_named(
    kept: str, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(kept, encoding="utf-8")
    (tmp_path / "hookchain.yaml").write_text(f"sources: {{s: {BEARER}}}\n", encoding="utf-8")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("KEY", KEY)
    sent = KEY if is_told else f"{KEY}x"
    (tmp_path / "body.json").write_text("{}", encoding="utf-8")
    command = ["--config", str(tmp_path / "hookchain.yaml"), "--source", "s", "-H", f"Authorization: Bearer {sent}"]
    assert explain_command.main([*command, "--file", str(tmp_path / "body.json")]) == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert ("that has another value. Remove the older one" in shown) is is_told


async def test_a_folder_in_the_place_of_a_secret_is_no_wrong_secret_of_the_sender(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    read = from_folder(tmp_path)
    with pytest.raises(Temporary, match="must be a file, or a folder with the file `value`"):
        read("key")
    (tmp_path / "key" / "value").write_text(KEY, encoding="utf-8")
    assert read("key") == KEY


def test_a_type_that_was_not_found_in_a_form_names_the_field_that_holds_json() -> None:
    source = "{auth: none, type: data.action}"
    slices = compile_config(parse_config(f"sources: {{s: {source}}}\n", "test.yaml", Path()))
    request = Request("POST", "/s", "", (FORM,), b"payload=%7B%22action%22%3A%22opened%22%7D")
    report = explain_receive(request, slices["receive"], {}, NOW)
    [text] = [check.text for check in report.stages[0].checks if check.name == "event"]
    assert (
        "nothing was found for the source's `type`; the field 'payload' holds JSON: set `unpack: data.payload`" in text
    )


DIAGNOSED_SOURCES = """
sources:
  hub: {auth: {scheme: hmac, header: X-Hub-Signature-256, prefix: sha256=, secret: hub-secret}}
  shop: {auth: {scheme: hmac, header: X-Shop-Signature, secret: shop-secret}}
  form: {auth: {scheme: basic, username: web, secret: form-password}}
  mail: {provider: mailgun, secret: mail-secret}
  lab: {provider: gitlab, secret: lab-secret}
  token: {auth: {scheme: header, header: X-Token, secret: hub-secret}}
"""
SECRETS_OF_SOURCES = {
    "hub-secret": "the hub's own secret",
    "shop-secret": "the shop's own secret",
    "form-password": "correct horse",
    "lab-secret": "the lab's own secret",
    "mail-secret": "the mail's own secret",
}
SMALL_BODY = b'{"a":1}'


class Receiving:
    def __init__(self) -> None:
        slices = compile_config(parse_config(DIAGNOSED_SOURCES, "test.yaml", Path()))
        self._receiver = Receiver(
            read_sources(slices["receive"]),
            FakeSecrets(SECRETS_OF_SOURCES),
            FakeBus(),
            None,
            FakeClock(),
            lambda: "f" * 32,
        )

    async def send(self, path: str, body: bytes, *headers: tuple[str, str]) -> Reply:
        return await answer(self._receiver, Request("POST", path, headers=headers), reading(body))


def logged(capsys: pytest.CaptureFixture[str]) -> Json:
    line: Json = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(line, dict)
    return line["detail"]


async def test_a_mixed_up_secret_is_reported_by_its_sources_name(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = Receiving()
    signature = hmac_signature(SMALL_BODY, SECRETS_OF_SOURCES["shop-secret"], prefix="sha256=")
    await receiving.send("/hub", SMALL_BODY, ("x-hub-signature-256", signature))
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
    reply = await Receiving().send(path, SMALL_BODY)
    assert (reply.status, b"shop" in reply.body) == (404, False)
    assert str(logged(capsys)).endswith(f"Why: {cause}")


@pytest.mark.parametrize("path", ["/", "/wp-admin", "/" + "shop" * 2000])
async def test_a_path_that_is_like_no_source_has_no_cause(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    await Receiving().send(path, SMALL_BODY)
    assert "Why:" not in str(logged(capsys))


async def test_a_wrong_token_is_reported_as_that_and_not_as_a_signature_that_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await Receiving().send("/lab", SMALL_BODY, ("x-gitlab-token", "another"))
    assert "the value in the header x-gitlab-token is not this source's secret" in str(logged(capsys))


async def test_a_flood_of_forgeries_is_rejected_without_a_diagnosis_each(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = Receiving()
    for _ in range(20):
        await receiving.send("/hub", SMALL_BODY, ("x-hub-signature-256", "sha256=00"))
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
