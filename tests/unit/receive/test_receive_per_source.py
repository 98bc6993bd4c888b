"""What a source may say of whom it takes, what it takes and what it answers."""

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.requests.samples import Fresh, load_sample, sample_names
from deploy.requests.signing import Signer, sign_request
from functions.receive.admission import requested_url
from shared.event import event_id
from shared.http import Request
from shared.jsontext import Json
from tests.posting import JSON, Posting, code, header

ALLOW = "office: {auth: none, allow: [203.0.113.0/24, '2001:db8::/32']}"
PROXIED = "office: {auth: none, allow: 203.0.113.7, trusted_proxies: 2}"


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("203.0.113.9", 200),
        ("2001:db8::5", 200),
        ("::ffff:203.0.113.9", 200),
        ("198.51.100.1", 403),
        ("::1", 403),
        ("", 403),
        ("203.0.113.9 ", 403),
    ],
)
async def test_only_allowed_addresses_are_accepted(peer: str, status: int) -> None:
    posting = Posting(ALLOW)
    reply = await posting.send("/office", b"{}", JSON, ("x-forwarded-for", "203.0.113.1"), peer=peer)
    assert reply.status == status
    assert len(posting.events) == (status == 200)


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
        (",,,", 403),
        ("", 403),
    ],
)
async def test_behind_trusted_proxies_the_address_is_counted_from_the_right(forwarded: str, status: int) -> None:
    posting = Posting(PROXIED)
    reply = await posting.send("/office", b"{}", JSON, ("x-forwarded-for", forwarded), peer="10.0.0.9")
    assert reply.status == status


async def test_a_request_with_fewer_addresses_than_proxies_has_none_whoever_connects() -> None:
    posting = Posting(PROXIED)
    for forwarded, status in (("203.0.113.7", 403), ("203.0.113.7, 10.0.0.1", 200)):
        reply = await posting.send("/office", b"{}", JSON, ("x-forwarded-for", forwarded), peer="203.0.113.7")
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


SLASHED = "trello: {auth: none, public_url: 'https://hooks.example.com/in/trello/'}\nplain: {auth: none}"


async def test_a_public_url_is_used_exactly_as_written_and_a_slash_at_its_end_is_served() -> None:
    posting = Posting(SLASHED, before="public_url: https://hooks.example.com/")
    slashed, plain = posting.sources["trello"], posting.sources["plain"]
    for path in ("/trello", "/trello/"):
        assert requested_url(Request("POST", path, "a=1"), slashed) == "https://hooks.example.com/in/trello/?a=1"
        assert (await posting.send(path, b"{}", JSON)).status == 200
    assert requested_url(Request("POST", "/trello/token"), slashed) == "https://hooks.example.com/in/trello/token"
    assert requested_url(Request("POST", "/plain"), plain) == "https://hooks.example.com/plain"
    for path in ("/plain/", "/trello//", "/trello/x"):
        assert (await posting.send(path, b"{}", JSON)).status == 404


@pytest.mark.parametrize("provider", ["twilio", "square", "trello", "mandrill"])
async def test_what_a_provider_signed_for_a_url_with_a_slash_at_its_end_is_accepted(
    provider: str, tmp_path: Path
) -> None:
    url = f"https://hooks.example.com/{provider}/"
    secret = "a-secret-of-some-length-0123456789"
    posting = Posting(f"{provider}: {{provider: {provider}, secret: k, public_url: '{url}'}}", {"k": secret})
    source = posting.sources[provider]
    sample = load_sample(provider, sample_names(provider)[0], Fresh(posting.clock.now(), "abcdefabcdef", "9876543210"))
    request = replace(sample.request, path=f"/{provider}/")
    signer = Signer(source.auth[-1], secret, lambda _: url, posting.clock.now(), "msg_1")
    sent = sign_request(request, signer)
    assert (await posting.send(sent.path, sent.body, *sent.headers)).status == 200


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
        ("text", 415),
        ("", 415),
        (None, 415),
    ],
)
async def test_only_the_named_content_types_are_accepted(content_type: str | None, status: int) -> None:
    posting = Posting("a: {auth: none, content_types: [application/json, '*+json', text/*]}")
    headers = [] if content_type is None else [("content-type", content_type)]
    assert (await posting.send("/a", b"{}", *headers)).status == status


@pytest.mark.parametrize(
    ("respond", "status", "content_type", "body"),
    [
        ("{status: 202}", 202, None, b""),
        ("{status: 204}", 204, None, b""),
        ("{body: '[accepted]'}", 200, "text/plain; charset=utf-8", b"[accepted]"),
        (
            "{body: 'got {{ id }} of {{data.user.name}} {{ data.none }}'}",
            200,
            "text/plain; charset=utf-8",
            b'got ID of <b>"A" ',
        ),
        (
            "{body: {ok: true, id: '{{ id }}', n: '{{ data.n }}', t: 'n={{ data.n }}'}}",
            200,
            "application/json",
            b'{"ok":true,"id":"ID","n":[1,2],"t":"n=[1,2]"}',
        ),
        ("{content_type: text/html, body: '<p>{{ data.user.name }}'}", 200, "text/html", b"<p>&lt;b&gt;&quot;A&quot;"),
        (
            '{content_type: application/json, body: \'{"a": "{{ data.user.name }}"}\'}',
            200,
            "application/json",
            b'{"a": "<b>\\"A\\""}',
        ),
        ("{status: 303, headers: {Location: 'https://example.com/'}}", 303, None, b""),
    ],
)
async def test_a_source_answers_in_its_own_words(
    respond: str, status: int, content_type: str | None, body: bytes
) -> None:
    posting = Posting(f"a: {{auth: none, id: data.id, respond: {respond}}}")
    reply = await posting.send("/a", b'{"id": 1, "n": [1, 2], "user": {"name": "<b>\\"A\\""}}', JSON)
    assert (reply.status, header(reply, "content-type")) == (status, content_type)
    assert reply.body == body.replace(b"ID", event_id("a", "1").encode())


@pytest.mark.parametrize(
    ("body", "content_type", "sent", "data"),
    [
        ("text", "application/json", b'{"a": 1}', '{"a": 1}'),
        ("bytes", "text/plain", b"\xff\x00", {"type": "text/plain", "size": 2, "base64": "/wA="}),
        ("json", "text/plain", b" 1", 1),
        ("xml", "application/octet-stream", b"<a><b>1</b></a>", {"a": {"b": "1"}}),
        ("yaml", "", b"a: yes", {"a": "yes"}),
        ("form", "text/plain", b"a=1&a=2", {"a": ["1", "2"]}),
        ("csv", "", b"a,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("ndjson", "", b"1\n2\n", [1, 2]),
    ],
)
async def test_a_source_may_say_which_format_its_bodies_have(
    body: str, content_type: str, sent: bytes, data: Json
) -> None:
    posting = Posting(f"a: {{auth: none, body: {body}}}")
    assert (await posting.send("/a", sent, ("content-type", content_type))).status == 200
    assert posting.events[0].data == data


async def test_a_files_media_type_is_no_events_type() -> None:
    posting = Posting("a: {auth: none, id: data.id}")
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n\x01\r\n--x--\r\n'
    await posting.send("/a", b"\xff\x00", ("content-type", "image/png"))
    await posting.send("/a", part, ("content-type", "multipart/form-data; boundary=x"))
    assert [event.type for event in posting.events] == ["received", "received"]


@pytest.mark.parametrize(("body", "status"), [("json", 400), ("xml", 400), ("text", 200), ("bytes", 200)])
async def test_what_is_not_of_the_named_format_is_rejected(body: str, status: int) -> None:
    posting = Posting(f"a: {{auth: none, body: {body}}}")
    assert (await posting.send("/a", b"neither {", JSON)).status == status


async def test_facts_come_from_the_first_place_that_has_them_and_may_be_joined() -> None:
    posting = Posting("a: {auth: none, type: [header.X-Type + data.action, data.kind], actor: [data.by, data.user]}")
    bodies = [({"action": "opened"}, "issues"), ({"n": 1}, "push"), ({"kind": "k", "user": "Ann"}, "")]
    for data, kind in bodies:
        await posting.send("/a", json.dumps(data).encode(), JSON, ("x-type", kind))
    assert [event.type for event in posting.events] == ["issues.opened", "push", "k"]
    assert posting.events[2].actor == "Ann"


async def test_a_query_parameter_that_is_not_utf_8_counts_as_missing() -> None:
    posting = Posting("a: {auth: none, id: query.id, subject: query.about}")
    for value in ("%FF", "%FE", "%C3%A9"):
        assert (await posting.send("/a", b"{}", JSON, query=f"id={value}&about={value}")).status == 200
    assert [(event.deliveryid, event.subject) for event in posting.events] == [(None, None), (None, None), ("é", "é")]
    assert len({event.id for event in posting.events}) == 3


async def test_the_json_in_a_field_is_the_data_where_it_is_there() -> None:
    posting = Posting("a: {auth: none, unpack: data.payload}")
    for body in (b"payload=%7B%22a%22%3A1%7D&x=1", b"payload=words", b"other=1"):
        assert (await posting.send("/a", body, ("content-type", "application/x-www-form-urlencoded"))).status == 200
    assert [event.data for event in posting.events] == [{"a": 1}, {"payload": "words"}, {"other": "1"}]


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
        (b'{"order": {"total": 1500, "paid": true, "items": [{"n": 2}], "ref": "0042"}}', "application/json"),
        (
            b"<x><order><total>1500</total><paid>true</paid><items><n>2</n></items><ref>0042</ref></order></x>",
            "text/xml",
        ),
        (b"order:\n  total: 1500\n  paid: true\n  items: [{n: 2}]\n  ref: '0042'\n", "application/yaml"),
    ],
)
async def test_declared_kinds_make_every_format_mean_the_same(body: bytes, content_type: str) -> None:
    kinds = "{data.order.total: number, data.order.paid: boolean, data.order.items: list, data.order.items.n: integer}"
    posting = Posting(f"a: {{auth: none, unwrap: true, cast: {kinds}}}")

    assert (await posting.send("/a", body, ("content-type", content_type))).status == 200

    [event] = posting.events
    assert event.data == {"order": {"total": 1500, "paid": True, "items": [{"n": 2}], "ref": "0042"}}


async def test_a_value_that_does_not_read_as_its_kind_stays_as_it_came() -> None:
    posting = Posting("a: {auth: none, cast: {data.total: number, data.lost.x: number}}")

    assert (await posting.send("/a", b'{"total": "a lot", "lost": "y"}', JSON)).status == 200

    [event] = posting.events
    assert event.data == {"total": "a lot", "lost": "y"}


async def test_jamfs_json_and_its_xml_have_the_same_kinds_of_values() -> None:
    posting = Posting("jamf: {provider: jamf_pro, auth: none, cast: {data.event.size: integer}}")
    json_body = b'{"webhook": {"id": 1, "eventTimestamp": 1700000000000}, "event": {"jssID": 42, "size": 3}}'
    xml_body = (
        b"<JSSEvent><webhook><id>1</id><eventTimestamp>1700000000000</eventTimestamp></webhook>"
        b"<event><jssID>42</jssID><size>3</size></event></JSSEvent>"
    )
    for body in (json_body, xml_body):
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
