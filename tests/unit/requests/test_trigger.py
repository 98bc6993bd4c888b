"""Every provider's samples, signed as it signs, against a receiver in this process."""

import stat
from pathlib import Path

import pytest

from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.samples import FOLDER, load_sample, sample_names
from deploy.requests.sender_keys import KeyPair, store_private_key
from deploy.requests.signed_samples import BREAKS, Break, CannotSign, chosen_sample
from functions.receive.receive import Accepted, Answered, accepted_reply
from shared.errors import HookchainError, Rejected, Temporary
from shared.secrets import SECRET_NAME
from tests.in_process.signed_samples import FRESH, on_range

# Their keys and certificates are fetched: only the provider can sign, and nobody is asked here.
NEEDS_A_KEY_FROM_ELSEWHERE = frozenset({"google_pubsub", "aws_sns", "paypal"})
WITHOUT_ID = frozenset(
    {("airtable", "ping"), ("slack", "slash_command"), ("microsoft_graph", "reauthorizationRequired")}
)
CODES = {
    "signature": {"signature_mismatch", "password_mismatch"},
    "clock": {"timestamp_out_of_range"},
    "body": {"signature_mismatch", "malformed_body", "password_mismatch"},
}

PROVIDERS = sorted(load_catalogue())
SAMPLES = [(provider, event) for provider in PROVIDERS for event in sample_names(provider)]
VARIANTS = [
    (provider, offered.scheme.variant)
    for provider in PROVIDERS
    for offered in load_catalogue()[provider].auth
    if offered.scheme.variant and not offered.on_request
]
HANDSHAKES = [(provider, one.name) for provider in PROVIDERS for one in load_catalogue()[provider].handshakes]


def test_every_provider_has_a_sample() -> None:
    assert not [provider for provider in PROVIDERS if not sample_names(provider)]


def test_a_sample_is_new_at_each_sending() -> None:
    for folder in sorted(path.name for path in FOLDER.iterdir() if path.is_dir()):
        for event in sample_names(folder):
            sample = load_sample(folder, event, FRESH).request
            text = f"{sample.headers} {sample.body.decode()}".lower()
            assert "5eed5eed5eed" not in text, (folder, event)
            assert "1700000000" not in text, (folder, event)


@pytest.mark.parametrize(("provider", "event"), SAMPLES, ids=[f"{p}-{e}" for p, e in SAMPLES])
def test_a_sample_is_accepted(provider: str, event: str, tmp_path: Path) -> None:
    firing = on_range(provider, tmp_path)
    try:
        request = firing.shot(event)
    except CannotSign:
        assert provider in NEEDS_A_KEY_FROM_ELSEWHERE
        return
    result = firing.received(request)
    if chosen_sample(firing.aim, event, firing.keys, FRESH).is_handshake:
        assert isinstance(result, Answered)
        return
    assert isinstance(result, Accepted)
    assert result.events
    entry = load_catalogue()[provider]
    for made in result.events:
        assert not entry.event.type or made.type != "received" or provider == "twilio"  # its own word for a message
        assert not entry.event.id or made.deliveryid or (provider, event) in WITHOUT_ID


@pytest.mark.parametrize(("provider", "variant"), VARIANTS, ids=[f"{p}-{v}" for p, v in VARIANTS])
def test_each_way_of_proof_of_a_provider_can_be_signed(provider: str, variant: str, tmp_path: Path) -> None:
    firing = on_range(provider, tmp_path)
    for event in sample_names(provider):
        try:
            result = firing.received(firing.shot(event, variant=variant))
        except CannotSign:
            assert provider in NEEDS_A_KEY_FROM_ELSEWHERE
            return
        except Rejected:  # a form's signature does not fit a sample in JSON
            continue
        assert isinstance(result, Accepted)
        return
    pytest.fail("no sample can be signed in this way")


@pytest.mark.parametrize(("provider", "name"), HANDSHAKES, ids=[f"{p}-{n}" for p, n in HANDSHAKES])
def test_a_handshake_is_answered_and_makes_no_event(provider: str, name: str, tmp_path: Path) -> None:
    firing = on_range(provider, tmp_path)
    try:
        request = firing.shot(name)
    except CannotSign:
        assert provider in NEEDS_A_KEY_FROM_ELSEWHERE
        return
    result = firing.received(request)
    assert isinstance(result, Answered)
    assert result.reason == f"handshake {name}"


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_broken_is_rejected_for_just_that(provider: str, what: Break, tmp_path: Path) -> None:
    firing = on_range(provider, tmp_path)
    try:
        request = firing.shot(None, what)
    except CannotSign:
        assert what != "signature"
        return
    except ValueError as nothing_to_break:
        assert "so none can be wrong" in str(nothing_to_break)
        return
    with pytest.raises(HookchainError) as error:
        firing.received(request)
    if isinstance(error.value, Temporary):
        assert provider in NEEDS_A_KEY_FROM_ELSEWHERE
        return
    assert error.value.code in CODES[what]


@pytest.mark.parametrize(
    ("provider", "event", "content_type", "body"),
    [
        ("slack", "slash_command", None, b""),  # a dialog's sender takes any other body for a failure
        ("twilio", None, "text/xml", b"<Response/>"),  # its error 12300 is an answer that is no XML
        ("xero", None, None, b""),  # its first probe fails where the answer has a body
    ],
)
def test_an_answer_that_its_sender_reads_is_one_that_it_understands(
    provider: str, event: str | None, content_type: str | None, body: bytes, tmp_path: Path
) -> None:
    firing = on_range(provider, tmp_path)
    request = firing.shot(event)
    result = firing.received(request)
    assert isinstance(result, Accepted)
    reply = accepted_reply(result, request)
    assert (reply.status, dict(reply.headers).get("content-type"), reply.body) == (200, content_type, body)


def test_names_of_secrets_made_for_providers_are_secret_names() -> None:
    assert all(SECRET_NAME.fullmatch(f"{provider.replace('_', '-')}-secret") for provider in PROVIDERS)


def test_a_private_key_is_readable_for_its_owner_only_although_an_earlier_one_was_not(tmp_path: Path) -> None:
    pair = KeyPair("private", "public")
    store_private_key(tmp_path, "shop-key", pair).chmod(0o644)
    assert stat.S_IMODE(store_private_key(tmp_path, "shop-key", pair).stat().st_mode) == 0o600
