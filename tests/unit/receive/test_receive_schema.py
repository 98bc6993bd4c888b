"""A source's JSON Schema: what breaks it is told the place and the rule, in bounded time."""

import json
import time
from pathlib import Path

import pytest

from shared.jsontext import Json, to_json
from tests.posting import JSON, Posting, code

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
        ({"email": "canary@canary.canary.example"}, "data.email breaks the rule maxLength: 20"),
        ({"email": 77_777}, "data.email breaks the rule type: string"),
        ({"canary": 1}, "data lacks email (rule required)"),
        ({"email": "a", "canary": "canary"}, "data.* breaks the rule type: integer"),
        ({"email": "a", "tags": [{"canary": 1}, {"canary": 1.0}]}, "data.tags breaks the rule uniqueItems: true"),
        (["canary"], "data breaks the rule type: object"),
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


async def test_a_body_that_keeps_the_schema_is_accepted() -> None:
    posting = Posting(SCHEMA)
    assert (await posting.send("/a", b'{"email": "a@b.c", "tags": [1, true], "n": 1}', JSON)).status == 200


async def test_many_items_are_compared_by_hash_and_not_each_with_each() -> None:
    posting = Posting("a: {auth: none, schema: {uniqueItems: true}}")
    items = [{"n": number} for number in range(50_000)]
    assert (await posting.send("/a", json.dumps(items).encode(), JSON)).status == 200


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ("{items: {type: integer}, unevaluatedItems: false}", b"[" + b",".join([b"1"] * 60_000) + b"]"),
        ("{allOf: [{items: {type: integer}}, {items: {minimum: 1}}]}", b"[" + b",".join([b"1"] * 60_000) + b"]"),
        ("{$ref: '#/$defs/n', $defs: {n: {anyOf: [{type: string}, %s, %s]}}}", b"[" * 16 + b"1" + b"]" * 16),
    ],
    ids=["looked up", "many items", "branches"],
)
async def test_a_body_is_not_checked_for_longer_than_a_sender_may_ask(schema: str, body: bytes) -> None:
    branch = "{type: array, items: {$ref: '#/$defs/n'}}"
    posting = Posting("a: {auth: none, schema: " + schema.replace("%s", branch) + "}")
    reply = await posting.send("/a", body, JSON)
    assert (reply.status, code(reply), posting.events) == (422, "schema_mismatch", [])
    assert b"more checking" in reply.body


async def test_a_list_that_fits_none_of_several_schemas_is_told_so() -> None:
    posting = Posting("a: {auth: none, schema: {anyOf: [{items: {type: string}}, {items: {type: object}}]}}")
    reply = await posting.send("/a", b"[" + b",".join([b"1"] * 60_000) + b"]", JSON)
    assert (code(reply), b"anyOf" in reply.body) == ("schema_mismatch", True)


async def test_a_long_list_of_usual_things_is_checked_to_its_end() -> None:
    item = "{type: object, required: [a, b], properties: {a: {type: integer}, b: {type: string}}}"
    posting = Posting("a: {auth: none, schema: {type: array, items: " + item + "}}")
    body = b"[" + b",".join([b'{"a": 1, "b": "x"}'] * 10_000)
    assert (await posting.send("/a", body + b"]", JSON)).status == 200
    assert code(await posting.send("/a", body + b",{}]", JSON)) == "schema_mismatch"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\s+$", " " * 30_000 + "x"),
        (r"\S+@\S+\.\S+", "a" * 32_000),
        ("^(a+)+$", "a" * 5_000 + "!"),
        (r"^\w+([.-]?\w+)*@\w+$", "a" * 5_000),
    ],
    ids=["quadratic", "long search", "nested", "mail address"],
)
async def test_a_pattern_that_goes_back_over_what_it_read_stops_no_other_sender(pattern: str, text: str) -> None:
    schema = to_json({"properties": {"a": {"pattern": pattern}}})
    posting = Posting("a: {auth: none, schema: " + schema + "}")
    before = time.process_time()
    reply = await posting.send("/a", to_json({"a": text}).encode(), JSON)
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
