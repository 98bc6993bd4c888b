"""Every scheme of the catalogue, written out by an operator for a sender that is in no catalogue."""

import base64
import hashlib
import hmac
import json
import zlib
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, ConfigFile
from shared.jsontext import Json
from tests.receiving import URL, Receiving

NOW: Final = 1_790_000_000
SECRET: Final = "a-secret-that-we-both-know"
BODY: Final = b'{"a": 1}'
JSON: Final = ("content-type", "application/json")


def receiving(auth: dict[str, Json], query: str = "", secret: str = SECRET) -> Receiving:
    scheme: Json = {"secret": "the-secret", **auth}
    return Receiving({"auth": scheme}, {"the-secret": secret}, NOW, f"{URL}?{query}" if query else URL)


def mac(content: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(SECRET.encode(), content, algorithm).hexdigest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha384", "sha1", "md5"])
async def test_an_hmac_by_any_algorithm(algorithm: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "algorithm": algorithm}
    assert await receiving(auth).code([JSON, ("X-Sig", mac(BODY, algorithm))], BODY) == ""
    assert await receiving(auth).code([JSON, ("X-Sig", mac(BODY, algorithm).upper())], BODY) == ""
    assert await receiving(auth).code([JSON, ("X-Sig", mac(BODY, algorithm)[:20])], BODY) == "signature_mismatch"


async def test_content_of_any_parts_with_the_time_among_pairs() -> None:
    auth: dict[str, Json] = {
        "scheme": "hmac",
        "header": "X-Sig",
        "layout": "pairs",
        "separator": ";",
        "take": ["s1", "s2"],
        "timestamp": "signature.at",
        "content": "{method} {url}\n{header.x-tenant}:{query.v}:{timestamp}:{data.a}:{body.crc32}:{body}",
        "tolerance_seconds": 60,
    }
    content = f"POST {URL}?v=2\nacme:2:{NOW}:1:{zlib.crc32(BODY)}:".encode() + BODY
    headers = [JSON, ("X-Tenant", "acme"), ("X-Sig", f"at={NOW}; s0=zz; s2={mac(content)}")]
    assert await receiving(auth, "v=2").code(headers, BODY) == ""
    assert await receiving(auth, "v=3").code(headers, BODY) == "signature_mismatch"
    assert (
        await receiving(auth, "v=2").code([*headers[:1], ("X-Tenant", "other"), headers[2]], BODY)
        == "signature_mismatch"
    )
    assert await receiving(auth, "v=2").code([headers[0], headers[2]], BODY) == "signature_mismatch"
    late = receiving(auth, "v=2")
    late.now = NOW + 61
    assert await late.code(headers, BODY) == "timestamp_out_of_range"


async def test_white_space_at_the_ends_of_what_is_signed_or_stands_before_it_counts() -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "prefix": "HMAC ", "content": " {method}\n{body}\n"}
    good = mac(b" POST\n" + BODY + b"\n")
    assert await receiving(auth).code([JSON, ("X-Sig", f"HMAC {good}")], BODY) == ""
    assert await receiving(auth).code([JSON, ("X-Sig", f"HMAC{good}")], BODY) == "signature_mismatch"
    token: dict[str, Json] = {"scheme": "token", "at": "header.Authorization", "prefix": "Token "}
    assert await receiving(token).code([JSON, ("Authorization", f"Token {SECRET}")], BODY) == ""


@pytest.mark.parametrize(
    "header",
    [
        "s1={good},at={now},at={now}",  # which of the two was signed?
        "s1={good}",
        "at={now}",
        "at={now},s9={good}",
        "at=,s1={good}",
        "at={now}=,s1={good}",
        "at={now},s1=" + ",s1=".join(["00"] * 11),
    ],
)
async def test_pairs_that_leave_something_open_are_rejected(header: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "layout": "pairs", "take": "s1"}
    auth |= {"timestamp": "signature.at", "content": "{timestamp}.{body}"}
    text = header.format(good=mac(f"{NOW}.".encode() + BODY), now=NOW)
    assert await receiving(auth).code([JSON, ("X-Sig", text)], BODY) in {"signature_mismatch", "timestamp_out_of_range"}


async def test_items_of_no_use_may_come_again_among_pairs() -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "layout": "pairs", "take": "v1"}
    auth |= {"timestamp": "signature.t", "content": "{timestamp}.{body}"}
    good = mac(f"{NOW}.".encode() + BODY)
    for text in (f"t={NOW},v1={good},v2=00,v2=11", f"t={NOW},v0=00,v0=00,v1=00,v1={good}"):
        assert await receiving(auth).code([JSON, ("X-Sig", text)], BODY) == ""


async def test_two_lines_of_a_header_are_one_value_joined_with_a_comma() -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "prefix": "sha256="}
    good = ("X-Sig", "sha256=" + mac(BODY))
    assert await receiving(auth).code([JSON, good], BODY) == ""
    assert await receiving(auth).code([JSON, good, good], BODY) == "signature_mismatch"


@pytest.mark.parametrize(("place", "query", "body"), [("query.sig", "sig={}", BODY), ("form.sig", "", b"sig={}&b=2")])
async def test_a_signature_may_stand_outside_the_headers(place: str, query: str, body: bytes) -> None:
    content = "{method}" if place == "query.sig" else "{form.b}"
    auth: dict[str, Json] = {"scheme": "hmac", "at": place, "content": content}
    good = mac(b"POST" if place == "query.sig" else b"2")
    form = ("content-type", "application/x-www-form-urlencoded")
    headers = [JSON if place == "query.sig" else form]
    assert await receiving(auth, query.format(good)).code(headers, body.replace(b"{}", good.encode())) == ""
    assert await receiving(auth, query.format("00")).code(headers, body.replace(b"{}", b"00")) == "signature_mismatch"


async def test_a_token_in_the_body_at_every_item() -> None:
    auth: dict[str, Json] = {"scheme": "token", "at": "data.items.*.key", "prefix": "k-"}
    items = [{"key": f"k-{SECRET}"}, {"key": f"k-{SECRET}"}]
    assert await receiving(auth).code([JSON], json.dumps({"items": items}).encode()) == ""
    for wrong in ([], [{"key": f"k-{SECRET}"}, {}], [{"key": SECRET}], {"key": f"k-{SECRET}"}):
        assert await receiving(auth).code([JSON], json.dumps({"items": wrong}).encode()) == "password_mismatch"


async def test_a_digest_with_the_secret_in_it() -> None:
    auth: dict[str, Json] = {"scheme": "digest", "header": "X-Sig", "content": "{secret}|{body}", "encoding": "base64"}
    digest = base64.b64encode(hashlib.sha256(SECRET.encode() + b"|" + BODY).digest()).decode()
    assert await receiving(auth).code([JSON, ("X-Sig", digest)], BODY) == ""
    assert (
        await receiving(auth, secret="another-secret-of-ours").code([JSON, ("X-Sig", digest)], BODY)
        == "signature_mismatch"
    )


@pytest.mark.parametrize(
    ("key", "secret"), [("hex", "not hex at all!!"), ("base64", "nor base64 this!"), ("hex", "k_")]
)
async def test_a_secret_that_is_no_such_key_is_a_503_and_never_a_yes(key: str, secret: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "key": key, "key_prefix": "k_"}
    where = receiving(auth, secret=secret)
    where.weak_allowed = True
    assert await where.code([JSON, ("X-Sig", mac(BODY))], BODY) == "secret_unusable"


async def test_every_item_that_carries_a_signature_is_verified() -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "each": "data.items.*", "at": "data.sig", "content": "{data.n}"}

    def body(*items: Json) -> bytes:
        return json.dumps({"items": list(items)}).encode()

    good: list[Json] = [{"n": n, "sig": mac(str(n).encode())} for n in range(3)]
    assert await receiving(auth).code([JSON], body(*good)) == ""
    wrongs: list[Json] = [{"n": 9, "sig": mac(b"8")}, {"n": 9}, "text"]
    for wrong in wrongs:
        assert await receiving(auth).code([JSON], body(*good, wrong)) == "signature_mismatch"
    assert await receiving(auth).code([JSON], body()) == "signature_mismatch"


@pytest.mark.parametrize(("count", "code"), [(1000, ""), (1001, "signature_mismatch")])
async def test_as_many_items_are_verified_as_a_request_may_hold(count: int, code: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "each": "data.items.*", "at": "data.sig", "content": "{data.n}"}
    items: Json = [{"n": 1, "sig": mac(b"1")}] * count
    assert await receiving(auth).code([JSON], json.dumps({"items": items}).encode()) == code


@pytest.mark.parametrize(
    ("message_id", "code"), [("m" * 256, ""), ("m" * 257, "invalid_delivery_id"), ("", "invalid_delivery_id")]
)
async def test_a_signed_id_is_there_and_of_a_bounded_length(message_id: str, code: str) -> None:
    auth: dict[str, Json] = {"scheme": "hmac", "header": "X-Sig", "id": "header.x-id", "content": "{id}.{body}"}
    signature = ("X-Sig", mac(f"{message_id}.".encode() + BODY))
    assert await receiving(auth).code([JSON, signature, ("X-Id", message_id)], BODY) == code
    if not message_id:
        assert await receiving(auth).code([JSON, signature], BODY) == code


async def test_a_way_counts_only_when_it_should() -> None:
    auth: dict[str, Json] = {
        "scheme": "hmac",
        "header": "X-Sig",
        "when": {"header.x-version": "2", "query.test": False},
    }
    good = [JSON, ("X-Sig", mac(BODY))]
    assert await receiving(auth).code([*good, ("X-Version", "2")], BODY) == ""
    assert await receiving(auth).code([*good, ("X-Version", "1")], BODY) == "signature_mismatch"
    assert await receiving(auth, "test=1").code([*good, ("X-Version", "2")], BODY) == "signature_mismatch"


async def test_a_way_in_the_head_counts_only_when_it_should_too() -> None:
    auth: dict[str, Json] = {"scheme": "bearer", "when": {"header.x-version": "2"}}
    good = [JSON, ("Authorization", f"Bearer {SECRET}")]
    assert await receiving(auth).code([*good, ("X-Version", "2")], BODY) == ""
    assert await receiving(auth).code(good, BODY) == "signature_mismatch"


async def test_of_several_ways_any_will_do() -> None:
    schemes: Json = [
        {"scheme": "hmac", "header": "X-Sig", "secret": "the-secret"},
        {"scheme": "bearer", "secret": "the-secret"},
    ]

    async def code(*headers: tuple[str, str]) -> str:
        return await Receiving({"auth": schemes}, {"the-secret": SECRET}, NOW).code([JSON, *headers], BODY)

    assert await code(("X-Sig", mac(BODY))) == ""
    assert await code(("Authorization", f"Bearer {SECRET}")) == ""
    assert await code(("X-Sig", "00"), ("Authorization", "Bearer wrong")) == "signature_mismatch"


@pytest.mark.parametrize(
    ("auth", "rule"),
    [
        ({"scheme": "hmac"}, "needs the location of the signature"),
        ({"scheme": "hmac", "header": "X", "at": "query.s"}, "needs the location of the signature"),
        ({"scheme": "hmac", "header": "X", "layout": "pairs"}, "layout pairs needs `take`"),
        ({"scheme": "hmac", "header": "X", "content": "{timestamp}.{body}"}, "add its location with `timestamp`"),
        ({"scheme": "hmac", "header": "X", "content": "{bodi}"}, "{bodi} is not a part of a request"),
        ({"scheme": "hmac", "header": "X", "timestamp": "X-Time"}, "must be a location"),
        ({"scheme": "hmac", "header": "X Y"}, "must be the name of a header"),
        ({"scheme": "hmac", "header": "X", "algorithm": "sha3"}, "algorithm"),
        ({"scheme": "hmac", "header": "X", "tolerance_seconds": 0}, "greater than or equal to 1"),
        ({"scheme": "jwt", "algorithms": ["HS256", "RS256"]}, "must not mix shared and public keys"),
        ({"scheme": "jwt", "algorithms": "RS256", "keys_url": "https://k.example.com"}, "needs the key"),
        ({"scheme": "jwt", "algorithms": "none"}, "algorithms"),
        ({"scheme": "jwt", "algorithms": "HS256", "keys_url": "https://k.example.com", "secret": None}, "is public"),
        ({"scheme": "rot13"}, "there is no scheme 'rot13'; there are: "),
        ({"scheme": "standard_webhooks"}, "did you mean 'standard-webhooks'?"),
        ({"scheme": "digest", "header": "X"}, "`content` needs {secret}"),
        ({"scheme": "hmac", "header": "X", "content": "{secret}{body}"}, "needs `scheme: digest`"),
        ({"scheme": "hmac", "header": "X", "content": "{id}.{body}"}, "add its location with `id`"),
        ({"scheme": "hmac", "header": "X", "timestamp": "signature.t"}, "goes with `layout: pairs`"),
        ({"scheme": "hmac", "header": "X", "take": "v1"}, "`take` goes with `layout`"),
        ({"scheme": "hmac", "header": "X", "separator": ";"}, "`separator` goes with `layout: pairs`"),
        ({"scheme": "hmac", "header": "X", "layout": "numbered"}, "a `header` with {n} go together"),
        ({"scheme": "hmac", "header": "X-{n}"}, "a `header` with {n} go together"),
        ({"scheme": "hmac", "at": "signature.v1"}, "must be a location"),
        ({"scheme": "hmac", "header": "X", "content": "{param.a}{body}"}, "for the catalogue only"),
    ],
)
def test_what_cannot_work_is_rejected_with_a_message(auth: dict[str, Json], rule: str) -> None:
    scheme: dict[str, Json] = {"secret": "the-secret", **auth}
    document: Json = {"sources": {"hook": {"auth": {key: value for key, value in scheme.items() if value is not None}}}}
    with pytest.raises(ConfigFaults) as error:
        compile_config(ConfigFile("test", Path(), document))
    assert rule in str(error.value)
