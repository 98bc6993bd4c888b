"""encrypt and decrypt, as JWE for systems that are not ours."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Permanent
from shared.jsontext import Json
from tests.unit.shared.json_values import json_values
from tests.unit.transform.sealing import NEW, decrypted, encrypted, refused


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


def test_what_is_larger_than_a_token_is_accepted_too() -> None:
    text = "x" * 1_000_000

    assert decrypted(encrypted(text, format="jwe"), format="jwe") == text
