"""The URL that gets the incoming messages of a Twilio number, which has one:
https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, PlaceForm, Wanted
from shared.jsontext import JsonObject

_SID: Final = "[0-9a-f]{32}"


def make_body(operation: Operation, wanted: Wanted) -> Body | None:
    """Return the body, with an empty application, because Twilio ignores the URL of a number with an application."""
    if operation == "delete":
        return {"SmsUrl": ""}
    return {"SmsUrl": wanted.url, "SmsMethod": "POST", "SmsApplicationSid": ""}


def read_hook(each: JsonObject) -> Hook:
    application = each.get("sms_application_sid")
    method = each.get("sms_method")
    url = str(each["sms_url"] or "")
    return Hook(
        id="messages",  # ours: the setting of a number has none
        url=f"application:{application}" if application else url,  # Twilio ignores the URL beside an application
        events=None,
        faults=() if method in (None, "POST") else (f"its method is {method}",),
    )


KIND: Final = HookKind(
    title="Twilio",
    api_url="https://api.twilio.com/2010-04-01",
    rights="the SID and the secret of an API key, joined by a colon",
    headers={"Authorization": "Basic {basic}"},
    places=(
        PlaceForm(
            rf"(?P<account>AC{_SID})/(?P<number>PN{_SID})",
            "/Accounts/{account}/IncomingPhoneNumbers/{number}.json",
            f"AC{'0' * 32}/PN{'0' * 32}",
        ),
    ),
    operations={"list": "GET {at}", "change": "POST {at}", "delete": "POST {at}"},
    make_body=make_body,
    read_hook=read_hook,
    name_event=lambda _: None,
    sends_forms=True,
    is_single=True,
    is_account_signed=True,
    signs_url=True,
)
