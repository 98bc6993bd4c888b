"""Endpoints' secrets, which are stored sealed; their names; and operational events about them."""

import hashlib
import json
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, strategies as st

from shared.delivery import Delivery
from shared.errors import Temporary
from shared.event import Event
from shared.subscribers.directory import time_mark
from shared.subscribers.model import Endpoint, SealedText, Tenant
from shared.subscribers.names import SUBSCRIBERS_SOURCE, EndpointName, endpoint_name
from shared.subscribers.operational_events import operational_event
from shared.subscribers.sealing import SEAL, derived_key, key_id, sealer_of

OLD, NEW = "o" * 32, b64encode(bytes(range(32))).decode()
NONCE = bytes(12)
CONTEXT = "acme/ep_00000000000000000000"
SEALER = sealer_of((NEW, OLD))
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
    before, after = sealer_of((OLD,)), sealer_of((NEW,))
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
    assert sealer_of((value,)).seal("x", CONTEXT, NONCE).key_id == key_id(derived_key(value, SEAL))


def test_a_short_value_is_no_key() -> None:
    with pytest.raises(Temporary, match=r"32 characters at least.*got 31") as error:
        sealer_of((NEW, "x" * 31))
    assert (error.value.code, "xxx" in error.value.detail) == ("secret_unusable", False)


# Names

EVENT = Event("e1", "/sources/app", "order.paid", "2026-01-01T00:00:00Z", "00", {"n": 1})
NAME = EndpointName("customers", "acme", "ep_" + "0" * 20)


def test_an_endpoints_name_is_read_back() -> None:
    assert endpoint_name(str(NAME)) == NAME


def test_a_delivery_to_an_endpoint_has_an_id_of_event_route_destination_tenant_and_endpoint() -> None:
    parts = ["e1", "to customers", *NAME]
    expected = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
    assert Delivery(EVENT, "to customers", str(NAME)).id == expected


def test_the_ids_of_messages_sort_the_newest_first_from_1970_on() -> None:
    marks = [time_mark(at) for at in (9_999_999_999.0, 1_790_000_000.0, 1_789_999_999.999, 0.001, 0.0)]
    assert marks == sorted(marks)
    assert {len(mark) for mark in marks} == {14}


# Operational events

ENDPOINT = Endpoint(id="ep_1", tenant="acme", url="https://acme.example.com", disabled_by="receiver", disabled_at=5.0)
ACME = Tenant(id="acme", name="Acme", email="ada@acme.example")


def test_an_operational_event_is_one_of_cloudevents_with_nothing_secret() -> None:
    event = operational_event("disabled", ENDPOINT, ACME, 5.0, "gone")
    assert (event.type, event.source, event.subject) == ("endpoint.disabled", SUBSCRIBERS_SOURCE, "acme:ep_1")
    assert event.time == event.receivedat == "1970-01-01T00:00:05.000Z"
    assert json.loads(json.dumps(event.data)) == {
        "tenant": "acme",
        "name": "Acme",
        "email": "ada@acme.example",
        "endpoint": "ep_1",
        "url": "https://acme.example.com",
        "description": None,
        "reason": "gone",
        "at": "1970-01-01T00:00:05.000Z",
        "disabled_by": "receiver",
        "failing_since": None,
    }


def test_a_change_that_is_told_twice_has_one_id_and_another_change_another() -> None:
    told = [
        operational_event(change, ENDPOINT, ACME, at, "").id for change in ("failing", "disabled") for at in (5.0, 6.0)
    ]
    assert len(set(told)) == 4
    assert operational_event("failing", ENDPOINT, Tenant(id="acme"), 5.0, "other").id == told[0]
