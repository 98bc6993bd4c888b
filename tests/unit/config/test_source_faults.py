"""Faults and warnings of what a source may say: each names the place and the rule."""

import json
from pathlib import Path

import pytest

from deploy.config.compiler import secrets_needed
from tests.fakes.configurations import compile_text, faults_of_text, warnings_of_text


def faults(source: str, folder: Path = Path(), before: str = "") -> str:
    return faults_of_text(f"{before}\nsources:\n  a: {{{source}}}\n", folder)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("auth: none, allow: [10.0.0.1/8]", "allow.0: must be an IP address or a block of addresses"),
        ("auth: none, public_url: 'https://u:p@h.example'", "public_url: must be a URL"),
        ("auth: none, content_types: json", "content_types: must be a content type"),
        (
            "auth: none, type: here",
            "type: must be a location: `data.here` is a field of the body, `header.here` a header",
        ),
        ("auth: none, batch: data.items", "such as data.events.*: write data.items.*"),
        ("auth: none, batch: items.*", "batch: must be a path in data with `*` in the place of the items"),
        ("auth: none, schema: {type: text}", "schema: must be a JSON Schema: type: 'text' is not valid"),
        (
            "auth: none, schema: {properties: {a: {$ref: 'other.json'}}}",
            "'other.json' must refer to a part of this schema",
        ),
        ("auth: none, respond: {status: 404}", "respond: status: must be from 200 to 299"),
        ("auth: none, respond: {headers: {Content-Length: '1'}}", "must not set content-length"),
        ('auth: none, respond: {headers: {X-A: "a\\r\\nb"}}', "without line breaks"),
        ("auth: none, respond: {headers: {X-A: '{{ id }}'}}", "only `body` is a template"),
        ("auth: none, respond: {body: 'x {{ headers.a }}'}", "respond.body: {{ headers.a }} is nothing of an event"),
        ("auth: none, form: {origins: 'https://a.example/'}", "form.origins: must be an origin"),
        ("auth: {scheme: link, secret: key}", "needs `methods: [GET]`"),
        ("providr: github, secret: k", "providr: there is no such key; did you mean 'provider'?"),
        ("provider: our_own_shop, secret: k", "`hookchain providers` lists them; any other sender needs `auth`"),
        ("provider: github, secret: GITHUB_SECRET", "got 'GITHUB_SECRET'; did you mean 'github-secret'?"),
        ("auth: bearer", "auth: must be a scheme, such as `{scheme: bearer, secret: NAME}`, or `none`; got 'bearer'"),
        (
            "auth: none, actor: header.x if data.y",
            "actor: must be a location: header.NAME, query.NAME or data.path.to.field",
        ),
        ("auth: none, actor: data.x if y", "`data.a if data.b` needs a value at both"),
        ("auth: none, type: item.kind", "type: must be a location: `data.item.kind` is a field of the body"),
        ("auth: none, unpack: header.x", "unpack: must be a path in the body"),
        ("auth: none, form: {origins: 'https://a.example', thanks: /thanks}", "form.thanks: must be the URL of a page"),
        ("auth: none, respond: {status: 303}", "add `headers: {location: URL}`"),
        ("auth: none, respond: {status: 204, body: x}", "must not have a body"),
        ("auth: none, methods: [PUT], form: {origins: 'https://a.example'}", "needs POST in `methods`"),
        ("auth: none, schema: {$schema: 'http://json-schema.org/draft-07/schema#'}", "`$schema` must be"),
    ],
)
def test_a_fault_says_where_and_what(source: str, message: str) -> None:
    assert message in faults(source)


def test_a_secret_in_place_of_its_name_is_not_repeated() -> None:
    told = faults("provider: stripe, secret: whsec_4eC39HqLyjWDarjt")
    assert "must be the name of a secret" in told
    assert "hookchain secrets set NAME" in told
    assert "4eC39HqLyjWDarjt" not in told


def test_a_file_that_is_no_json_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    assert "is not JSON" in faults("auth: none, schema: a.json", tmp_path)
    (tmp_path / "b.yaml").write_text("a: [", encoding="utf-8")
    assert "is not YAML" in faults("auth: none, schema: b.yaml", tmp_path)


def test_the_bundles_own_settings_are_checked_too() -> None:
    assert "public_url: must be a URL" in faults("auth: none", before="public_url: ftp://a")
    assert "trusted_proxies" in faults("auth: none", before="trusted_proxies: 11")


def test_a_reference_within_the_schema_is_none_to_elsewhere() -> None:
    schema = {"$id": "https://a.example/s", "$ref": "#/$defs/x", "$defs": {"x": {"$ref": "y"}, "y": {"$id": "y"}}}
    text = f"sources: {{a: {{auth: none, schema: {json.dumps(schema)}}}}}"
    assert compile_text(text)


def test_a_secret_in_a_schema_or_an_answer_is_no_secret_of_ours() -> None:
    text = "sources: {a: {auth: none, schema: {const: {secret: x}}, respond: {body: {secret: y}}}}"
    assert secrets_needed(compile_text(text)) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("auth: none, id: data.id, methods: [GET]", "it accepts GET from anyone"),
        ("auth: {scheme: bearer, secret: k}, id: data.id, allow: 10.0.0.1", "`trusted_proxies: 1`"),
        ("auth: {scheme: bearer, secret: k}", "may be delivered twice"),
        ("auth: {scheme: hmac, header: X-Sig, secret: k}", "two requests with the same signed bytes are one event"),
        ("auth: {scheme: bearer, secret: k}, id: data.id, dedupe: signed", "`dedupe: signed` has no effect"),
        ("provider: github, secret: k", None),
        ("provider: square, secret: k, public_url: 'https://h.example'", "it ends with /a or /a/, unless a proxy"),
        ("provider: square, secret: k, public_url: 'https://h.example/a/'", None),
    ],
)
def test_what_is_seldom_meant_is_a_warning(source: str, message: str | None) -> None:
    rest = "routes: [{name: r, to: d}]\ndestinations: {d: {email: {to: a@b.example}}}\n"
    text = f"sources: {{a: {{{source}}}}}\n{rest}"
    output = "\n".join(warning.rule for warning in warnings_of_text(text))
    assert (message in output) if message else not output
