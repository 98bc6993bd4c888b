"""The requests that the emulated SendGrid rejects, with SendGrid's messages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.sendgrid.errors import errors_document
from deploy.dev.sendgrid.mailbox import mail_of, mail_request
from deploy.dev.sendgrid.validation import complaints_about
from shared.jsontext import Json, JsonObject

GOOD: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com", "name": None},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}, {"type": "text/html", "value": "<b>hello</b>"}],
}


def fields_complained_about(**changes: Json) -> list[str | None]:
    return [complaint.field for complaint in complaints_about({**GOOD, **changes})]


def test_a_good_request_gives_no_complaint() -> None:
    assert complaints_about(GOOD) == []


def test_a_template_needs_neither_subject_nor_content() -> None:
    assert (
        complaints_about({"template_id": "d-1", "personalizations": GOOD["personalizations"], "from": GOOD["from"]})
        == []
    )


def test_every_fault_is_reported_at_once_in_sendgrids_form() -> None:
    document = errors_document(complaints_about({}))
    errors = document["errors"]
    assert isinstance(errors, list)
    assert [each["field"] for each in errors if isinstance(each, dict)] == [
        "personalizations",
        "from.email",
        "subject",
        "content",
    ]
    assert errors[0] == {
        "message": "The personalizations field is required and must have at least one personalization.",
        "field": "personalizations",
        "help": "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#-Personalizations-Errors",
    }


def test_an_address_given_twice_is_found_whatever_its_case() -> None:
    people: list[Json] = [{"to": [{"email": "a@example.com"}], "bcc": [{"email": "A@example.com"}]}]
    assert fields_complained_about(personalizations=people) == ["personalizations.0"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [{"name": "x"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": ["a@example.com"]}]}, "personalizations.0.to.0"),
        ({"personalizations": [{"to": {"email": "a@example.com"}}]}, "personalizations.0.to"),
        ({"personalizations": [None]}, "personalizations.0"),
        ({"personalizations": [{"to": [{"email": "a@example.com"}]}] * 1001}, "personalizations"),
        ({"from": {"email": "a@b\r\nBcc: c@example.com"}}, "from.email"),
        ({"from": "web@example.com"}, "from"),
        ({"reply_to": {"email": ""}}, "reply_to.email"),
        ({"reply_to_list": [{"email": "x"}]}, "reply_to_list.0.email"),
        ({"subject": ""}, "subject"),
        ({"subject": 7}, "subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]}, "content"),
        ({"attachments": [{"content": "not base64!", "filename": "x"}]}, "attachments.0.content"),
        ({"attachments": [{"content": "aGk="}]}, "attachments.0.filename"),
        ({"attachments": [{"content": "aGk=", "filename": "x", "disposition": "hidden"}]}, "attachments.0.disposition"),
        ({"attachments": ["aGk="]}, "attachments.0"),
        ({"headers": {"Bcc": "x@example.com"}}, "headers.Bcc"),
        ({"headers": {"X-A": 1}}, "headers"),
        ({"custom_args": []}, "custom_args"),
    ],
)
def test_a_fault_is_named_by_its_field(changes: JsonObject, field: str) -> None:
    assert fields_complained_about(**changes) == [field]


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
def test_any_json_is_rejected_with_reasons_or_parsed_as_mails(member: str, value: Json) -> None:
    document: JsonObject = {**GOOD, member: value}
    if complaints_about(document):
        return
    request = mail_request(json.dumps(document), document, "m1", 0.0)
    for number in range(request.mails):
        assert mail_of(1, "m1", 0.0, request.text, number).to


@given(JSON)
def test_any_other_json_is_rejected_with_reasons(document: Json) -> None:
    assert complaints_about(document)
