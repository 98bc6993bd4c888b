"""Why the time of a signature is refused."""

import base64
import hmac

from functions.receive.diagnosis.diagnose import rejection_cause
from shared.http import Request
from shared.signatures.auth_scheme import read_scheme
from tests.unit.receive.rejections import BODY, KEY, NOW, TIMED, mac, posted, read_auth


def timed(at: str, content: bytes | None = None) -> Request:
    signed = content if content is not None else at.encode() + b"." + BODY
    return posted(BODY, ("x-sig", f"t={at},v1={mac(signed)}"))


def test_an_old_signature_says_how_old_and_what_the_limit_is() -> None:
    cause = rejection_cause(timed(str(int(NOW) - 7 * 60)), read_auth(TIMED), [KEY], NOW)
    assert cause is not None
    assert cause.startswith("signed 7 minutes ago, the limit is 5 minutes: the signature is right")


def test_a_signature_a_second_too_old_is_reported_in_seconds() -> None:
    cause = rejection_cause(timed(str(int(NOW) - 301)), read_auth(TIMED), [KEY], NOW)
    assert cause is not None
    assert cause.startswith("signed 301 seconds ago, the limit is 5 minutes")


def test_a_signature_from_the_future_blames_a_clock() -> None:
    cause = rejection_cause(timed(str(int(NOW) + 3600 * 3)), read_auth(TIMED), [KEY], NOW)
    assert cause is not None
    assert "signed 3 hours in the future" in cause
    assert "clock" in cause


def test_an_old_signature_that_is_not_right_either_says_both() -> None:
    cause = rejection_cause(timed(str(int(NOW) - 420), b"something else"), read_auth(TIMED), [KEY], NOW)
    assert cause is not None
    assert cause.endswith("and the signature is wrong too")


def test_milliseconds_where_seconds_are_meant_are_reported() -> None:
    cause = rejection_cause(timed(str(int(NOW) * 1000)), read_auth(TIMED), [KEY], NOW)
    assert cause is not None
    assert "in milliseconds where this source expects seconds, and the signature is right" in cause


def test_a_signature_of_years_ago_is_old_and_not_written_otherwise() -> None:
    """As an example in a provider's documentation is, or a request that was kept."""
    cause = rejection_cause(timed(str(int(NOW) - 86_400 * 3_000)), read_auth(TIMED), [KEY], NOW)
    assert cause is not None
    assert cause.startswith("signed 3000 days ago, the limit is 5 minutes: the signature is right")


def test_a_list_without_a_signature_of_the_version_expected_is_reported_as_that() -> None:
    request = posted(BODY, ("x-sig", f"t={int(NOW)},v0={mac(BODY)}"))
    cause = rejection_cause(request, read_auth(TIMED), [KEY], NOW)
    assert cause == "no signature of the kind v1 stands in the header x-sig"


def test_a_signature_over_the_body_alone_is_reported() -> None:
    cause = rejection_cause(timed(str(int(NOW)), BODY), read_auth(TIMED), [KEY], NOW)
    assert cause is not None
    assert "the signature is over {body}, and" in cause


def standard(key: bytes, at: int, version: str = "v1", id: str = "msg_1") -> Request:
    signed = f"{id}.{at}.".encode() + BODY
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = (("webhook-id", id), ("webhook-timestamp", str(at)), ("webhook-signature", f"{version},{signature}"))
    return posted(BODY, *headers)


def test_an_old_signature_by_a_standard_webhooks_secret_used_as_text_is_right_but_for_its_time() -> None:
    secret = f"whsec_{KEY}"
    settings = read_scheme({"scheme": "standard-webhooks", "secret": "s", "key": "utf8"})
    cause = rejection_cause(standard(secret.encode(), int(NOW) - 420), settings, [secret], NOW) or ""
    assert cause.startswith("signed 7 minutes ago, the limit is 5 minutes: the signature is right")


def test_a_right_signature_is_no_other_sources() -> None:
    settings = read_scheme({"scheme": "standard-webhooks", "secret": "s"})
    secret = "whsec_" + base64.b64encode(KEY.encode()).decode()
    request = standard(KEY.encode(), int(NOW), id="has.a.stop")
    assert rejection_cause(request, settings, [secret], NOW, None, {"another": [secret]}) is None
