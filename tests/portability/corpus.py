"""The requests that every platform must treat alike: what providers send, right and broken, and what anybody may send.

All of them go to the sources of one configuration. Their signatures are right at FakeClock's time.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFile, parse_config
from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.samples import sample_names
from deploy.requests.signed_samples import BREAKS, CannotSign
from deploy.requests.signing import Signer, sign_request
from functions.receive.source import Source, read_sources
from shared.http import Request
from shared.jsontext import Json
from shared.secrets import variable_name
from shared.signatures.links import SIGNATURE, link_signature
from tests.functional import test_vectors as genuine
from tests.in_process.receiving import URL
from tests.in_process.signed_samples import NOW, on_range
from tests.portability.odd_requests import HEADERS, PATHS, QUERIES, TYPED_BODIES
from tests.unit.receive import bad_inputs

PASSWORD: Final = "a password of some length 0123"
JSON_TYPE: Final = ("content-type", "application/json")
SOURCES: Final = """
basic: {auth: {scheme: basic, username: web, secret: password}}
bearer: {auth: {scheme: bearer, secret: password}}
header: {auth: {scheme: header, header: X-Password, secret: password}, type: header.X-Event + data.action}
query: {auth: {scheme: query, parameter: key, secret: password}}
path: {auth: {scheme: path, secret: password}}
token: {auth: {scheme: token, at: data.token, secret: password}}
jwt: {auth: {scheme: jwt, algorithms: [HS256], secret: password}}
either: {auth: [{scheme: bearer, secret: password}, {scheme: hmac, header: X-Signature, secret: password}]}
enroll: {methods: [GET], auth: {scheme: link, secret: password}}
opened: {methods: [GET, POST, PUT, PATCH], auth: none, dedupe: body}
contact: {auth: none, form: {origins: [https://www.example.com], honeypot: website, thanks: "https://www.example.com/"}}
strict: {auth: none, content_types: [application/json], schema: {type: object, required: [id]}, id: data.id,
         respond: {status: 202, body: {received: "{{ id }}", type: "{{ type }}"}}}
here: {auth: none, allow: [127.0.0.0/8]}
elsewhere: {auth: none, allow: [192.0.2.0/24]}
batch: {auth: none, batch: data.events.*, id: data.id}
text: {auth: none, body: text}
bytes: {auth: none, body: bytes}
kept: {auth: none, keep_raw: true}
large: {auth: none, max_body_bytes: 5000000}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the time at which it arrives."""

    name: str
    request: Request
    now: float = NOW


@dataclass(slots=True, repr=False)
class Corpus:
    """`secrets` are texts by name; `fetched` are the keys and certificates that schemes fetch, by URL."""

    cases: list[Case] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    fetched: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, request: Request) -> None:
        self.cases.append(Case(name, request))

    def post(self, name: str, path: str, body: bytes, *headers: tuple[str, str], query: str = "") -> None:
        self.add(name, Request("POST", path, query, headers, body))


def corpus(folder: Path) -> Corpus:
    """Return all that is made here. `folder` is for the keys of providers."""
    found = Corpus()
    text = "sources:\n" + "\n".join(f"  {line}" for line in (bad_inputs.SOURCES + SOURCES).strip().splitlines())
    found.sources.update(read_sources(compile_config(parse_config(text, "corpus.yaml", folder))["receive"]))
    found.secrets.update({**bad_inputs.SECRETS, "password": PASSWORD})
    _add_bodies(found)
    _add_heads(found)
    _add_schemes(found)
    _add_others(found)
    _add_bad_inputs(found)
    _add_samples(found, folder)
    return found


def _add_bodies(found: Corpus) -> None:
    for source in ("open", "text", "bytes", "kept"):
        for number, (content_type, body) in enumerate(TYPED_BODIES):
            headers = [("content-type", content_type)] if content_type else []
            found.post(f"body {number} to {source}", f"/{source}", body, *headers)
    for encoding in ("gzip", "x-gzip", "deflate"):
        for body in (gzip.compress(b'{"a": 1}', mtime=0), b"not compressed"):
            found.post(f"body in {encoding}", "/open", body, JSON_TYPE, ("content-encoding", encoding))
    for size in (1_048_575, 1_048_576, 1_048_577):
        found.post(f"body of {size} bytes", "/open", b'"' + b"a" * (size - 2) + b'"', JSON_TYPE)
    found.post("body that is stored beside the bus", "/large", json.dumps(["é" * 300_000]).encode(), JSON_TYPE)


def _add_heads(found: Corpus) -> None:
    for number, headers in enumerate(HEADERS):
        found.post(f"headers {number}", "/open", b"{}", JSON_TYPE, *headers)
    for path in PATHS:
        found.post(f"path {path[:20]}", path, b"{}", JSON_TYPE)
    for number, query in enumerate(QUERIES):
        found.post(f"query {number}", "/open", b"{}", JSON_TYPE, query=query)
        found.add(f"opened with query {number}", Request("GET", "/opened", query))
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST", "PROPFIND"):
        for path in ("/open", "/opened", "/enroll", "/contact", "/std", "/nobody"):
            found.add(f"{method} {path}", Request(method, path, "", (), b"{}" if method in {"PUT", "POST"} else b""))


def _add_schemes(found: Corpus) -> None:
    for name, source in found.sources.items():
        for auth in source.auth:
            if auth.secret != "password" or auth.scheme == "link":
                continue
            for key in (PASSWORD, f"{PASSWORD}!"):
                request = Request("POST", f"/{name}", "", (JSON_TYPE, ("x-event", "made")), b'{"action": "x", "n": 1}')
                signer = Signer(auth, key, lambda each: f"http://hooks.example.com{each.path}", NOW, "delivery-1")
                found.add(f"{auth.scheme} to {name} by {len(key)} characters", sign_request(request, signer))
        if source.auth and source.auth[0].scheme != "none":
            found.post(f"nothing to {name}", f"/{name}", b'{"n": 1}', JSON_TYPE)
    for pairs in ((("a", "1"),), (("serial", "C02"), ("event", "device.lost"))):
        signed = (*pairs, (SIGNATURE, link_signature("enroll", list(pairs), PASSWORD)))
        found.add(f"link of {len(pairs)}", Request("GET", "/enroll", urlencode(signed)))
        found.add(f"prefetch of {len(pairs)}", Request("GET", "/enroll", urlencode(signed), (("purpose", "prefetch"),)))
        found.add(f"changed link of {len(pairs)}", Request("GET", "/enroll", urlencode((*signed, ("b", "2")))))


def _add_others(found: Corpus) -> None:
    page, form = ("origin", "https://www.example.com"), ("content-type", "application/x-www-form-urlencoded")
    for name, body, headers in (
        ("form of a page", b"name=Ada", (form, page)),
        ("form of a script", b"name=Ada", (form, page, ("sec-fetch-mode", "cors"))),
        ("form of another page", b"name=Ada", (form, ("origin", "https://other.example"))),
        ("form with a filled honeypot", b"name=Ada&website=x", (form, page)),
        ("form of no page", b"name=Ada", (form,)),
    ):
        found.post(name, "/contact", body, *headers)
    preflight = (page, ("access-control-request-method", "POST"))
    found.add("preflight", Request("OPTIONS", "/contact", "", preflight))
    for body in (b'{"id": "1"}', b'{"id": 1}', b"{}", b"[]", b'{"id": "<a>", "type": "x.y"}'):
        found.post("schema and respond", "/strict", body, JSON_TYPE)
    found.post("another content type", "/strict", b"a=1", form)
    for source in ("here", "elsewhere"):
        found.post(f"address of {source}", f"/{source}", b"{}", JSON_TYPE)
    for body in (b'{"events": [{"id": 1}, {"id": 2}]}', b'{"events": []}', b'{"events": 1}', b"[1]"):
        found.post("batch", "/batch", body, JSON_TYPE)
    for _ in range(2):
        found.post("the same twice", "/opened", b'{"same": true}', JSON_TYPE)


def _add_bad_inputs(found: Corpus) -> None:
    for name, cases in bad_inputs.PARSED.items():
        for number, (body, content_type, _) in enumerate(cases):
            headers = [("content-type", content_type)] if content_type else []
            found.post(f"{name}-{number}", "/open", body, *headers)
    for name, signed in bad_inputs.SIGNED.items():
        for number, (lines, body, _) in enumerate(signed):
            if not any("\n" in value for _, value in lines):  # which is no HTTP
                found.post(f"{name}-{number}", "/std", body, *lines)
    for name, named in bad_inputs.CASES_OF_SNS.items():
        for number, (certificate, subscribe, _) in enumerate(named):
            message = {**bad_inputs.SNS, "SigningCertURL": certificate, "SubscribeURL": subscribe}
            found.post(f"{name}-{number}", "/sns", json.dumps(message).encode(), ("content-type", "text/plain"))
    for name, requests in bad_inputs.REQUESTS.items():
        for number, (method, path, lines, body, _) in enumerate(requests):
            found.add(f"{name}-{number}", Request(method, path, "", tuple(lines), body))


def _add_samples(found: Corpus, folder: Path) -> None:
    for provider, entry in load_catalogue().items():
        firing = on_range(provider, folder)
        source = firing.aim.source
        assert source.name not in found.sources
        found.sources[source.name] = source
        names = {auth.secret for auth in source.auth} | set(source.secret_names)
        environ = firing.keys.environ
        found.secrets.update({name: environ[variable_name(name)] for name in names if variable_name(name) in environ})
        handshakes = (one.name for one in entry.handshakes)
        for event in dict.fromkeys(chain(sample_names(provider), handshakes)):
            try:
                found.add(f"{provider} {event}", firing.shot(event))
            except CannotSign:
                continue
        for what in BREAKS:
            try:
                found.add(f"{provider} with a broken {what}", firing.shot(None, what))
            except (CannotSign, ValueError):  # there is none
                continue


def vectors(folder: Path) -> Corpus:
    """Return the genuine signed requests in `../shared/vectors`, each to a source of its own."""
    found, sources = Corpus(), dict[str, Json]()
    for file in genuine.FILES:
        for case in genuine.cases(folder, file):
            name = f"{file.replace('_', '-')}-{len(found.cases)}"
            secret = str(case.get("secret") or case.get("public_key") or "unused-by-this-case")
            url = urlsplit(str(case.get("url", URL)))
            source = {"public_url": url._replace(query="").geturl(), **genuine.source_of(case, secret)}
            sources[name] = json.loads(json.dumps(source).replace('"the-secret"', f'"{name}"'))
            found.secrets[name] = secret.partition(":")[2] if case["provider"] == "generic_basic" else secret
            found.fetched.update(genuine.fetched_of(case))
            headers = tuple((each.lower(), value) for each, value in genuine.headers_of(case))
            request = Request(str(case["method"]), f"/{name}", url.query, headers, genuine.body_of(case))
            found.cases.append(Case(str(case["id"]), request, genuine.now_of(case)))
    config = ConfigFile("vectors.yaml", folder, {"sources": sources})
    found.sources.update(read_sources(compile_config(config)["receive"]))
    return found


def on_the_wire(request: Request) -> Request:
    """Return the request with the headers that any client adds."""
    headers = [*request.headers]
    names = {name for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ("host", "hooks.example.com"))
    if "content-length" not in names and (request.body or request.method in {"POST", "PUT"}):
        headers.append(("content-length", str(len(request.body))))
    return replace(request, headers=tuple(headers), peer="127.0.0.1")


def schemes_of(sources: Mapping[str, Source]) -> Iterator[str]:
    return (auth.scheme for source in sources.values() for auth in source.auth)
