"""The requests that the emulated SendGrid rejects, as SendGrid does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.caught import mail_of, mail_request
from deploy.dev.sendgrid import faults_of
from shared.jsontext import Json, JsonObject

GOOD: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com", "name": None},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}, {"type": "text/html", "value": "<b>hello</b>"}],
}


ANN: JsonObject = {"email": "ann@example.com"}


def fields_at_fault(**changes: Json) -> list[str | None]:
    return [field for field, _ in faults_of({**GOOD, **changes})]


def test_a_good_request_has_no_fault_and_a_template_needs_neither_subject_nor_content() -> None:
    assert fields_at_fault() == []
    people: JsonObject = {name: GOOD[name] for name in ("personalizations", "from")}
    assert list(faults_of({"template_id": "d-1", **people})) == []


def test_every_fault_is_reported_at_once() -> None:
    assert [field for field, _ in faults_of({})] == ["personalizations", "from.email", "subject", "content"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [{"name": "x"}]}]}, "personalizations.0.to.0.email"),
        (
            {"personalizations": [{"to": [{"email": "a@example.com"}], "bcc": [{"email": "A@example.com"}]}]},
            "personalizations.0",
        ),
        ({"personalizations": [{"to": ["a@example.com"]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": {"email": "a@example.com"}}]}, "personalizations.0.to"),
        ({"personalizations": [None]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "a@example.com"}]}] * 1001}, "personalizations"),
        ({"from": {"email": "a@b\r\nBcc: c@example.com"}}, "from.email"),
        ({"from": "web@example.com"}, "from.email"),
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
        ({"headers": {"Bcc": "x@example.com"}}, "headers.Bcc"),
        ({"headers": {"X-A": 1}}, "headers"),
        ({"custom_args": []}, "custom_args"),
    ],
)
def test_a_fault_is_named_by_its_field(changes: JsonObject, field: str) -> None:
    assert fields_at_fault(**changes) == [field]


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
    if list(faults_of(document)):
        return
    request = mail_request(json.dumps(document), document, "m1", 0.0)
    for number in range(request.mails):
        assert mail_of(1, "m1", 0.0, request.text, number).to
