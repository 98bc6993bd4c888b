from pathlib import Path

import pytest
from twilio.rest import Client  # type: ignore[import-untyped]

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from functions.notify.destinations import sms
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, to_json
from tests.unit.notify.http_kinds import HOSTILE, form_of, request_of

ACCOUNT = "AC" + "a" * 32
SETTINGS: JsonObject = {"account": ACCOUNT, "secret": "token", "from": "+15005550006", "to": "+447700900123"}
SECRETS = {"token": "t0ken"}


def form(settings: JsonObject, data: Json = None) -> dict[str, str]:
    return form_of(request_of(sms, {**SETTINGS, **settings}, data, SECRETS))


def test_the_address_is_that_of_twilios_own_client() -> None:
    request = request_of(sms, SETTINGS, secrets=SECRETS)
    messages = Client(ACCOUNT, "t0ken").api.v2010.accounts(ACCOUNT).messages

    assert request.url == messages._version.absolute_url(messages._uri)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_body_has_at_most_1600_characters_as_twilio_counts_them(text: str) -> None:
    body = form({"text": "{{ data }}"}, text)["Body"]

    assert len(body.encode("utf-16-le")) // 2 <= 1_600


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
