"""encode and decode, encrypt and decrypt, and what else is done to texts."""

import hashlib
import hmac
import json
import re
import zlib
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from typing import Final, get_args

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings, strategies as st

from deploy.secrets.values import random_value
from functions.transform.encryption import Binding, parse_keys, seal
from functions.transform.steps.digest import Algorithm, Digest
from functions.transform.steps.encode import DECODERS, ENCODERS, Decode, Encode
from functions.transform.steps.encrypt import Decrypt, Encrypt, new_nonce
from functions.transform.steps.redact import Redact
from functions.transform.steps.values import Count
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.formats.text_body import binary
from shared.jsontext import Json, mapping_at
from shared.limits import MIB
from tests.fakes.steps import EVENT, data_after, event_after, finished, memory_below
from tests.unit.shared.json_values import json_values
from tests.unit.transform.written_steps import WRITTEN_EVENT, chain, run, written_data_after


def encoded(name: str, data: Json) -> Json:
    return data_after(Encode, {"to": name}, data)


def decoded(name: str, data: Json) -> Json:
    return data_after(Decode, {"from": name}, data)


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("base64", "Grüße?>", "R3LDvMOfZT8+"),
        ("base64url", "Grüße?>", "R3LDvMOfZT8-"),
        ("hex", "hi", "6869"),
        ("binary", "hi", "01101000 01101001"),
        ("percent", "a b/ü?", "a%20b%2F%C3%BC%3F"),
        ("html", "<a href=\"x\">'&'</a>", "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;&#x27;&lt;/a&gt;"),
        ("json", 'say "hi"', '"say \\"hi\\""'),
    ],
)
def test_text_is_written_and_read_back(name: str, text: str, written: str) -> None:
    assert encoded(name, text) == written
    assert decoded(name, written) == text
    if name != "html":  # in which a line break is text
        assert decoded(name, f"{written}\n") == decoded(name, f"{written}\r\n") == text


@given(text=st.text(), content=st.binary())
def test_any_text_and_any_bytes_come_back_equal(text: str, content: bytes) -> None:
    for name in ENCODERS:
        assert data_after(Decode, {"from": name, "as": "text"}, encoded(name, text)) == text.removeprefix("\ufeff")
        if name != "html":
            written = encoded(name, binary(content, "image/png"))
            assert data_after(Decode, {"from": name, "as": "bytes"}, written) == binary(content, "")


@given(content=st.binary() | st.text().map(str.encode))
def test_anything_is_decoded_or_rejected(content: bytes) -> None:
    for name in (*DECODERS, "json", "utf-8", "utf-16", "shift_jis"):
        for document in (binary(content, ""), content.decode("utf-8", "replace")):
            try:
                decoded(name, document)
            except Permanent as error:
                assert error.code == "decoding_failed"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("base64", "aGk=!!!!", "data is not base64"),
        ("base64", "aGl=", "data is not base64 that an encoder writes"),
        ("hex", "de ad", "data is not hex"),
        ("hex", "dead\n\n", "data is not hex"),
        ("percent", "a%2", "data is not percent-encoded"),
        ("html", "&nosuch;", "data has an & that does not begin an HTML character reference"),
        ("gzip", "not gzip", "data is not gzip, or damaged"),
        ("json", "{", "data cannot be read: not JSON: Expecting property name enclosed in double quotes: line 1"),
        ("utf-8", binary("é".encode("latin-1"), ""), "data is not utf-8 text"),
        ("hex", {"a": 1}, "data is an object; only text and bytes can be decoded"),
    ],
)
def test_what_no_encoder_writes_is_rejected(name: str, data: Json, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        decoded(name, data)
    assert caught.value.code == "decoding_failed"
    assert caught.value.detail.startswith(message)


def test_a_hostile_text_is_decoded_in_little_memory() -> None:
    with memory_below(13):
        assert decoded("percent", "%41" * 200_000) == "A" * 200_000
        assert decoded("binary", "01000001 " * 40_000 + "01000001") == "A" * 40_001
        assert decoded("html", "&amp;" * 40_000) == "&" * 40_000


def test_charsets_make_bytes_of_text_and_text_of_bytes() -> None:
    written = encoded("windows-1252", "5 €")

    assert written == binary(b"5 \x80", "text/plain; charset=windows-1252")
    assert decoded("windows-1252", written) == "5 €"
    with pytest.raises(Permanent, match="data has a character that latin1 lacks"):
        encoded("latin1", "5 €")


def test_what_is_no_text_is_encoded_as_its_json() -> None:
    assert encoded("hex", {"a": 1}) == b'{"a":1}'.hex()


def test_what_is_decoded_is_text_where_it_is_utf8_and_bytes_elsewhere() -> None:
    assert decoded("hex", "6869") == "hi"
    assert decoded("hex", "ff00") == binary(b"\xff\0", "")
    assert data_after(Decode, {"from": "hex", "as": "bytes"}, "6869") == binary(b"hi", "")
    with pytest.raises(Permanent, match="data is not utf-8 text"):
        data_after(Decode, {"from": "hex", "as": "text"}, "ff00")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"b": 1}, "data.a is not there"),
        ({"a": "x"}, "data.a is text, not a list"),
        ({"a": [{}]}, "data.a[0].b is not there"),
    ],
)
def test_a_path_that_leads_to_nothing_is_named(data: Json, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        data_after(Encode, {"to": "hex", "path": "data.a[*].b"}, data)
    assert (caught.value.code, caught.value.detail) == ("path_conflict", message)


BODY = b'{ "b": 1,\n "a": "\xc3\xa9" }'


def arrived(data: Json, rawbody: str | None = None, rawbase64: str | None = None) -> Event:
    payload_hash = hashlib.sha256(BODY).hexdigest()
    return replace(EVENT, data=data, payloadhash=payload_hash, rawbody=rawbody, rawbase64=rawbase64)


def digest(settings: dict[str, Json], data: Json, secrets: dict[str, str] | None = None) -> Json:
    return data_after(Digest, settings, data, secrets)


@pytest.mark.parametrize("name", get_args(Algorithm))
def test_each_algorithm_digests_text_and_bytes_as_they_are(name: str) -> None:
    if name == "crc32":
        expected = f"{zlib.crc32('é'.encode()):08x}"
    else:
        expected = hashlib.new(name.replace("-", "_"), "é".encode()).hexdigest()

    assert digest({"algorithm": name}, "é") == expected
    assert digest({"algorithm": name}, binary("é".encode(), "")) == expected


def test_the_body_as_it_came_is_digested_byte_for_byte() -> None:
    md5 = hashlib.md5(BODY).hexdigest()
    settings: Json = {"algorithm": "md5", "of": "body"}
    encoded = b64encode(BODY).decode()

    for event in (
        arrived(BODY.decode()),
        arrived(binary(BODY, "")),
        arrived({"b": 1}, rawbody=BODY.decode()),
        arrived({"b": 1}, rawbase64=encoded),
    ):
        assert event_after(Digest, settings, event).data == md5
    sha256 = event_after(Digest, {"algorithm": "sha256", "of": "body"}, arrived({"b": 1}))  # needs no kept body
    assert sha256.data == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("data", [{"b": 1}, "another text", None])
def test_a_body_that_was_not_kept_is_not_made_up(data: Json) -> None:
    with pytest.raises(Permanent, match="the received body is not kept: set") as caught:
        event_after(Digest, {"algorithm": "md5", "of": "body"}, arrived(data))
    assert caught.value.code == "digest_failed"


def test_a_secret_makes_it_an_hmac_by_the_newest_value() -> None:
    expected = b64encode(hmac.digest(b"new-key-new-key-1", b"text", "sha256")).decode()
    settings: dict[str, Json] = {"algorithm": "sha256", "secret": "partner", "as": "base64"}

    assert digest(settings, "text", {"partner": "new-key-new-key-1\nold-key-old-key-1"}) == expected
    with pytest.raises(Temporary):
        digest(settings, "text", {})


@pytest.mark.parametrize(
    ("of", "data", "number"),
    [
        ("fields", {"a": {"b": 1}, "c": [{"d": 1}]}, 2),
        ("all_fields", {"a": {"b": 1}, "c": [{"d": 1}]}, 4),
        ("items", [1, [2, 3]], 2),
        ("characters", "é😀", 2),
        ("bytes", "é😀", 6),
        ("bytes", binary(b"\xff", ""), 1),
    ],
)
def test_what_is_counted(of: str, data: Json, number: int) -> None:
    assert data_after(Count, {"of": of}, data) == number


def test_a_number_can_go_to_another_place() -> None:
    after = event_after(Count, {"of": "items", "path": "data.a", "into": "subject"}, replace(EVENT, data={"a": [1, 2]}))

    assert (after.data, after.subject) == ({"a": [1, 2]}, "2")


CARD: Final = "4111 1111 1111 1111"


def test_redact_finds_cards_and_addresses_wherever_they_stand() -> None:
    event = replace(
        WRITTEN_EVENT, subject=f"paid with {CARD}", data={"a": [f"{CARD}!"], "n": 4111111111111111, "m": 41111}
    )

    [after] = finished(chain([{"redact": {"cards": True, "emails": True}}]).run(event)).events
    assert after.data == {"a": ["***!"], "n": "***", "m": 41111}
    assert (after.subject, after.actor) == ("paid with ***", "***@example.com")


@pytest.mark.parametrize(
    "text", ["4111.1111.1111.1111", "3782.822463.10005", "4111.1111 1111-1111", f"a {CARD.replace(' ', '.')}. b"]
)
def test_a_card_is_found_with_full_stops_between_its_groups(text: str) -> None:
    masked = data_after(Redact, {"cards": True}, text)
    assert masked == re.sub(r"[0-9][0-9. -]*[0-9]", "***", text)


@pytest.mark.parametrize(
    "text", ["1772366400.000005", "4.111111111111111", "4.111.111.111.111.111", "411111.1111111111"]
)
def test_amounts_and_times_with_full_stops_are_no_cards(text: str) -> None:
    digits = text.replace(".", "")
    assert data_after(Redact, {"cards": True}, digits) == "***"  # the digits alone would be a card's
    assert data_after(Redact, {"cards": True}, text) == text


def test_redact_finds_a_card_in_a_negative_number() -> None:
    assert data_after(Redact, {"cards": True}, [-4111111111111111, -41111]) == ["-***", -41111]


def test_redact_masks_the_whole_of_what_a_path_names() -> None:
    data: Json = {"pin": 1234, "token": "abcdefgh", "deep": {"a": 1}, "none": None}
    paths: list[Json] = ["data.pin", "data.token", "data.deep", "data.none", "data.missing", "actor"]
    step: Json = {"redact": {"paths": paths, "keep_last": 4, "mask": "#"}}

    [after] = finished(chain([step]).run(replace(WRITTEN_EVENT, data=data))).events
    assert after.data == {"pin": "#", "token": "#efgh", "deep": '#":1}', "none": None}
    assert after.actor == "#.com"


@pytest.mark.parametrize(
    ("paths", "items"),
    [
        (["data.card.number", "data.card"], [{"n": 1}]),
        (["data.card", "data.card"], [{"n": 1}]),
        (["data.card", "data.items[0].n", "data.items[*]", "data.items[*].n"], ["***"]),
        (["data.card", "data.items[*].n", "data.items"], "***"),
        (["data.card", "data.items[*].n", "data.items[0].n"], [{"n": "***"}]),
    ],
)
def test_redact_masks_a_value_as_a_whole_if_another_path_is_within_it(paths: list[Json], items: Json) -> None:
    after = written_data_after({"redact": paths}, {"card": {"number": "4111"}, "items": [{"n": 1}]})
    assert after == {"card": "***", "items": items}


@given(st.text(alphabet="0123456789 -", max_size=30), st.text(alphabet="0123456789 -", max_size=30))
def test_no_card_number_is_left(before: str, after: str) -> None:
    left = written_data_after({"redact": {"cards": True}}, f"{before}, {CARD} {after}")

    assert CARD not in str(left)
    assert CARD not in str(written_data_after({"redact": {"cards": True}}, f"{before} {CARD}, {after}"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("4111111111111112, 41111111111111111111111", "4111111111111112, 41111111111111111111111"),
        ("4111 1111 1111 1111 - 12 28", "*** - 12 28"),
        ("4111-1111-1111-1111 3782 822463 10005", "***"),
        ("4111\u00a01111\u202f1111\u20111111", "***"),
        (f"{CARD} 12/27 123", "*** 12/27 123"),
        (f"order 12 {CARD}", "order 12 ***"),
        (f"order 14 {CARD}", "order ***"),  # 14 and the first three groups prove each other as well
    ],
)
def test_a_card_number_is_found_beside_other_digits(text: str, left: str) -> None:
    assert written_data_after({"redact": {"cards": True}}, text) == left


@pytest.mark.parametrize("text", ["a", "a@", '"', '\\"', "a.", "@a.b", '"a@b.'])
def test_mail_addresses_are_searched_in_the_time_of_a_chain(text: str) -> None:
    assert run({"redact": {"emails": True}}, f"{text * 50_000}@").faults == ()


@pytest.mark.parametrize("digits", ["1 ", "4111 "])
def test_a_body_of_digits_is_looked_through_in_the_time_of_a_chain_and_little_memory(digits: str) -> None:
    assert run({"redact": {"cards": True}}, digits * (MIB // len(digits))).faults == ()
    with memory_below(2):
        run({"redact": {"cards": True}}, digits * 5_000)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("jörg@example.com", "***@example.com"),
        ("bob@münchen.de, x@例え.jp", "***@münchen.de, ***@例え.jp"),
        ("联系，ada@例え。jp", "联系，***@例え。jp"),
        ("जोशी@example.com, mu\u0308@mu\u0308nchen.de", "***@example.com, ***@mu\u0308nchen.de"),
        ("bounces+alice=example.com@lists.example.org", "***@lists.example.org"),
        ("SRS0=HHH=TT=example.org=alice@example.com", "***@example.com"),
        (f"{'long.' * 20}ada@example.com", "***@example.com"),
        (
            "r&d@example.com x!y@example.com <a#$%&'*+-/=?^_`{|}~.z@example.com>",
            "***@example.com " * 2 + "<***@example.com>",
        ),
        ('"john doe"@example.com, "a\\"b@c"@example.com', "***@example.com, ***@example.com"),
        ("ada@[192.0.2.1], ada@[IPv6:2001:db8::1]", "***@[192.0.2.1], ***@[IPv6:2001:db8::1]"),
        ('{"to":"ada@example.com","cc":["bob@example.com"]}', '{"to":"***@example.com","cc":["***@example.com"]}'),
        ("mailto:ada@example.com; Ada <ada@example.com>, (ada@example.com)", None),
        ("to=ada@example.com", "***@example.com"),
        ("?from=ada@example.com&to=bob@example.org/x", "***@example.com***@example.org/x"),
        ("ada@example.com.bob@example.org-eve@example.net", "***@example.net"),
        ("root@localhost react@latest a@b@ @example.com", "root@localhost react@latest a@b@ @example.com"),
    ],
)
def test_the_whole_of_a_mail_address_but_its_domain_is_masked(text: str, left: str | None) -> None:
    expected = text.replace("ada", "***") if left is None else left
    assert written_data_after({"redact": {"emails": True}}, text) == expected


@pytest.mark.parametrize("card", [4_000_000_000_006, 6_000_000_000_000_000_004])
def test_a_card_of_13_to_19_digits_is_redacted_though_it_is_a_number(card: int) -> None:
    assert written_data_after({"redact": {"cards": True}}, card) != card


EVERYTHING: Json = {"redact": {"cards": True, "emails": True}}


def test_redact_tells_names_apart_that_are_one_once_masked_so_that_no_field_is_lost() -> None:
    members: Json = {"ada@x.org": 1, "***@x.org (2)": 2, "bob@x.org": 3, "***@x.org": 4}
    after = mapping_at(written_data_after(EVERYTHING, members))
    assert list(after.values()) == [1, 2, 3, 4]
    assert not {"ada@x.org", "bob@x.org"} & set(after)


@pytest.mark.parametrize("number", [4111111111111112, 4111111111111111.5, -4111111111111112, 1e300, True])
def test_redact_leaves_other_numbers(number: int | float) -> None:
    assert written_data_after(EVERYTHING, {"n": number}) == {"n": number}


OLD: Final = "2025:" + b64encode(bytes(range(32))).decode()
NEW: Final = "2026:" + b64encode(bytes(range(32, 64))).decode()


def encrypted(data: Json, keys: str = NEW, **settings: Json) -> Json:
    return data_after(Encrypt, {"secret": "keys", **settings}, data, {"keys": keys})


def decrypted(data: Json, keys: str = NEW, **settings: Json) -> Json:
    return data_after(Decrypt, {"secret": "keys", **settings}, data, {"keys": keys})


def refused(data: Json, keys: str = NEW, **settings: Json) -> Permanent:
    with pytest.raises(Permanent) as caught:
        decrypted(data, keys, **settings)
    return caught.value


@given(json_values, st.sampled_from(["aes-gcm", "jwe"]))
def test_any_value_comes_back_equal(value: Json, name: str) -> None:
    sealed = encrypted(value, format=name)

    assert isinstance(sealed, str)
    assert decrypted(sealed, format=name) == value


def test_sealing_all_of_the_data_takes_the_body_as_it_came_along() -> None:
    event = replace(EVENT, data={"pin": "hunter2"}, rawbody='{"pin": "hunter2"}')

    after = event_after(Encrypt, {"secret": "keys"}, event, {"keys": NEW})
    jose = event_after(Encrypt, {"secret": "keys", "format": "jwe"}, event, {"keys": NEW})

    assert "hunter2" not in repr(after)
    assert (after.datatype, jose.datatype) == (None, "application/jose")


def test_the_newest_key_encrypts_and_every_one_decrypts() -> None:
    for name in ("aes-gcm", "jwe"):
        before = encrypted("x", OLD, format=name)
        after = encrypted("x", f"{NEW}\n{OLD}", format=name)
        assert after != encrypted("x", f"{NEW}\n{OLD}", format=name)

        assert decrypted(before, f"{NEW}\n{OLD}", format=name) == "x"
        assert decrypted(after, NEW, format=name) == "x"
        assert refused(after, OLD, format=name).code == "unknown_key"


@pytest.mark.parametrize("key", ["a-password-that-is-long-enough", "a:b:c", "ab" * 20])
@pytest.mark.parametrize("name", ["aes-gcm", "jwe"])
def test_a_key_that_is_none_is_told_apart_by_its_number_and_not_shown(key: str, name: str) -> None:
    with pytest.raises(Temporary, match=r"secret 'keys': value 2 is no AES key") as caught:
        encrypted("x", f"{NEW}\n{key}", format=name)
    assert caught.value.code == "secret_weak"
    assert key not in caught.value.detail


@pytest.mark.parametrize(
    ("made", "code", "message"),
    [
        ("hc1.2024.AAECAwQFBgcICQoL.AAAAAAAAAAAAAAAAAAAAAA", "unknown_key", "a key id that the secret does not have"),
        ("hc1.2026.AAECAwQFBgcICQo.AAAAAAAAAAAAAAAAAAAAAA", "cryptography_failed", "nonce or tag has the wrong length"),
        ("hc1.2026.AAECAwQFBgcICQoL.AAAAAAAAAAAAAAAAAAAAA!", "cryptography_failed", "damaged"),
        ("hc2.2026.AAECAwQFBgcICQoL.AAAAAAAAAAAAAAAAAAAAAA", "cryptography_failed", "not sealed text"),
        ({"a": 1}, "cryptography_failed", "not encrypted"),
    ],
)
def test_what_was_not_sealed_just_so_is_rejected(made: Json, code: str, message: str) -> None:
    error = refused(made)

    assert error.code == code
    assert message in error.detail


def test_what_would_stay_readable_by_mistake_is_rejected() -> None:
    with pytest.raises(Permanent, match=r"data\.card is text, not an object"):
        encrypted({"card": "4111111111111111"}, paths=["data.card.number"])


def test_a_sealed_value_opens_in_its_place_and_context_only() -> None:
    sealed = mapping_at(encrypted({"a": "one", "b": "two"}, paths=["data.a", "data.b"], context="payments"))
    moved: Json = {"a": sealed["b"], "b": sealed["a"]}

    assert decrypted(sealed, paths=["data.a"], context="payments") == {"a": "one", "b": sealed["b"]}
    assert refused(moved, paths=["data.a"], context="payments").code == "cryptography_failed"
    assert refused(sealed, paths=["data.a"], context="refunds").code == "cryptography_failed"


@given(st.text() | st.from_regex(r"hc1\.2026\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_any_text_opens_or_is_rejected(text: str) -> None:
    assert refused(text).code in ("cryptography_failed", "unknown_key")
    assert refused(text, format="jwe").code in ("cryptography_failed", "unknown_key")


def test_a_secret_that_is_not_there_comes_again() -> None:
    for model in (Encrypt, Decrypt):
        with pytest.raises(Temporary):
            data_after(model, {"secret": "keys"}, "x", {})


@pytest.mark.parametrize("name", ["aes-gcm", "jwe"])
def test_a_secret_that_is_made_up_for_local_use_is_a_key(name: str) -> None:
    keys = random_value()

    assert decrypted(encrypted("x", keys, format=name), keys, format=name) == "x"


def test_each_seal_uses_a_nonce_of_its_own() -> None:
    [key] = parse_keys("keys", [NEW])
    binding = Binding("", "data")
    nonces: set[str] = set()
    for _ in range(50_000):
        nonces.add(seal(b'"x"', key, binding, new_nonce()).split(".")[2])

    assert len(nonces) == 50_000


@settings(max_examples=20)
@given(
    st.dictionaries(st.sampled_from(["alg", "enc", "kid", "zip", "epk", "iv", "tag", "cty"]), json_values),
    st.text("AQgw_-."),
)
def test_any_header_opens_nothing(header: dict[str, Json], rest: str) -> None:
    encoded = urlsafe_b64encode(json.dumps({"alg": "A256KW", "enc": "A256GCM", **header}).encode()).decode().rstrip("=")

    assert refused(f"{encoded}.{rest}", format="jwe").code in ("cryptography_failed", "unknown_key")
    assert refused(f"{encoded}.AAAA.AAAA.AAAA.AAAA", format="jwe").code in ("cryptography_failed", "unknown_key")


def pem_pair(kind: str) -> tuple[str, str]:
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    private = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private_pem.decode(), public_pem.decode()


@pytest.mark.parametrize(("kind", "algorithm"), [("RSA", "RSA-OAEP-256"), ("EC", "ECDH-ES+A256KW")])
def test_a_public_key_encrypts_and_its_private_key_decrypts(kind: str, algorithm: str) -> None:
    private, public = pem_pair(kind)

    sealed = encrypted({"a": 1}, public, format="jwe")

    header = json.loads(urlsafe_b64decode(str(sealed).partition(".")[0] + "==="))
    assert (header["alg"], header["enc"], header["cty"]) == (algorithm, "A256GCM", "json")
    assert decrypted(sealed, f"{NEW}\n{private}", format="jwe") == {"a": 1}
    assert refused(sealed, NEW, format="jwe").code == "unknown_key"


def test_a_jwk_is_a_key_and_a_foreign_jwe_without_key_id_and_json_opens() -> None:
    from joserfc.jwe import encrypt_compact
    from joserfc.jwk import OctKey

    octets = OctKey.import_key(bytes(range(32)))
    jwk = json.dumps({"kty": "oct", "k": urlsafe_b64encode(bytes(range(32))).decode().rstrip("="), "kid": "k7"})
    foreign = encrypt_compact({"alg": "dir", "enc": "A256GCM"}, b"just text", octets)

    assert decrypted(foreign, f"{NEW}\n{jwk}", format="jwe") == "just text"
    assert '"kid":"k7"' in urlsafe_b64decode(str(encrypted(1, jwk, format="jwe")).partition(".")[0] + "===").decode()


def test_an_algorithm_that_is_not_on_the_list_is_not_tried() -> None:
    from joserfc.jwe import JWERegistry, encrypt_compact
    from joserfc.jwk import OctKey

    octets = OctKey.import_key(b"a password that is a password")
    registry = JWERegistry(algorithms=["PBES2-HS256+A128KW", "A128GCM", "dir", "A256GCM", "DEF"])
    by_password = encrypt_compact({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM"}, b"x", octets, registry=registry)
    wide = OctKey.import_key(bytes(range(32, 64)))
    packed = encrypt_compact({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}, b"x", wide, registry=registry)

    assert "not accepted" in refused(by_password, format="jwe").detail
    assert "a header that is not accepted" in refused(packed, format="jwe").detail
    assert "not accepted" in refused(encrypted("x", format="jwe"), format="jwe", algorithms=["dir"]).detail


def test_a_key_that_does_not_go_with_the_algorithm_says_so() -> None:
    with pytest.raises(Permanent, match="the key does not encrypt by RSA-OAEP-256"):
        encrypted("x", format="jwe", algorithm="RSA-OAEP-256")
