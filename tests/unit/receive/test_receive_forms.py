"""A source that people's browsers post a page's form to."""

import json

import pytest

from tests.posting import FORM, JSON, Posting, code, header

SOURCE = """
contact:
  auth: none
  form: {origins: [https://www.example.com, 'http://localhost:3000'], honeypot: website, thanks: https://www.example.com/thanks}
  schema: {required: [email]}
"""
PAGE = ("origin", "https://www.example.com")
BODY = b"email=ann%40example.com&website="


async def test_a_form_from_its_page_is_an_event_and_leads_to_the_thanks_page() -> None:
    posting = Posting(SOURCE)
    reply = await posting.send("/contact", BODY, FORM, PAGE)
    assert (reply.status, header(reply, "location"), reply.body) == (303, "https://www.example.com/thanks", b"")
    assert posting.events[0].data == {"email": "ann@example.com"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("origin", "https://WWW.example.com")], 303),
        ([("origin", "http://localhost:3000")], 303),
        ([("referer", "https://www.example.com/contact?x=1")], 303),
        ([("origin", "https://evil.example"), ("referer", "https://www.example.com/")], 403),
        ([("origin", "https://www.example.com.evil.example")], 403),
        ([("origin", "http://www.example.com")], 403),
        ([("origin", "https://www.example.com:444")], 403),
        ([("origin", "null")], 403),
        ([("origin", "https://www.example.com"), ("origin", "https://www.example.com")], 403),
        ([("referer", "https://www.example.com@evil.example/")], 403),
        ([("referer", "https://[")], 403),
        ([("referer", "about:blank")], 403),
        ([], 403),
    ],
)
async def test_a_form_on_another_page_is_rejected(headers: list[tuple[str, str]], status: int) -> None:
    posting = Posting(SOURCE)
    reply = await posting.send("/contact", BODY, FORM, *headers)
    assert (reply.status, len(posting.events)) == (status, int(status == 303))
    if status == 403:
        assert code(reply) == "origin_not_allowed"


async def test_a_form_without_an_origin_is_told_apart_from_one_of_another_page() -> None:
    posting = Posting(SOURCE)
    bare = await posting.send("/contact", BODY, FORM)
    assert b"`form.origins`; it has no Origin, which a program must send" in bare.body
    elsewhere = await posting.send("/contact", BODY, FORM, ("origin", "https://evil.example"))
    assert b"`form.origins`; its Origin names another" in elsewhere.body


async def test_a_filled_honeypot_is_answered_as_if_it_were_taken_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    posting = Posting(SOURCE)
    good = await posting.send("/contact", BODY, FORM, PAGE)
    trapped = await posting.send("/contact", BODY + b"spam", FORM, PAGE)
    assert (trapped.status, trapped.headers, trapped.body) == (good.status, good.headers, good.body)
    assert len(posting.events) == 1
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["message"], line["reason"], line["source"]) == ("answered", "honeypot", "contact")
    assert "event_id" not in line


async def test_a_script_has_the_answer_itself_and_may_read_it() -> None:
    posting = Posting(SOURCE)
    reply = await posting.send("/contact", b'{"email": "a"}', JSON, PAGE, ("sec-fetch-mode", "cors"))
    assert (reply.status, json.loads(reply.body)) == (200, {"id": posting.events[0].id})
    assert header(reply, "access-control-allow-origin") == "https://www.example.com"
    trapped = await posting.send("/contact", b'{"email": "a", "website": "x"}', JSON, PAGE, ("sec-fetch-mode", "cors"))
    assert trapped.headers == reply.headers
    assert json.loads(trapped.body).keys() == {"id"}


async def test_a_browser_that_asks_before_it_posts_is_answered() -> None:
    posting = Posting(SOURCE)
    asked = ("access-control-request-method", "POST")
    reply = await posting.send("/contact", b"", PAGE, asked, method="OPTIONS")
    assert (reply.status, header(reply, "access-control-allow-methods")) == (204, "POST")
    assert header(reply, "access-control-allow-headers") == "content-type"
    assert (
        code(await posting.send("/contact", b"", ("origin", "https://evil.example"), method="OPTIONS"))
        == "origin_not_allowed"
    )
    assert posting.events == []


async def test_a_script_may_read_why_its_form_was_rejected() -> None:
    reply = await Posting(SOURCE).send("/contact", b"a=1", FORM, PAGE, ("sec-fetch-mode", "cors"))
    assert (reply.status, code(reply)) == (422, "schema_mismatch")
    assert header(reply, "access-control-allow-origin") == "https://www.example.com"


async def test_without_a_thanks_page_the_answer_is_the_usual_one() -> None:
    posting = Posting("contact: {auth: none, form: {origins: https://a.example}}")
    reply = await posting.send("/contact", BODY, FORM, ("origin", "https://a.example"))
    assert (reply.status, json.loads(reply.body)) == (200, {"id": posting.events[0].id})
