from pathlib import Path

import pytest
from twilio.rest import Client  # type: ignore[import-untyped]

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from functions.notify.destinations import sms
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, to_json
from tests.unit.notify.http_kinds import HOSTILE, form_of, outcome_of, request_of

ACCOUNT = "AC" + "a" * 32
SETTINGS: JsonObject = {"account": ACCOUNT, "secret": "token", "from": "+15005550006", "to": "+447700900123"}
SECRETS = {"token": "t0ken"}


def form(settings: JsonObject, data: Json = None) -> dict[str, str]:
    return form_of(request_of(sms, {**SETTINGS, **settings}, data, SECRETS))


def test_the_address_is_that_of_twilios_own_client() -> None:
    request = request_of(sms, SETTINGS, secrets=SECRETS)
    messages = Client(ACCOUNT, "t0ken").api.v2010.accounts(ACCOUNT).messages

    assert request.url == messages._version.absolute_url(messages._uri)


def test_a_message_goes_to_the_region_of_the_account() -> None:
    request = request_of(sms, {**SETTINGS, "api_url": "https://api.dublin.ie1.twilio.com/"}, secrets=SECRETS)
    assert request.url == f"https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert not request.allow_private


@pytest.mark.parametrize("text", HOSTILE)
def test_a_body_has_at_most_1600_characters_as_twilio_counts_them(text: str) -> None:
    body = form({"text": "{{ data }}"}, text)["Body"]

    assert len(body.encode("utf-16-le")) // 2 <= 1_600


def test_a_body_is_cut_with_a_mark_between_whole_characters() -> None:
    assert form({"text": "{{ data }}", "max_characters": 4}, "😀😀😀")["Body"] == "😀…"


def test_a_number_from_the_event_must_be_one_that_the_operator_allows() -> None:
    settings: JsonObject = {"to": "{{ data }}", "allow_recipients": ["+44", "+4915"]}

    assert form(settings, "+447700900123")["To"] == "+447700900123"
    for number in ("+19005550123", "+4420", "+4916012345678", "447700900123", "+44770090012x", "", "+44\r\n7700900123"):
        with pytest.raises(Permanent) as raised:
            form(settings, number)
        assert raised.value.code == "recipient_not_allowed"


def test_a_number_in_a_configuration_is_no_mail_address() -> None:
    rest = "sources: {shop: {auth: none}}\nroutes: [{name: r, from: shop, to: phone}]\n"
    text = f"{rest}destinations: {{phone: {{sms: {to_json(SETTINGS)}}}}}\n"

    notify = compile_config(parse_config(text, "hookchain.yaml", Path()))["notify"]
    assert '"to":"+447700900123"' in to_json(notify)


def test_reports_of_twilio_may_go_to_a_source() -> None:
    assert form({"status_callback": "https://hooks.example.com/twilio"})["StatusCallback"] == (
        "https://hooks.example.com/twilio"
    )


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"to": "{{ data.phone }}"}, "needs `allow_recipients`"),
        ({"to": "07700 900123"}, "must be a number such as"),
        ({"account": "AC1"}, "pattern"),
        ({"from": "not a sender at all"}, "pattern"),
        ({"allow_recipients": ["44"]}, "pattern"),
        ({"max_characters": 1_601}, "less than or equal to 1600"),
    ],
)
def test_settings_that_cannot_work_are_rejected(settings: JsonObject, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        sms.Settings.model_validate({**SETTINGS, **settings})


@pytest.mark.parametrize("code", [21211, 21408, 21610, 21614])
def test_a_message_that_twilio_will_never_take_fails_and_says_why(code: int) -> None:
    outcome = outcome_of(sms, 400, {"code": code, "message": "…", "status": 400})

    assert isinstance(outcome, Failed)
    assert f"({code}): {sms.FAILED[code]}" in outcome.reason


@pytest.mark.parametrize(("status", "code"), [(429, 20429), (400, 21611), (429, None), (503, None)])
def test_anything_else_comes_later(status: int, code: int | None) -> None:
    outcome = outcome_of(sms, status, {"code": code}, retry_after="7")

    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == (7 if status in (429, 503) or code == 21611 else None)


def test_a_message_in_the_queue_is_delivered_and_its_id_is_kept_without_its_text() -> None:
    answer: Json = {"sid": "SM1", "status": "queued", "body": "Your code is 8814."}

    assert outcome_of(sms, 201, answer) == Delivered("201 SM1 queued")
    assert isinstance(outcome_of(sms, 410), Disabled)
