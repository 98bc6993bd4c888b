"""encrypt and decrypt."""

import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings, strategies as st

from deploy.secrets.values import random_value
from functions.transform.encryption import Binding, parse_keys, seal
from functions.transform.steps.encrypt import Decrypt, Encrypt, new_nonce
from shared.errors import Permanent, Temporary
from shared.jsontext import Json, mapping_at
from tests.fakes.steps import EVENT, data_after, event_after
from tests.unit.shared.json_values import json_values

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
