"""What a source may say of whom it takes, what it takes and what it answers; and links."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, strategies as st

from functions.receive.admission import requested_url
from functions.receive.source import Source, Sources
from shared.errors import Rejected
from shared.event import event_id
from shared.http import Request
from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.links import EXPIRES, ONCE, SIGNATURE, link_signature, verify_link
from tests.fakes.clock import FakeClock
from tests.in_process.posting import FORM, JSON, Posting, code, header


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("203.0.113.9", 200),
        ("2001:db8::5", 200),
        ("::ffff:203.0.113.9", 200),
        ("198.51.100.1", 403),
        ("::1", 403),
        ("", 403),
    ],
)
async def test_only_allowed_addresses_are_accepted(peer: str, status: int) -> None:
    posting = Posting("office: {auth: none, allow: [203.0.113.0/24, '2001:db8::/32']}")
    reply = await posting.send("/office", b"{}", JSON, ("x-forwarded-for", "203.0.113.1"), peer=peer)
    assert (reply.status, len(posting.events)) == (status, int(status == 200))


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("203.0.113.7, 10.0.0.1", 200),
        ("1.1.1.1, 203.0.113.7, 10.0.0.1", 200),
        ("203.0.113.7:443, 10.0.0.1", 200),
        ("203.0.113.7, 1.1.1.1, 10.0.0.1", 403),
        ("203.0.113.7, 10.0.0.1, 10.0.0.2", 403),
        ("203.0.113.7", 403),
        ("[203.0.113.7, x", 403),
    ],
)
async def test_behind_trusted_proxies_the_address_is_counted_from_the_right(forwarded: str, status: int) -> None:
    posting = Posting("office: {auth: none, allow: 203.0.113.7, trusted_proxies: 2}")
    for peer in ("10.0.0.9", "203.0.113.7"):
        reply = await posting.send("/office", b"{}", JSON, ("x-forwarded-for", forwarded), peer=peer)
        assert reply.status == status


async def test_the_bundles_proxies_and_url_hold_for_its_sources_and_a_source_may_say_others() -> None:
    before = "public_url: https://hooks.example.com/in/\ntrusted_proxies: 1"
    posting = Posting(
        "a: {auth: none}\nb: {auth: none, trusted_proxies: 0, public_url: 'https://b.example.com/x'}", before=before
    )
    a, b = posting.sources["a"], posting.sources["b"]
    assert (a.trusted_proxies, b.trusted_proxies) == (1, 0)
    assert requested_url(Request("POST", "/a", "q=1"), a) == "https://hooks.example.com/in/a?q=1"
    assert requested_url(Request("POST", "/b/token"), b) == "https://b.example.com/x/token"


async def test_a_public_url_is_used_exactly_as_written_and_a_slash_at_its_end_is_served() -> None:
    posting = Posting(
        "trello: {auth: none, public_url: 'https://hooks.example.com/in/trello/'}\nplain: {auth: none}",
        before="public_url: https://hooks.example.com/",
    )
    slashed, plain = posting.sources["trello"], posting.sources["plain"]
    for path in ("/trello", "/trello/"):
        assert requested_url(Request("POST", path, "a=1"), slashed) == "https://hooks.example.com/in/trello/?a=1"
        assert (await posting.send(path, b"{}", JSON)).status == 200
    assert requested_url(Request("POST", "/trello/token"), slashed) == "https://hooks.example.com/in/trello/token"
    assert requested_url(Request("POST", "/plain"), plain) == "https://hooks.example.com/plain"
    for path in ("/plain/", "/trello//", "/trello/x"):
        assert (await posting.send(path, b"{}", JSON)).status == 404


async def test_what_a_provider_signed_for_a_url_with_a_slash_at_its_end_is_accepted() -> None:
    url, secret = "https://hooks.example.com/trello/", "a-secret-of-some-length-0123456789"
    posting = Posting(f"trello: {{provider: trello, secret: k, public_url: '{url}'}}", {"k": secret})
    signature = base64.b64encode(hmac.digest(secret.encode(), b"{}" + url.encode(), "sha1")).decode()
    assert (await posting.send("/trello/", b"{}", JSON, ("x-trello-webhook", signature))).status == 200


def test_forwarded_headers_make_the_url_only_where_proxies_are_trusted() -> None:
    headers = (("host", "inner:8080"), ("x-forwarded-proto", "http, https"), ("x-forwarded-host", "a.example"))
    sources = Posting("none: {auth: none}\none: {auth: none, trusted_proxies: 1}").sources
    assert requested_url(Request("POST", "/none", "a=1", headers), sources["none"]) == "http://inner:8080/none?a=1"
    assert requested_url(Request("POST", "/one", "", headers), sources["one"]) == "https://a.example/one"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/vnd.x+json", 200),
        ("text/plain", 200),
        ("application/xml", 415),
        ("+json", 415),
        ("", 415),
    ],
)
async def test_only_the_named_content_types_are_accepted(content_type: str, status: int) -> None:
    posting = Posting("a: {auth: none, content_types: [application/json, '*+json', text/*]}")
    assert (await posting.send("/a", b"{}", ("content-type", content_type))).status == status
    assert (await posting.send("/a", b"{}")).status == 415


@pytest.mark.parametrize(
    ("body", "content_type", "answer"),
    [
        ("'got {{ id }} of {{data.name}} {{ data.none }}'", "text/plain; charset=utf-8", b'got ID of <b>"A" '),
        (
            "{id: '{{ id }}', n: '{{ data.n }}', t: 'n={{ data.n }}'}",
            "application/json",
            b'{"id":"ID","n":[1],"t":"n=[1]"}',
        ),
        ("'<p>{{ data.name }}', content_type: text/html", "text/html", b"<p>&lt;b&gt;&quot;A&quot;"),
        ('\'{"a": "{{ data.name }}"}\', content_type: application/json', "application/json", b'{"a": "<b>\\"A\\""}'),
    ],
)
async def test_a_source_answers_in_its_own_words(body: str, content_type: str, answer: bytes) -> None:
    posting = Posting(f"a: {{auth: none, id: data.id, respond: {{body: {body}}}}}")
    reply = await posting.send("/a", b'{"id": 1, "n": [1], "name": "<b>\\"A\\""}', JSON)
    assert (reply.status, header(reply, "content-type")) == (200, content_type)
    assert reply.body == answer.replace(b"ID", event_id("a", "1").encode())


async def test_a_source_answers_with_its_own_status_and_headers() -> None:
    posting = Posting("a: {auth: none, respond: {status: 303, headers: {Location: 'https://example.com/'}}}")
    reply = await posting.send("/a", b"{}", JSON)
    assert (reply.status, reply.body, header(reply, "location")) == (303, b"", "https://example.com/")


@pytest.mark.parametrize(
    ("body", "content_type", "sent", "data"),
    [
        ("text", "application/json", b'{"a": 1}', '{"a": 1}'),
        ("bytes", "text/plain", b"\xff\x00", {"type": "text/plain", "size": 2, "base64": "/wA="}),
        ("json", "text/plain", b" 1", 1),
        ("yaml", "", b"a: yes", {"a": "yes"}),
        ("csv", "", b"a,b\n1,2\n", [{"a": "1", "b": "2"}]),
    ],
)
async def test_a_source_may_name_its_bodies_format(body: str, content_type: str, sent: bytes, data: Json) -> None:
    posting = Posting(f"a: {{auth: none, body: {body}}}")
    assert (await posting.send("/a", sent, ("content-type", content_type))).status == 200
    assert posting.events[0].data == data


async def test_a_query_parameter_that_is_not_utf_8_counts_as_missing() -> None:
    posting = Posting("a: {auth: none, id: query.id, subject: query.about}")
    for value in ("%FF", "%FE", "%C3%A9"):
        assert (await posting.send("/a", b"{}", JSON, query=f"id={value}&about={value}")).status == 200
    assert [(event.deliveryid, event.subject) for event in posting.events] == [(None, None), (None, None), ("é", "é")]
    assert len({event.id for event in posting.events}) == 3


async def test_more_headers_than_a_server_takes_are_rejected_whoever_serves() -> None:
    posting = Posting("a: {auth: none}")
    many = [(f"x-{number}", "1") for number in range(255)]
    assert (await posting.send("/a", b"{}", JSON, *many)).status == 200
    for more in ([*many, ("x-more", "1")], [("x-long", "1" * 1_048_576)]):
        reply = await posting.send("/a", b"{}", JSON, *more)
        assert (reply.status, code(reply)) == (431, "headers_too_large")
    assert len(posting.events) == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"total": "1500", "items": [{"n": 2}], "ref": "0042", "lost": "y"}', "application/json"),
        (b"<x><total>1500</total><items><n>2</n></items><ref>0042</ref><lost>y</lost></x>", "text/xml"),
    ],
)
async def test_declared_kinds_make_every_format_mean_the_same(body: bytes, content_type: str) -> None:
    kinds = "{data.total: number, data.items: list, data.items.n: integer, data.lost: number, data.lost.x: number}"
    posting = Posting(f"a: {{auth: none, unwrap: true, cast: {kinds}}}")
    assert (await posting.send("/a", body, ("content-type", content_type))).status == 200
    assert posting.events[0].data == {"total": 1500, "items": [{"n": 2}], "ref": "0042", "lost": "y"}


async def test_jamfs_json_and_its_xml_have_the_same_kinds_of_values() -> None:
    posting = Posting("jamf: {provider: jamf_pro, auth: none, cast: {data.event.size: integer}}")
    for body in (
        b'{"webhook": {"id": 1}, "event": {"jssID": 42, "size": 3}}',
        b"<JSSEvent><webhook><id>1</id></webhook><event><jssID>42</jssID><size>3</size></event></JSSEvent>",
    ):
        assert (await posting.send("/jamf", body)).status == 200
    assert posting.events[0].data == posting.events[1].data


async def test_a_query_parameter_sent_twice_is_read_as_it_was_verified() -> None:
    """An appended parameter, which nobody signed, must not make another event of a captured request."""
    key = "a-key-of-sixteen-characters"
    auth = '{scheme: hmac, header: x-s, content: "{query.id}.{body}", secret: key-name}'
    posting = Posting(f"a: {{auth: {auth}, id: query.id}}", {"key-name": key})
    signature = hmac.digest(key.encode(), b"1.{}", hashlib.sha256).hex()
    for query in ("id=1", "id=1&id=2"):
        assert (await posting.send("/a", b"{}", JSON, ("x-s", signature), query=query)).status == 200

    first, second = posting.events
    assert (first.id, first.deliveryid) == (second.id, second.deliveryid) == (first.id, "1")


SOURCE = """
contact:
  auth: none
  form: {origins: [https://www.example.com, 'http://localhost:3000'], honeypot: website, thanks: https://www.example.com/thanks}
  schema: {required: [email]}
"""
PAGE = ("origin", "https://www.example.com")
BODY = b"email=ann%40example.com&website="


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("origin", "https://WWW.example.com")], 303),
        ([("origin", "http://localhost:3000")], 303),
        ([("referer", "https://www.example.com/contact?x=1")], 303),
        ([("origin", "https://evil.example"), ("referer", "https://www.example.com/")], 403),
        ([("origin", "https://www.example.com.evil.example")], 403),
        ([("origin", "http://www.example.com")], 403),
        ([("origin", "null")], 403),
        ([("origin", "https://www.example.com"), ("origin", "https://www.example.com")], 403),
        ([("referer", "https://www.example.com@evil.example/")], 403),
        ([("referer", "https://[")], 403),
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
    assert (good.status, header(good, "location"), good.body) == (303, "https://www.example.com/thanks", b"")
    assert posting.events[0].data == {"email": "ann@example.com"}
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
    rejected = await posting.send("/contact", b"", ("origin", "https://evil.example"), method="OPTIONS")
    assert code(rejected) == "origin_not_allowed"
    assert posting.events == []


async def test_a_script_may_read_why_its_form_was_rejected() -> None:
    reply = await Posting(SOURCE).send("/contact", b"a=1", FORM, PAGE, ("sec-fetch-mode", "cors"))
    assert (reply.status, code(reply)) == (422, "schema_mismatch")
    assert header(reply, "access-control-allow-origin") == "https://www.example.com"


SCHEMA = """
a:
  auth: none
  schema:
    type: object
    required: [email]
    properties: {email: {type: string, maxLength: 20}, tags: {uniqueItems: true}, n: {multipleOf: 0.1}}
    additionalProperties: {type: integer}
"""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"email": "canary@canary.canary.example"}, "data.email breaks maxLength: 20"),
        ({"canary": 1}, "data lacks 'email'"),
        (
            {"email": "a", "canary": "canary"},
            "is not of type integer: it is text, which the source's `cast` can convert",
        ),
        ({"email": "a", "tags": [{"canary": 1}, {"canary": 1.0}]}, "data.tags holds an item twice"),
        ({"email": "a", "n": 10**4000}, "cannot be checked"),
    ],
)
async def test_a_body_that_breaks_the_schema_is_told_place_and_rule_and_nothing_it_sent(
    data: Json, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    posting = Posting(SCHEMA)
    reply = await posting.send("/a", json.dumps(data).encode(), JSON)
    assert (reply.status, code(reply), posting.events) == (422, "schema_mismatch", [])
    assert message in json.loads(reply.body)["title"]
    assert b"canary" not in reply.body
    assert "canary" not in capsys.readouterr().out


async def test_a_schema_of_the_whole_event_is_told_that_it_describes_the_body() -> None:
    reply = await Posting("a: {auth: none, schema: {required: [data]}}").send("/a", b'{"email": "a"}', JSON)
    assert json.loads(reply.body)["title"].endswith(
        "data lacks 'data'; the schema describes the body, which is `data` in the event"
    )


async def test_many_items_are_compared_by_hash_and_not_each_with_each() -> None:
    posting = Posting("a: {auth: none, schema: {uniqueItems: true}}")
    items = [{"n": number} for number in range(10_000)]
    assert (await posting.send("/a", json.dumps(items).encode(), JSON)).status == 200


async def test_a_body_is_not_checked_for_longer_than_a_sender_may_ask() -> None:
    branch = "{type: array, items: {$ref: '#/$defs/n'}}"
    schema = f"{{$ref: '#/$defs/n', $defs: {{n: {{anyOf: [{branch}, {branch}]}}}}}}"
    posting = Posting(f"a: {{auth: none, schema: {schema}}}")
    reply = await posting.send("/a", b"[" * 24 + b"1" + b"]" * 24, JSON)
    assert (reply.status, code(reply), posting.events) == (422, "schema_mismatch", [])
    assert b"more checking" in reply.body


async def test_a_pattern_that_goes_back_over_what_it_read_stops_no_other_sender() -> None:
    posting = Posting("a: {auth: none, schema: {properties: {a: {pattern: '^(a+)+$'}}}}")
    before = time.process_time()
    reply = await posting.send("/a", to_json({"a": "a" * 5_000 + "!"}).encode(), JSON)
    assert (reply.status, code(reply), posting.events) == (422, "schema_mismatch", [])
    assert time.process_time() - before < 2


async def test_a_text_too_long_to_be_matched_against_a_pattern_is_rejected_in_these_words() -> None:
    posting = Posting("a: {auth: none, schema: {properties: {a: {pattern: '^x'}, b: {maxLength: 9}}}}")
    assert (await posting.send("/a", to_json({"a": "x" * 32_768}).encode(), JSON)).status == 200
    reply = await posting.send("/a", to_json({"a": "x" * 32_769}).encode(), JSON)
    assert (reply.status, code(reply)) == (422, "schema_mismatch")
    assert b"data.a is too long to be matched against a pattern" in reply.body


async def test_the_schema_may_stand_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}}', encoding="utf-8")
    (tmp_path / "a.yaml").write_text("type: string\n", encoding="utf-8")
    posting = Posting("a: {auth: none, schema: a.json}\nb: {auth: none, schema: a.yaml}", folder=tmp_path)
    assert [(await posting.send(path, b"1", JSON)).status for path in ("/a", "/b")] == [422, 422]


async def test_a_source_whose_settings_cannot_be_read_answers_503_and_no_other_does() -> None:
    posting = Posting("open: {auth: none}\nbroken: {auth: none}")
    settings: JsonObject = {"open": {}, "broken": {}}
    whole = posting.sources

    def read_source(name: str, _: Json) -> Source:
        if name == "broken":
            raise AssertionError(name)
        return whole[name]

    posting.receiver.sources = Sources(settings, read_source)
    assert (await posting.send("/open")).status == 200
    assert (await posting.send("/broken")).status == 503


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
