"""The body of an example: its source accepts it as it is sent, or a sentence says why there is none."""

import asyncio
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.config.local_ports import ports_from
from deploy.requests import events
from deploy.requests.accepted_bodies import with_accepted_body
from deploy.requests.command_lines import (
    accepted_example,
    example_line,
    first_event_line,
    first_event_line_without_secret,
)
from deploy.requests.snippet import find_sender, make_snippet
from deploy.requests.sources import auth_entries, compiled_sources
from deploy.terminal.command_line import CommandError
from shared.event import Event
from shared.jsontext import Json, JsonObject, to_json
from tests.fakes.configurations import compile_text
from tests.in_process.posting import Posting

PORTS = ports_from(8080)
ACCEPTING: dict[str, JsonObject] = {
    "another type of JSON": {"content_types": ["application/vnd.acme+json"]},
    "any type in +json": {"content_types": ["*+json"]},
    "any text": {"content_types": ["text/*"]},
    "plain text": {"content_types": ["text/plain"]},
    "XML alone": {"content_types": ["application/xml"]},
    "another type of XML": {"content_types": ["application/soap+xml"]},
    "XML": {"body": "xml"},
    "XML without its root": {"body": "xml", "unwrap": True},
    "YAML": {"content_types": ["application/yaml"]},
    "a form": {"content_types": ["application/x-www-form-urlencoded"]},
    "a list": {"schema": {"type": "array", "minItems": 2, "items": {"type": "integer"}}},
    "a text": {"schema": {"type": "string"}},
    "an object of its own": {
        "schema": {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"const": 3}},
            "additionalProperties": False,
        }
    },
}
"""Sources for which an example can be made."""
REJECTING: dict[str, tuple[JsonObject, str]] = {
    "a pattern": (
        {
            "schema": {
                "type": "object",
                "required": ["a"],
                "properties": {"a": {"type": "string", "pattern": "^[A-Z]{3}$"}},
            }
        },
        "Send a body of your own: hookchain smoke --source shop --file FILE",
    ),
    "a property list": (
        {"body": "plist"},
        "its `body` is plist. Examples are POST requests in json, xml, form or yaml; send",
    ),
    "CSV alone": ({"content_types": ["text/csv"], "schema": {"type": "array"}}, "send any other request with curl"),
    "another method": ({"methods": ["PUT"]}, "this source takes PUT. Examples are POST requests"),
    "a tiny body": ({"max_body_bytes": 20}, "send any other request with curl"),
}
"""Sources for which none can be made, and what to do."""


def slices_of(source: JsonObject, folder: Path, **auth: JsonObject) -> dict[str, JsonObject]:
    settings: JsonObject = {"auth": "none", **source, **auth}
    if "schema" in settings:
        (folder / "schema.json").write_text(to_json(settings["schema"]))
        settings["schema"] = "schema.json"
    route = "routes: [{name: r, from: shop, types: [order.created], to: people}]"
    return compile_text(f"sources:\n  shop: {to_json(settings)}\n{route}\n{PEOPLE}", folder)


SECRET = "a-key-of-the-shop-0123456789"
PEOPLE = "destinations: {people: {email: {to: ann@example.com}}}"


class Shop:
    """A source without authentication unless it sets another, and the event that it makes of a line of curl."""

    def __init__(self, source: JsonObject, folder: Path) -> None:
        self.slices = slices_of(source, folder)
        settings = {"auth": "none", **source, **({"schema": "schema.json"} if "schema" in source else {})}
        self.posting = Posting(f"shop: {to_json(settings)}", {"shop-key": SECRET}, folder=folder)

    def event(self, line: str) -> Event:
        """Return the event that a shell sends, whose variable has the secret."""
        words = shlex.split(line.replace("$SHOP_KEY", SECRET))
        headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
        pairs = [(name.lower(), value) for name, _, value in (each.partition(": ") for each in headers)]
        assert len(dict(pairs)) == len(pairs)  # no header is sent twice
        return self.accepted(words[words.index("-d") + 1].encode(), *pairs, url=words[-1])

    def accepted(self, body: bytes, *headers: tuple[str, str], url: str = "/shop") -> Event:
        parts = urlsplit(url)
        reply = asyncio.run(self.posting.send(parts.path, body, *headers, query=parts.query))
        assert reply.status == 200, reply.body
        return self.posting.events[-1]


@pytest.mark.parametrize("source", ACCEPTING.values(), ids=ACCEPTING)
def test_the_printed_lines_and_smoke_send_a_body_that_the_source_accepts(source: JsonObject, tmp_path: Path) -> None:
    shop = Shop(source, tmp_path)
    shop.event(first_event_line(shop.slices, PORTS, {}) or "")
    example = accepted_example(shop.slices, "shop")
    shop.event(example_line("http://127.0.0.1/shop", {"scheme": "none"}, example, None))
    settings = compiled_sources(shop.slices["receive"])["shop"]
    data = events.fitting_data(shop.slices, "shop", "order.created")
    test_event = events.make_test_event(settings, "order.created", "smoke-1", data)
    request = with_accepted_body("shop", settings, test_event).to_request("smoke-1")
    shop.accepted(request.body, *request.headers)


@pytest.mark.parametrize(
    "auth",
    [
        "none",
        {"scheme": "header", "header": "X-Key", "secret": "shop-key"},
        {"scheme": "path", "secret": "shop-key"},
        {"scheme": "query", "parameter": "key", "secret": "shop-key"},
    ],
    ids=["none", "header", "path", "query"],
)
def test_the_printed_lines_have_a_type_and_an_id_in_the_url(auth: Json, tmp_path: Path) -> None:
    shop = Shop({"auth": auth, "type": "query.kind", "id": "query.n + data.n"}, tmp_path)
    first = shop.event(first_event_line(shop.slices, PORTS, {"SHOP_KEY": SECRET}) or "")
    assert first.type == "order.created"
    example = accepted_example(shop.slices, "shop")
    [entry] = auth_entries(compiled_sources(shop.slices["receive"])["shop"])
    event = shop.event(example_line("http://127.0.0.1/shop", entry, example, None))
    assert (event.type, event.deliveryid) == ("order.created", "example-1.example-1")
    sent = shlex.split(first_event_line_without_secret(shop.slices, PORTS) or "")
    assert any(word.endswith("/shop?kind=order.created") for word in sent), sent


@pytest.mark.parametrize("location", ["data.kind", "data.order.kind", "data.event.kind", "header.X-Kind"])
@pytest.mark.parametrize("is_unwrapped", [True, False])
def test_the_type_is_read_from_xml_too(location: str, is_unwrapped: bool, tmp_path: Path) -> None:
    shop = Shop({"body": "xml", "type": location, "unwrap": is_unwrapped}, tmp_path)
    event = shop.event(first_event_line(shop.slices, PORTS, {}) or "")
    is_root_only = location == "data.kind" and not is_unwrapped  # which no XML document can have beside other fields
    assert event.type == ("received" if is_root_only else "order.created")


@pytest.mark.parametrize(("source", "advice"), REJECTING.values(), ids=REJECTING)
def test_a_source_that_accepts_no_example_says_so_in_a_sentence(
    source: JsonObject, advice: str, tmp_path: Path
) -> None:
    slices = slices_of(source, tmp_path)
    lines: list[Callable[[], object]] = [
        lambda: accepted_example(slices, "shop"),
        *([] if "methods" in source else [lambda: first_event_line(slices, PORTS, {})]),
    ]
    for line in lines:
        with pytest.raises(CommandError, match="no example can be made for the source 'shop': ") as error:
            line()
        assert advice in str(error.value)


def test_an_example_that_no_format_can_hold_is_refused_in_a_sentence(tmp_path: Path) -> None:
    settings = compiled_sources(slices_of({}, tmp_path)["receive"])["shop"]
    with pytest.raises(CommandError, match="no example can be made for the source 'shop': its schema has a value"):
        with_accepted_body("shop", settings, events.MadeEvent({"a": "\ud800"}))


def test_a_source_with_an_example_goes_before_one_without(tmp_path: Path) -> None:
    text = (
        f"sources: {{a: {{auth: none, body: plist}}, b: {{auth: none}}}}\n{PEOPLE}\nroutes: [{{name: r, to: people}}]"
    )
    line = first_event_line(compile_text(text, tmp_path), PORTS, {})
    assert (line or "").endswith("/b")


def test_send_is_told_a_format_that_it_cannot_recognize(tmp_path: Path) -> None:
    hmac: JsonObject = {"scheme": "hmac", "header": "X-S", "secret": "shop-key"}
    slices = slices_of({"content_types": ["application/x-www-form-urlencoded"]}, tmp_path, auth=hmac)
    assert " --format form --data 'event=order.created&" in (first_event_line(slices, PORTS, {}) or "")


def test_a_file_gets_a_content_type_that_its_source_accepts(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text("{}")
    settings: JsonObject = {"content_types": ["application/vnd.acme+json"]}
    file = events.read_event_file(tmp_path / "sample.json", settings, "smoke-1", None)
    assert file.to_request("smoke-1").header("content-type") == "application/vnd.acme+json"


def test_a_snippet_states_the_sources_type_of_json(tmp_path: Path) -> None:
    settings = compiled_sources(slices_of({"content_types": ["application/vnd.acme+json"]}, tmp_path)["receive"])[
        "shop"
    ]
    sender = find_sender("shop", settings, "http://127.0.0.1/shop", {})
    for language in ("python", "typescript", "sql-worker"):
        program = make_snippet(language, sender)
        assert '"Content-Type": "application/vnd.acme+json"' in program
        assert "application/json" not in program or language == "sql-worker"  # whose worker calls its own database
    script = make_snippet("curl", sender)
    assert 'header = "Content-Type: application/vnd.acme+json"' in script
    assert "application/json" not in script


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"content_types": ["application/xml"]}, "a snippet sends JSON, which the source 'shop' rejects: this source"),
        ({"body": "xml"}, "a snippet sends JSON, which the source 'shop' rejects: its `body` is xml"),
        (
            {"schema": {"type": "array"}},
            "a snippet sends an object, which the schema of the source 'shop' does not allow",
        ),
    ],
)
def test_no_snippet_is_made_for_a_source_that_rejects_json_objects(
    source: JsonObject, reason: str, tmp_path: Path
) -> None:
    settings = compiled_sources(slices_of(source, tmp_path)["receive"])["shop"]
    with pytest.raises(ValueError, match=reason):
        find_sender("shop", settings, "http://127.0.0.1/shop", {})
