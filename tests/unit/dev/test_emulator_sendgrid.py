"""The requests that the emulated SendGrid rejects, as SendGrid does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploy.dev.mail import SentRequest, mail_of, mail_request
from shared.jsontext import Json, JsonObject

ANN: JsonObject = {"email": "ann@example.com"}
GOOD: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com", "name": None},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}, {"type": "text/html", "value": "<b>hello</b>"}],
}


def places_at_fault(document: JsonObject) -> list[str]:
    try:
        SentRequest.model_validate_json(json.dumps(document))
    except ValidationError as error:
        return [".".join(map(str, each["loc"])) for each in error.errors()]
    return []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [ANN], "bcc": [{"email": "Ann@example.com"}]}]}, "personalizations.0"),
        ({"from": {"email": "a@b\r\nBcc: c@example.com"}}, "from.email"),
        ({"subject": ""}, ""),
        ({"attachments": [{"content": "not base64!", "filename": "x"}]}, "attachments.0.content"),
        ({"headers": {"Bcc": "x@example.com"}}, "headers"),
    ],
)
def test_a_fault_is_named_by_its_place(changes: JsonObject, place: str) -> None:
    assert place in places_at_fault({**GOOD, **changes})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("a@example.com"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*GOOD, "to", "email", "name", "type", "value", "filename"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([*GOOD, "attachments", "headers", "reply_to", "categories"]), JSON)
def test_any_json_is_rejected_or_parsed_as_mails(member: str, value: Json) -> None:
    text = json.dumps({**GOOD, member: value})
    if places_at_fault({**GOOD, member: value}):
        return
    request = mail_request(text, SentRequest.model_validate_json(text), "m1", 0.0)
    for number in range(request.mail_count):
        assert mail_of(1, "m1", 0.0, request.text, number).to
