"""Endpoints' secrets are stored sealed: only our key opens them, and only where they were put."""

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Temporary
from shared.subscribers.model import SealedText
from shared.subscribers.sealing import SEAL, derived_key, key_id, sealer_of

OLD, NEW = "o" * 32, b64encode(bytes(range(32))).decode()
NONCE = bytes(12)
CONTEXT = "acme/ep_00000000000000000000"
SEALER = sealer_of([NEW, OLD])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
NONCES = st.binary(min_size=12, max_size=12)


@given(TEXTS, TEXTS, NONCES)
def test_what_was_sealed_is_opened_in_its_context_and_in_no_other(text: str, context: str, nonce: bytes) -> None:
    sealed = SealedText.model_validate_json(SEALER.seal(text, context, nonce).text())
    assert SEALER.open(sealed, context) == text
    for other in (f"{context}x", context[1:] or "x", f" {context}"):
        if other != context:
            with pytest.raises(Temporary) as error:
                SEALER.open(sealed, other)
            assert error.value.code == "secret_unusable"


@given(st.data(), NONCES)
def test_no_changed_byte_is_opened(data: st.DataObject, nonce: bytes) -> None:
    sealed = SEALER.seal("whsec_c2VjcmV0", CONTEXT, nonce)
    name = data.draw(st.sampled_from(["nonce", "content"]))
    content = bytearray(b64decode(getattr(sealed, name)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Temporary, match="does not open"):
        SEALER.open(sealed.model_copy(update={name: b64encode(content).decode()}), CONTEXT)


@given(nonce=st.text(max_size=20), content=st.text(max_size=60))
def test_no_document_however_damaged_raises_anything_else(nonce: str, content: str) -> None:
    damaged = SealedText(key_id=SEALER.seal("x", CONTEXT, NONCE).key_id, nonce=nonce, content=content)
    with pytest.raises(Temporary) as error:
        SEALER.open(damaged, CONTEXT)
    assert error.value.code == "secret_unusable"


def test_the_newest_key_seals_and_the_ones_before_it_still_open() -> None:
    before, after = sealer_of([OLD]), sealer_of([NEW])
    sealed = before.seal("secret", CONTEXT, NONCE)
    assert SEALER.open(sealed, CONTEXT) == "secret"
    assert after.open(SEALER.seal("secret", CONTEXT, NONCE), CONTEXT) == "secret"
    with pytest.raises(
        Temporary, match=rf"no value of the secret 'subscribers-key' has the id {sealed.key_id}"
    ) as error:
        after.open(sealed, CONTEXT)
    assert (error.value.code, OLD in error.value.detail, NEW in error.value.detail) == ("secret_unusable", False, False)


@pytest.mark.parametrize("value", [OLD, NEW, "0f" * 32, "a text of some words that is long enough", "é" * 32])
def test_a_key_is_derived_for_its_purpose_as_rfc_5869_says(value: str) -> None:
    for purpose in (SEAL, "portal"):
        assert derived_key(value, purpose) == HKDF(SHA256(), 32, None, purpose.encode()).derive(value.encode())
    assert derived_key(value, SEAL) != derived_key(value, "portal")
    assert sealer_of([value]).seal("x", CONTEXT, NONCE).key_id == key_id(derived_key(value, SEAL))


def test_a_short_value_is_no_key() -> None:
    with pytest.raises(Temporary, match=r"32 characters at least.*got 31") as error:
        sealer_of([NEW, "x" * 31])
    assert (error.value.code, "xxx" in error.value.detail) == ("secret_unusable", False)
