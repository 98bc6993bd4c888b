"""Whatever comes, receive answers it, and never with a fault of its own."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http import Reply
from tests.posting import Posting

SECRETS = {"key": "a secret of some length, for all", "public": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
SOURCES = """
open: {auth: none, id: [data.id, header.x-id], type: [header.x-type + data.action], time: data.at, dedupe: body}
kept: {auth: none, keep_raw: true, methods: [POST, PUT, GET], unwrap: true, unpack: data.payload}
batch: {auth: none, batch: 'data.items.*.item', id: [data.id, body.id]}
checked: {auth: none, schema: {properties: {n: {multipleOf: 0.1}, u: {uniqueItems: true}, s: {pattern: '^a+$'}}}}
yaml: {auth: none, body: yaml}
said: {auth: none, respond: {status: 201, body: {id: '{{ id }}', x: 'x {{ data.a.b }}'}}}
office: {auth: none, allow: 203.0.113.0/24, trusted_proxies: 1}
typed: {auth: none, content_types: [application/json, '*+xml']}
go: {methods: [GET], auth: {scheme: link, secret: key}}
deep: {methods: [GET], auth: none}
form: {auth: none, form: {origins: https://a.example, honeypot: h, thanks: https://a.example/}}
in: {auth: [{scheme: basic, secret: key}, {scheme: path, secret: key}, {scheme: query, secret: key}]}
signed: {auth: [{scheme: hmac, header: x-sig, secret: key}, {scheme: standard-webhooks, secret: public}]}
github: {provider: github, secret: key}
slack: {provider: slack, secret: key}
"""
NAMES = [line.partition(":")[0] for line in SOURCES.strip().splitlines()]
METHODS = ["POST", "PUT", "GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "", "\x00"]
HEADERS = [
    *("content-type", "content-length", "content-encoding", "authorization", "x-sig", "origin", "referer"),
    *("x-forwarded-for", "x-forwarded-host", "x-type", "x-id", "webhook-id", "webhook-signature", "traceparent"),
    *("webhook-timestamp", "hookchain-hops", "x-hub-signature-256", "x-slack-signature", "host", "sec-purpose"),
]
VALUES = [
    *("application/json", "application/xml", "text/yaml", "application/x-www-form-urlencoded", "multipart/form-data"),
    *("gzip", "https://a.example", "203.0.113.9", "Basic Og==", "Basic OmFi", "v1,AAAA", "sha256=00", "1", "text/csv"),
    "application/x-plist",
]
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.sampled_from(["a", "b", "id", "items", "item", "n", "u", "s", "payload", "h", "at"]), inner
            ),
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [b"<a><b>1</b></a>", b"a: &x [1]\nb: *x", b"a=1&a=2", b"a,b\n1,2", b"bplist00", b"[" * 300, b"\xff\xfe"]
    ),
)


@given(
    method=st.sampled_from(METHODS),
    path=st.one_of(st.sampled_from([f"/{name}" for name in NAMES]), st.sampled_from(NAMES).map("/{}/x".format), LATIN),
    query=LATIN,
    headers=st.lists(st.tuples(st.sampled_from(HEADERS), st.one_of(st.sampled_from(VALUES), LATIN)), max_size=5),
    body=BODIES,
    peer=st.sampled_from(["127.0.0.1", "203.0.113.9", "", "::1", "unix:"]),
)
def test_any_request_is_answered_and_never_with_a_fault(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, peer: str
) -> None:
    reply = asyncio.run(POSTING.send(path, body, *headers, method=method, query=query, peer=peer))
    assert reply.status < 500, reply
    assert _can_be_sent(reply)


def _can_be_sent(reply: Reply) -> bool:
    return all("\n" not in value and "\r" not in value and value.encode("latin-1") for _, value in reply.headers)


@pytest.mark.parametrize("name", NAMES)
async def test_each_of_these_sources_is_there(name: str) -> None:
    assert (await POSTING.send(f"/{name}", b"{}")).status != 404


POSTING = Posting(SOURCES, SECRETS)
