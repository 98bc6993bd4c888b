"""Every scheme of the catalogue as an operator writes it; and the providers' keys, fetched and kept."""

import asyncio
import gzip
import hashlib
import hmac
import json
import struct
import zlib
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, ConfigFile
from functions.receive import provider_keys
from functions.receive.lambda_handler import handle
from shared.errors import Rejected, Temporary
from shared.fetch import Fetched, Outgoing
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import NeededKey
from tests.aws.invoked import Context, url_event
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.in_process.posting import JSON, Posting
from tests.in_process.receiving import URL, Receiving
from tests.unit.receive.sender_keys import BODY, ED, NOW, b64, code, receiving

SECRET: Final = "a-secret-that-we-both-know"
JSON_TYPE: Final = ("content-type", "application/json")


def written_out(auth: dict[str, Json], query: str = "", secret: str = SECRET) -> Receiving:
    scheme: Json = {"secret": "the-secret", **auth}
    return Receiving({"auth": scheme}, {"the-secret": secret}, NOW, f"{URL}?{query}" if query else URL)


def mac(content: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(SECRET.encode(), content, algorithm).hexdigest()


@pytest.mark.parametrize(
    "header",
    [
        "s1={good},at={now},at={now}",  # which of the two was signed?
        "s1={good}",
        "at={now}",
        "at={now},s9={good}",
        "at={now}=,s1={good}",
        "at={now},s1=" + ",s1=".join(["00"] * 11),
    ],
)
async def test_pairs_that_leave_something_open_are_rejected(header: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "layout": "pairs", "take": "s1"}
    auth |= {"timestamp": "signature.at", "content": "{timestamp}.{body}"}
    text = header.format(good=mac(f"{NOW}.".encode() + BODY), now=NOW)
    found = await written_out(auth).code([JSON_TYPE, ("X-Sig", text)], BODY)
    assert found in {"signature_mismatch", "timestamp_out_of_range"}


async def test_a_token_in_the_body_at_every_item() -> None:
    auth: dict[str, Json] = {"scheme": "token", "at": "data.items.*.key", "prefix": "k-"}
    items = [{"key": f"k-{SECRET}"}, {"key": f"k-{SECRET}"}]
    assert await written_out(auth).code([JSON_TYPE], json.dumps({"items": items}).encode()) == ""
    for wrong in ([], [{"key": f"k-{SECRET}"}, {}], [{"key": SECRET}], {"key": f"k-{SECRET}"}):
        assert await written_out(auth).code([JSON_TYPE], json.dumps({"items": wrong}).encode()) == "password_mismatch"


async def test_a_digest_with_the_secret_in_it() -> None:
    auth: dict[str, Json] = {"scheme": "digest", "header": "X-Sig", "content": "{secret}|{body}", "encoding": "base64"}
    headers = [JSON_TYPE, ("X-Sig", b64(hashlib.sha256(SECRET.encode() + b"|" + BODY).digest()))]
    assert await written_out(auth).code(headers, BODY) == ""
    assert await written_out(auth, secret="another-secret-of-ours").code(headers, BODY) == "signature_mismatch"


HEX_KEY: Final[dict[str, Json]] = {"scheme": "hmac", "header": "X-Sig", "key": "hex"}
BASE64_KEY: Final[dict[str, Json]] = {"scheme": "hmac", "header": "X-Sig", "key": "base64"}


@pytest.mark.parametrize(
    ("auth", "secret", "fault"),
    [
        (HEX_KEY, "not hex at all!!", "the secret is not hex"),
        (HEX_KEY | {"key_prefix": "k_"}, "k_", "the secret holds an empty key"),
        (BASE64_KEY, "nor base64 this!", "the secret is not base64"),
        ({"scheme": "standard-webhooks"}, "not such a key!!", "a Standard Webhooks secret is 'whsec_' and base64"),
    ],
)
async def test_a_secret_that_is_no_such_key_is_a_503_that_names_it_and_never_a_yes(
    auth: dict[str, Json], secret: str, fault: str
) -> None:
    where = written_out(auth, secret=secret)
    where.weak_allowed = True
    headers = [
        ("webhook-id", "m"),
        ("webhook-timestamp", str(NOW)),
        ("webhook-signature", "v1,x"),
        ("X-Sig", mac(BODY)),
    ]
    with pytest.raises(Temporary, match=f"secret 'the-secret': {fault}") as error:
        await where.events([JSON_TYPE, *headers], BODY)
    assert error.value.code == "secret_unusable"


@pytest.mark.parametrize(
    ("auth", "signed"),
    [
        ({"scheme": "hmac", "header": "X-Sig", "key": "hex"}, mac(BODY)),
        ({"scheme": "ed25519", "header": "X-Sig"}, ED.sign(BODY).hex()),
    ],
)
async def test_a_value_of_a_secret_that_is_no_key_does_not_hide_another_that_is_right(
    auth: dict[str, Json], signed: str
) -> None:
    right = SECRET.encode().hex() if auth["scheme"] == "hmac" else ED.public_key().public_bytes_raw().hex()
    for values in (f"this is no key at all\n{right}", f"{right}\nthis is no key at all"):
        headers = [JSON_TYPE, ("X-Sig", signed)]
        assert await written_out(auth, secret=values).code(headers, BODY) == ""
        assert await written_out(auth, secret=values).code(headers, BODY + b" ") == "secret_unusable"


async def test_a_wrong_signature_of_another_scheme_does_not_hide_a_secret_that_is_no_key() -> None:
    first: Json = {"scheme": "hmac", "header": "X-Sig", "secret": "good"}
    second: Json = {"scheme": "hmac", "header": "X-New-Sig", "secret": "bad", "key": "hex"}
    where = Receiving({"auth": [first, second]}, {"good": SECRET, "bad": "not such a key!!"}, NOW)
    headers = [JSON_TYPE, ("X-Sig", mac(b"another")), ("X-New-Sig", mac(BODY))]
    assert await where.code(headers, BODY) == "secret_unusable"


async def test_every_item_that_carries_a_signature_is_verified() -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "each": "data.items.*", "at": "data.sig", "content": "{data.n}"}

    def body(*items: Json) -> bytes:
        return json.dumps({"items": list(items)}).encode()

    good: list[Json] = [{"n": n, "sig": mac(str(n).encode())} for n in range(3)]
    assert await written_out(auth).code([JSON_TYPE], body(*good)) == ""
    wrongs: list[Json] = [{"n": 9, "sig": mac(b"8")}, {"n": 9}, "text"]
    for wrong in wrongs:
        assert await written_out(auth).code([JSON_TYPE], body(*good, wrong)) == "signature_mismatch"
    assert await written_out(auth).code([JSON_TYPE], body()) == "signature_mismatch"


@pytest.mark.parametrize(
    ("message_id", "code"), [("m" * 256, ""), ("m" * 257, "invalid_delivery_id"), ("", "invalid_delivery_id")]
)
async def test_a_signed_id_is_there_and_of_a_bounded_length(message_id: str, code: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "id": "header.x-id", "content": "{id}.{body}"}
    signature = ("X-Sig", mac(f"{message_id}.".encode() + BODY))
    assert await written_out(auth).code([JSON_TYPE, signature, ("X-Id", message_id)], BODY) == code
    if not message_id:
        assert await written_out(auth).code([JSON_TYPE, signature], BODY) == code


async def test_a_way_counts_only_when_it_should() -> None:
    when: Json = {"header.x-version": "2", "query.test": False}
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "when": when}
    good = [JSON_TYPE, ("X-Sig", mac(BODY))]
    assert await written_out(auth).code([*good, ("X-Version", "2")], BODY) == ""
    assert await written_out(auth).code([*good, ("X-Version", "1")], BODY) == "signature_mismatch"
    assert await written_out(auth, "test=1").code([*good, ("X-Version", "2")], BODY) == "signature_mismatch"


@pytest.mark.parametrize(
    ("auth", "rule"),
    [
        ({"scheme": "hmac", "header": "X", "layout": "pairs"}, "layout pairs needs `take`"),
        ({"scheme": "hmac", "header": "X", "content": "{timestamp}.{body}"}, "add its location with `timestamp`"),
        ({"scheme": "hmac", "header": "X", "content": "{bodi}"}, "{bodi} is not a part of a request"),
        ({"scheme": "hmac", "header": "X Y"}, "must be the name of a header"),
        ({"scheme": "jwt", "algorithms": ["HS256", "RS256"]}, "must not mix shared and public keys"),
        ({"scheme": "jwt", "algorithms": "RS256", "keys_url": "https://k.example.com"}, "needs the key"),
        ({"scheme": "rot13"}, "there is no scheme 'rot13'; there are: "),
        ({"scheme": "standard_webhooks"}, "did you mean 'standard-webhooks'?"),
        ({"scheme": "digest", "header": "X"}, "`content` needs {secret}"),
        ({"scheme": "hmac", "header": "X", "content": "{secret}{body}"}, "needs `scheme: digest`"),
        ({"scheme": "hmac", "header": "X", "timestamp": "signature.t"}, "goes with `layout: pairs`"),
        ({"scheme": "hmac", "header": "X", "content": "{param.a}{body}"}, "for the catalogue only"),
    ],
)
def test_what_cannot_work_is_rejected_with_a_message(auth: dict[str, Json], rule: str) -> None:
    scheme: dict[str, Json] = {"secret": "the-secret", **auth}
    with pytest.raises(ConfigFaults) as error:
        compile_config(ConfigFile("test", Path(), {"sources": {"hook": {"auth": scheme}}}))
    assert rule in str(error.value)


FIELD_SECRET: Final = "a secret, long enough"
SEEN: Final = b'{"ref": "seen"}'
FORGED: Final = json.dumps({"ref": "forged"})
FIELD: Final = b"payload=" + quote(SEEN).encode()
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
ADYEN_KEY: Final = "ab" * 32


def signed(content: bytes) -> dict[str, str]:
    """Over the field `payload`, as an attacker has seen it once."""
    return FORM | {"X-Gitea-Signature": hmac.new(FIELD_SECRET.encode(), content, hashlib.sha256).hexdigest()}


def commented_gzip(comment: bytes, content: bytes) -> bytes:
    """Of which the comment is read by nobody who unpacks it."""
    packed = zlib.compress(content, wbits=-15)
    sums = struct.pack("<II", zlib.crc32(content), len(content))
    return b"\x1f\x8b\x08\x10\0\0\0\0\0\x03" + comment + b"\0" + packed + sums


def gitea() -> Receiving:
    return receiving("gitea", FIELD_SECRET)


async def test_a_signed_field_of_a_form_is_accepted_also_where_the_form_is_compressed() -> None:
    packed = {"Content-Encoding": "gzip"}
    for headers, body in ((signed(SEEN), FIELD), (signed(SEEN) | packed, gzip.compress(FIELD))):
        [event] = await gitea().events(list(headers.items()), body)
        assert event.data == {"ref": "seen"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, json.dumps({"payload": FORGED, "x": f"&{FIELD.decode()}&"}).encode()),
        ({}, FIELD + b"&" + FIELD + b"&ref=forged"),
        ({}, FIELD + b"&payload=" + quote(FORGED).encode()),
        ({"Content-Encoding": "gzip"}, commented_gzip(b"&" + FIELD + b"&", b"payload=" + quote(FORGED).encode())),
    ],
    ids=["JSON called a form", "twice", "another beside it", "in a gzip comment"],
)
async def test_a_signed_field_proves_nothing_that_is_not_read_from_it(headers: dict[str, str], body: bytes) -> None:
    assert await code(gitea(), signed(SEEN) | headers, body) == "signature_mismatch"


@pytest.mark.parametrize("name", ["text/csv", "text/yaml", "image/png"])
async def test_signed_fields_of_json_prove_nothing_that_is_read_as_another_format(name: str) -> None:
    auth = '{scheme: hmac, secret: key, at: data.sig, content: "{data.id}"}'
    posting = Posting(f"a: {{auth: {auth}}}", {"key": FIELD_SECRET})
    signature = hmac.new(FIELD_SECRET.encode(), b"7", hashlib.sha256).hexdigest()
    body = f'{{"x": [1,"event"\n,"forged","more"\n],"id": "7","sig": "{signature}"}}'.encode()
    assert (await posting.send("/a", body, JSON)).status == 200
    assert (await posting.send("/a", body)).status == 200
    assert (await posting.send("/a", body, ("content-type", name))).status in {400, 415}
    assert len(posting.events) == 2


async def test_signed_items_of_a_providers_json_are_read_as_it_sends_them_whatever_charset_a_header_names() -> None:
    item = {"pspReference": "1", "amount": {"value": 1, "currency": "EUR"}, "eventCode": "PAID", "success": "true"}
    signature = b64(hmac.digest(bytes.fromhex(ADYEN_KEY), b"1::::1:EUR:PAID:true", "sha256"))
    seen = {"NotificationRequestItem": item | {"additionalData": {"hmacSignature": signature}}}
    text = json.dumps({"notificationItems": [seen]})
    for charset, used, expected in (
        ("utf-8", "utf-8", ""),
        ("utf-16le", "utf-16le", "signature_mismatch"),
        ("utf-16le", "utf-8", ""),
    ):
        headers = {"Content-Type": f"application/json; charset={charset}"}
        assert await code(receiving("adyen", ADYEN_KEY), headers, text.encode(used)) == expected


KEYS_URL = "https://sns.eu-west-1.amazonaws.com/a.pem"


def answer(status: int = 200, body: bytes = b"pem") -> Fetched:
    return Fetched(status, (), body)


def named(url: str = KEYS_URL) -> NeededKey:
    return NeededKey(url, is_configured=False)


CONFIGURED = NeededKey("https://www.googleapis.com/oauth2/v3/certs", is_configured=True)


async def code_of(keys: provider_keys.Keys, key: NeededKey) -> str:
    try:
        await keys.at([key])
    except (Rejected, Temporary) as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("key", "status", "code", "seconds"),
    [
        (named(), 200, "", provider_keys.KEEP_SECONDS),
        *((named(), status, "key_unavailable", provider_keys.FAILED_SECONDS) for status in (301, 429, 503)),
        (named(), 404, "certificate_url_not_allowed", provider_keys.MISSING_SECONDS),
        (CONFIGURED, 404, "key_unavailable", provider_keys.FAILED_SECONDS),
    ],
    ids=["a key", "elsewhere", "too many requests", "unavailable", "no key, which is the sender's fault", "ours"],
)
async def test_what_a_fetch_finds_is_kept_for_a_time_and_then_fetched_again(
    key: NeededKey, status: int, code: str, seconds: float
) -> None:
    fetch, clock = FakeFetch({key.url: answer(status)}), FakeClock()
    keys = provider_keys.Keys(fetch, clock)
    assert await code_of(keys, key) == code
    fetch.answers[key.url] = answer(body=b"newer")
    clock.advance(seconds - 1)
    assert await code_of(keys, key) == code
    assert len(fetch.asked) == 1
    clock.advance(1)
    assert await keys.at([key]) == {key.url: b"newer"}


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
    fetch = SlowFetch({KEYS_URL: answer()})
    keys = provider_keys.Keys(fetch, FakeClock())
    waiting = [asyncio.create_task(code_of(keys, named())) for _ in range(20)]
    await asyncio.sleep(0)
    fetch.may_answer.set()
    assert await asyncio.gather(*waiting) == [""] * 20
    assert len(fetch.asked) == 1


async def test_a_request_that_ends_early_takes_the_shared_fetch_from_no_other() -> None:
    fetch = SlowFetch({KEYS_URL: answer()})
    keys = provider_keys.Keys(fetch, FakeClock())
    first, second = (asyncio.create_task(code_of(keys, named())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    fetch.may_answer.set()
    assert await second == ""


async def test_at_most_ten_keys_are_fetched_in_a_minute_and_strangers_leave_two_to_known_ones() -> None:
    urls = [f"https://sns.eu-west-1.amazonaws.com/{number}.pem" for number in range(20)]
    fetch, clock = (
        FakeFetch({**dict.fromkeys(urls, answer(404)), KEYS_URL: answer(), CONFIGURED.url: answer()}),
        FakeClock(),
    )
    keys = provider_keys.Keys(fetch, clock)
    await keys.at([named()])
    clock.advance(provider_keys.KEEP_SECONDS)
    codes = [await code_of(keys, named(url)) for url in urls]
    allowed = provider_keys.MAX_FETCHES_A_MINUTE - provider_keys.RESERVED_FETCHES
    assert codes == ["certificate_url_not_allowed"] * allowed + ["key_unavailable"] * (len(urls) - allowed)
    assert await keys.at([CONFIGURED, named()]) == {CONFIGURED.url: b"pem", KEYS_URL: b"pem"}
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
    await provider_keys.confirm_subscription(FakeFetch({KEYS_URL: answer(204)}), KEYS_URL)
    for fetch in (FakeFetch({KEYS_URL: answer(500)}), FakeFetch()):
        with pytest.raises(Temporary):
            await provider_keys.confirm_subscription(fetch, KEYS_URL)
    inside = FakeFetch({KEYS_URL: answer()}, {"sns.eu-west-1.amazonaws.com": ["169.254.169.254"]})
    with pytest.raises(Rejected) as rejection:
        await provider_keys.confirm_subscription(inside, KEYS_URL)
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
