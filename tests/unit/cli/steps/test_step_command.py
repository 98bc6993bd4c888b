"""`hookchain step`: a document goes through one step or a named chain."""

import hashlib
import json
from pathlib import Path

import pytest

from functions.transform.program import step_classes
from shared.jsontext import Json
from tests.unit.cli.steps.hookchain import Hookchain


@pytest.mark.parametrize(
    ("step", "given", "document"),
    [
        ("convert: {to: yaml}", b'{"a": "no", "b": "012", "c": "1e3"}', b'a: "no"\nb: "012"\nc: "1e3"\n'),
        ("convert: {from: yaml, to: json}", b'a: "no"\nb: "012"\n', b'{"a":"no","b":"012"}'),
        ("encode: {to: hex}", "hellö".encode(), b"68656c6cc3b6"),
        ("decode: {from: hex}", b"68656c6cc3b6", "hellö".encode()),
        ("digest: {algorithm: md5, of: body}", b'{"a" : 1}', hashlib.md5(b'{"a" : 1}').hexdigest().encode()),
        ("[{drop: [data.password]}, {set: {data.n: 1}}]", b'{"password": "x"}', b'{"n":1}'),
        ("split: data", b"[1, 2]", b"[1,2]"),
        ("map: data.a", b"<a>1</a>", b"1"),
    ],
)
def test_a_step_on_standard_input_prints_the_document_that_comes_out(
    hookchain: Hookchain, step: str, given: bytes, document: bytes
) -> None:
    code, out, err = hookchain("step", step, stdin=given)

    assert (code, out, err) == (0, document, "")


def test_bytes_come_out_as_bytes(hookchain: Hookchain) -> None:
    code, packed, _ = hookchain("step", "encode: {to: gzip}", stdin=b"hello")
    assert (code, packed[:2]) == (0, b"\x1f\x8b")

    code, out, err = hookchain("step", "decode: {from: gzip}", "--as", "bytes", stdin=packed)
    assert (code, out, err) == (0, b"hello", "")


def test_what_comes_in_is_taken_for_what_it_is_said_to_be(hookchain: Hookchain) -> None:
    assert hookchain("step", "map: data.a", "--as", "yaml", stdin=b'a: "no"\n')[1] == b"no"
    assert hookchain("step", "map: data.a", "--as", "json", stdin=b"{")[0] == 1


def test_truncated_json_is_accepted_as_text_with_a_warning(hookchain: Hookchain) -> None:
    code, out, err = hookchain("step", "drop: [data.x]", stdin=b'{"a": 1,')
    assert (code, out) == (0, b'{"a": 1,')
    assert "read as text, because it is not JSON: Expecting property name enclosed in double quotes: line 1" in err
    assert hookchain("step", "drop: [data.x]", "--as", "text", stdin=b'{"a": 1,')[2] == ""


def test_a_whole_event_goes_in_and_out(hookchain: Hookchain) -> None:
    _, out, _ = hookchain("step", "set: {subject: x}", "--json", stdin=b"{}")
    event: Json = json.loads(out)
    assert isinstance(event, dict)
    assert event["subject"] == "x"

    code, out, _ = hookchain("step", "map: subject", "--event", stdin=out)
    assert (code, out) == (0, b"x")


def test_a_named_chain_of_the_configuration_is_run(hookchain: Hookchain, config: Path) -> None:
    given = b'{"a": 1, "password": "x"}'

    assert hookchain("step", "clean", "--config", str(config), stdin=given) == (0, b"a: 1\n", "")
    code, _, err = hookchain("step", "claen", "--config", str(config), stdin=given)
    assert (code, "there is no chain 'claen'; did you mean 'clean'?" in err) == (2, True)


@pytest.mark.parametrize(
    ("step", "code", "message"),
    [
        ("dorp: [data.a]", 2, "step 1 'dorp': there is no such step; did you mean 'drop'?"),
        (" ", 2, "the step is empty: write `name: settings`"),
        ("drop: [a]", 2, "must begin with 'data'"),
        ("{drop: [", 2, "not YAML"),
        ("switch: {to: vip}", 2, "there is no chain 'vip'"),
        ("set: {data.a.b: 1}", 1, "step 1 'set': data.a is text, not an object"),
        ("filter: data.none", 3, "step 1 'filter': data.none is not true"),
        ("digest: {algorithm: sha256, secret: no-such-secret}", 1, "`hookchain dev` generates it into .env"),
        ("lint: {schema: nowhere.json}", 2, "the file 'nowhere.json'"),
    ],
)
def test_what_goes_wrong_is_reported_with_a_code_and_without_the_value(
    hookchain: Hookchain, step: str, code: int, message: str
) -> None:
    ended, out, err = hookchain("step", step, stdin=b'{"a": "hunter2"}')

    assert (ended, out) == (code, b"")
    assert message in err
    assert "hunter2" not in err


def test_what_a_step_notes_is_reported_beside_the_document(hookchain: Hookchain) -> None:
    code, out, err = hookchain("step", "lint: {types: {data.n: text}, on_fault: warn}", stdin=b'{"n": 1}')

    assert (code, out, err) == (0, b'{"n":1}', "hookchain step: step 1 'lint': data.n is a number, not text\n")


@pytest.mark.parametrize("name", step_classes())
def test_a_step_is_reported_once_and_in_its_own_words(hookchain: Hookchain, name: str) -> None:
    code, out, _ = hookchain("steps", name)

    assert code == 0
    assert b"pydantic" not in out.lower()
    paragraphs = out.decode().split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs)
