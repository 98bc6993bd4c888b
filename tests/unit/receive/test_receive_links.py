"""Events from links: signed, in time, and no more often than they should."""

import base64
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, strategies as st

from shared.errors import Rejected
from shared.jsontext import Json
from shared.signatures.links import EXPIRES, ONCE, SIGNATURE, link_signature, verify_link
from tests.fakes.clock import FakeClock
from tests.in_process.posting import Posting, code, header

SECRETS = {"link-key": "a key for links, long enough", "two": "newest key of the two\na key for links, long enough"}
LINK = "go: {methods: [GET], auth: {scheme: link, secret: link-key}}"
OPEN = "go: {methods: [GET], auth: none}"
NOW = int(FakeClock().now())


def link(*pairs: tuple[str, str], source: str = "go", secret: str = SECRETS["link-key"]) -> str:
    return f"/{source}?{urlencode([*pairs, (SIGNATURE, link_signature(source, list(pairs), secret))])}"


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("a=1&b=two%20words&a=3", {"a": ["1", "3"], "b": "two words"}),
        ("body=" + quote('{"a": [1]}'), {"a": [1]}),
        ("body=" + quote("<a><b>1</b></a>"), {"a": {"b": "1"}}),
        ("body=" + quote("a: 1\nb: [x]"), {"a": 1, "b": ["x"]}),
        ("x=1&body=" + base64.urlsafe_b64encode(b'{"a": "\xc3\xa9?>"}').decode(), {"a": "é?>"}),
        ("body=" + base64.urlsafe_b64encode(b'{"a": 1}').decode().rstrip("="), {"a": 1}),
        ("body=" + base64.b64encode(b'{"a": ">>>~~~"}').decode(), {"a": ">>>~~~"}),
        ("body=signup", "signup"),
        ("body=two+words", "two words"),
        ("body=", ""),
        ("body", {"body": ""}),
        ("a=1;b=2&&c", {"a": "1;b=2", "c": ""}),
    ],
)
async def test_the_query_holds_the_event(query: str, data: Json) -> None:
    posting = Posting(OPEN)
    assert (await posting.get(f"/go?{query}")).status == 200
    assert posting.events[0].data == data


async def test_a_signed_link_is_accepted_however_its_parameters_are_encoded_and_ordered() -> None:
    posting = Posting(LINK, SECRETS)
    pairs = [("b", "two words"), ("a", "é/+"), ("a", "")]
    signature = link_signature("go", pairs, SECRETS["link-key"])
    for query in (
        f"{urlencode(pairs)}&{SIGNATURE}={signature}",
        f"{SIGNATURE}={signature}&a=%C3%A9%2F%2b&b=two%20words&a=",
        f"a=\xc3\xa9/%2B&{SIGNATURE}={signature}&a=&b=%74wo+words",
    ):
        assert (await posting.get(f"/go?{query}")).status == 200
    assert posting.events[0].data == {"b": "two words", "a": ["é/+", ""]}


@pytest.mark.parametrize(
    "wrong",
    [
        "/go?a=1",
        "/go",
        link(("a", "1")).replace("a=1", "a=2"),
        link(("a", "1")) + "&b=2",
        link(("a", "1"), secret="another secret of some length"),
        link(("a", "1"), source="other").replace("/other", "/go"),
        link(("a", "1"), (EXPIRES, str(NOW + 9))).replace(str(NOW + 9), str(NOW + 99)),
        link(("a", "1"), (ONCE, "n1")).replace("n1", "n2"),
        link(("a", "1")) + f"&{SIGNATURE}=x",
        f"/go?a=1&{SIGNATURE}=",
        f"/go?a=1&{SIGNATURE}=%C3%A9",
        f"/go?a=1&{SIGNATURE}=\xff",
        f"/go?a=1&{SIGNATURE}=%FF%00",
    ],
)
async def test_a_link_that_was_changed_or_made_by_nobody_is_rejected(wrong: str) -> None:
    posting = Posting(LINK, SECRETS)
    assert (await posting.get(wrong)).status == 401
    assert posting.events == []


async def test_a_link_proves_nothing_that_is_posted_with_it() -> None:
    both = "go: {methods: [GET, POST], auth: [{scheme: link, secret: link-key}, {scheme: bearer, secret: two}]}"
    posting = Posting(both, SECRETS)
    path, _, query = link(("a", "1")).partition("?")
    assert (await posting.send(path, b'{"forged": true}', query=query)).status == 401
    bearer = ("authorization", "Bearer newest key of the two")
    assert (await posting.send(path, b'{"posted": true}', bearer, query=query)).status == 200
    assert [event.data for event in posting.events] == [{"posted": True}]


async def test_a_link_is_good_to_the_second_of_its_time_and_no_longer() -> None:
    posting = Posting(LINK, SECRETS)
    url = link(("a", "1"), (EXPIRES, str(NOW)))
    reply = await posting.get(url)
    assert (reply.status, header(reply, "cache-control")) == (200, "no-store")
    posting.clock.advance(1)
    assert (await posting.get(url)).status == 401
    assert len(posting.events) == 1


async def test_a_link_for_once_is_the_same_event_however_often_it_is_opened_and_no_part_of_its_data() -> None:
    posting = Posting(LINK, SECRETS)
    replies = [await posting.get(link(("a", "1"), (ONCE, nonce))) for nonce in ("n1", "n1", "n2")]
    assert [reply.status for reply in replies] == [200, 200, 200]
    first, second, third = posting.events
    assert first.id == second.id != third.id
    assert (first.data, first.payloadhash) == ({"a": "1"}, second.payloadhash)


@pytest.mark.parametrize("settings", [", id: header.X-Id", ", id: header.X-Id, batch: data.*"])
async def test_a_link_for_once_is_the_same_event_whatever_other_id_or_batch_the_source_has(settings: str) -> None:
    posting = Posting(LINK.replace("}}", f"}}{settings}}}"), SECRETS)
    for number in range(2):
        assert (await posting.get(link(("body", "[1]"), (ONCE, "n1")), ("x-id", str(number)))).status == 200
    first, second = posting.events
    assert first.id == second.id


async def test_a_link_that_a_program_encoded_otherwise_is_the_same_event_again() -> None:
    posting = Posting(LINK, SECRETS)
    url = link(("a", "b c~"), (ONCE, "n1"))
    for spelled in (url, url.replace("b+c", "b%20c").replace("~", "%7E")):
        assert (await posting.get(spelled)).status == 200
    first, second = posting.events
    assert (first.id, first.payloadhash) == (second.id, second.payloadhash)


async def test_looking_where_a_link_leads_makes_no_event() -> None:
    posting = Posting(LINK, SECRETS)
    head = await posting.get(link(("a", "1")), method="HEAD")
    assert (head.status, head.body, header(head, "cache-control")) == (200, b"", "no-store")
    purposes = (
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prerender"),
        ("purpose", "prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    )
    for name, value in purposes:
        reply = await posting.get(link(("a", "1")), (name, value))
        assert (reply.status, code(reply)) == (403, "prefetch_not_allowed")
    assert posting.events == []


async def test_a_person_whose_link_is_rejected_is_asked_for_no_password() -> None:
    sources = f"{LINK}\nform: {{methods: [GET], auth: {{scheme: basic, secret: link-key}}}}"
    posting = Posting(sources, SECRETS)
    replies = [await posting.send(path, b"", method="GET") for path in ("/go", "/form")]
    assert [header(reply, "www-authenticate") for reply in replies] == [
        'Bearer realm="hookchain"',
        'Basic realm="hookchain"',
    ]


async def test_the_password_in_a_query_is_no_part_of_the_event() -> None:
    posting = Posting("go: {methods: [GET], auth: {scheme: query, parameter: key, secret: link-key}}", SECRETS)
    assert (await posting.get(f"/go?a=1&key={quote(SECRETS['link-key'])}")).status == 200
    assert posting.events[0].data == {"a": "1"}


async def test_a_query_has_the_limits_of_a_body() -> None:
    posting = Posting("go: {methods: [GET], auth: none, max_body_bytes: 100}")
    assert (await posting.get("/go?a=" + "x" * 98)).status == 200
    assert code(await posting.get("/go?a=" + "x" * 99)) == "query_too_large"
    assert code(await Posting(OPEN).get("/go?a=" + "x" * 70_000)) == "query_too_large"
    many = "&".join(f"a{number}=1" for number in range(1_001))
    assert code(await Posting(OPEN).get(f"/go?{many}")) == "too_many_fields"
    assert (await Posting(LINK, SECRETS).get(f"/go?{many}")).status == 422


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_query_is_verified_or_rejected(query: str, source: str) -> None:
    for text in (query, f"{SIGNATURE}={query}", f"{EXPIRES}={query}&{SIGNATURE}=x"):
        try:
            verify_link(source, text.encode("utf-8", "replace").decode("latin-1"), ["secret"], 0.0)
        except Rejected as error:
            assert error.code in {"signature_mismatch", "timestamp_out_of_range", "too_many_fields"}
        else:
            raise AssertionError("nobody signed this")
