"""Every scheme of the catalogue, written out by an operator for a sender that is in no catalogue."""

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
from shared.errors import Temporary
from shared.jsontext import Json
from tests.in_process.posting import JSON, Posting
from tests.in_process.receiving import URL, Receiving
from tests.unit.receive.sender_keys import ED, b64, code, receiving

NOW: Final = 1_790_000_000
SECRET: Final = "a-secret-that-we-both-know"
BODY: Final = b'{"a": 1}'
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


@pytest.mark.parametrize(
    ("key", "secret"), [("hex", "not hex at all!!"), ("base64", "nor base64 this!"), ("hex", "k_")]
)
async def test_a_secret_that_is_no_such_key_is_a_503_and_never_a_yes(key: str, secret: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "key": key, "key_prefix": "k_"}
    where = written_out(auth, secret=secret)
    where.weak_allowed = True
    assert await where.code([JSON_TYPE, ("X-Sig", mac(BODY))], BODY) == "secret_unusable"


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


@pytest.mark.parametrize(
    ("auth", "headers", "fault"),
    [
        ({"scheme": "hmac", "header": "X-Sig", "key": "hex"}, [("X-Sig", mac(BODY))], "the secret is not hex"),
        (
            {"scheme": "standard-webhooks"},
            [("webhook-id", "m"), ("webhook-timestamp", str(NOW)), ("webhook-signature", "v1,x")],
            "a Standard Webhooks secret is 'whsec_' and base64",
        ),
    ],
)
async def test_a_wrong_kind_of_key_is_named(auth: dict[str, Json], headers: list[tuple[str, str]], fault: str) -> None:
    where = written_out(auth, secret="not such a key!!")
    with pytest.raises(Temporary, match=f"secret 'the-secret': {fault}"):
        await where.events([JSON_TYPE, *headers], BODY)


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
