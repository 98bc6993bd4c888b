"""`hookchain step`, `steps`, `schema` and `test`."""

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from deploy.cli.main import main
from deploy.config.config_file import read_config_file
from functions.transform.families import step_classes
from shared.jsontext import Json

CONFIG: Final = """\
sources:
  form: {auth: {scheme: bearer, secret: form-key}, id: data.id}
chains:
  clean: [{drop: [data.password]}, {convert: {to: yaml}}]
routes:
  - name: mail
    from: form
    types: [signup.*]
    steps: [{drop: [data.password]}, {filter: {keep: "data.plan != 'free'", reason: a free plan}}]
    to: people
  - name: details
    types: [card.*]
    steps: [{fetch: {url: "https://api.example.com/{{ data.card }}", into: data.details}}]
    to: people
destinations:
  people: {email: {to: ann@example.com, subject: "New {{ data.name }}"}}
tests:
  - name: a paid sign-up is mailed
    input:
      source: form
      body: {event: signup.created, id: 1, name: Ada, plan: pro, password: hunter2}
    expect:
      - to: people
        route: mail
        data: {event: signup.created, id: 1, name: Ada, plan: pro}
        mail: {to: ann@example.com, subject: New Ada, holds: [Ada], lacks: hunter2}
  - name: a free one is not
    input: {source: form, headers: {content-type: application/x-www-form-urlencoded}, body: "event=signup.x&plan=free"}
    expect: []
  - name: a card is looked up
    input: {source: form, event: {type: card.moved, data: {card: a/b, name: x}}}
    answers: {"https://api.example.com/a%2Fb": {body: {title: Groceries}}}
    expect: [{to: people, data: {card: a/b, name: x, details: {title: Groceries}}}]
"""


class Stdin(io.TextIOWrapper):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def hookchain(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> "Hookchain":
    return Hookchain(monkeypatch, capfdbinary, tmp_path / ".env")


class Hookchain:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[bytes], env_file: Path) -> None:
        self._monkeypatch = monkeypatch
        self._captured = captured
        self._env_file = env_file

    def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        self._monkeypatch.setattr(sys, "stdin", Stdin(stdin))
        code = main([*arguments, "--env-file", str(self._env_file)])
        text = self._captured.readouterr()
        return code, text.out, text.err.decode()


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
    assert "read as text, because it is not JSON: line 1" in err
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
        ("digest: {algorithm: sha256, secret: no-such-secret}", 1, "secret 'no-such-secret' does not exist"),
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


def test_steps_lists_every_step_with_its_line(hookchain: Hookchain) -> None:
    _, out, _ = hookchain("steps")

    for name, model in step_classes().items():
        assert f"  {name.ljust(11)}  {model.__dict__['summary']}" in out.decode()


@pytest.mark.parametrize("name", step_classes())
def test_steps_tells_of_each_what_it_takes_and_an_example(hookchain: Hookchain, name: str) -> None:
    code, out, _ = hookchain("steps", name)

    assert code == 0
    assert f"- {name}:" in out.decode()
    assert "before  " in out.decode()
    documents: Json = json.loads(hookchain("steps", name, "--json")[1])
    assert isinstance(documents, dict)
    assert len(str(documents["steps"])) > 200


def test_a_step_that_there_is_not_is_answered_with_the_nearest(hookchain: Hookchain) -> None:
    code, _, err = hookchain("steps", "redcat")

    assert (code, "did you mean 'redact'?" in err) == (1, True)


def test_the_configurations_tests_pass_or_say_what_is_otherwise(hookchain: Hookchain, config: Path) -> None:
    code, out, err = hookchain("test", "--config", str(config))
    assert (code, err) == (0, "")
    assert out.decode().splitlines()[1:] == [
        "ok    a paid sign-up is mailed",
        "ok    a free one is not",
        "ok    a card is looked up",
        "3 tests, 0 failed",
    ]

    text = CONFIG.replace("plan: pro}\n        mail", "plan: gold}\n        mail").replace("New Ada", "Old Ada")
    config.write_text(text.replace("expect: []", "expect: [{to: people}]"))
    code, out, _ = hookchain("test", "--config", str(config))
    output = out.decode()
    assert code == 1
    assert '- data.plan: "gold"' in output
    assert '+ data.plan: "pro"' in output
    assert "mail's subject: expected 'Old Ada', found 'New Ada'" in output
    assert "nothing goes to 'people'" in output
    assert "filtered at step 2 'filter': a free plan" in output
    assert "3 tests, 2 failed" in output


def test_an_event_that_fails_fails_its_test_unless_the_test_expects_that(hookchain: Hookchain, config: Path) -> None:
    broken = CONFIG.replace("    expect: []", "    expect: []").replace(
        "steps: [{fetch", "steps: [{set: {data.name.first: x}}, {fetch"
    )
    text = broken.replace("expect: [{to: people, data: {card", "expect: []\n  # [{to: people, data: {card")
    config.write_text(text)
    code, out, _ = hookchain("test", "--config", str(config))
    assert code == 1
    assert "failed: path_conflict: route 'details': step 1 'set': " in out.decode()

    config.write_text(text.replace("    answers:", "    fails: path_conflict\n    answers:"))
    assert hookchain("test", "--config", str(config))[0] == 0

    config.write_text(text.replace("    answers:", "    fails: lint_failed\n    answers:"))
    output = hookchain("test", "--config", str(config))[1].decode()
    assert "nothing failed with the code 'lint_failed' that `fails` expects" in output


def test_a_mail_that_cannot_be_made_fails_its_test(hookchain: Hookchain, config: Path) -> None:
    config.write_text(CONFIG.replace('subject: "New {{ data.name }}"', 'subject: "{{ data.nobody.x }}"'))
    code, out, _ = hookchain("test", "--config", str(config))

    assert code == 1
    assert "a card is looked up\n        failed: undefined_field: to 'people': " in out.decode()


def test_a_delivery_that_is_not_expected_fails_its_test(hookchain: Hookchain, config: Path) -> None:
    config.write_text(CONFIG.replace("expect: [{to: people, data", "expect: []\n  #"))
    code, out, _ = hookchain("test", "--config", str(config), "--json")
    results: Json = json.loads(out)

    assert code == 1
    assert isinstance(results, dict)
    assert "not expected: to 'people' by route 'details'" in str(results["tests"])


def test_an_answer_that_a_test_does_not_hold_is_named_without_its_url(hookchain: Hookchain, config: Path) -> None:
    config.write_text(CONFIG.replace("    answers:", "    # answers:"))

    assert "the test has no answer of api.example.com" in hookchain("test", "--config", str(config))[1].decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("input: {source: form, event", "input: {source: from, event"), "there is no source 'from'; did you mean"),
        (("expect: [{to: people, data", "expect: [{to: poeple, data"), "there is no destination 'poeple'"),
        (("route: mail", "route: mial"), "there is no route 'mial'; did you mean 'mail'?"),
        (("body: {event", "file: nowhere.json\n      body: {event"), "must have exactly one of"),
        (("body: {event: signup.created", "file: nowhere.json # {event"), "there is no file 'nowhere.json'"),
        (("name: a free one is not", "name: a card is looked up"), "another test has this name"),
    ],
)
def test_a_fault_in_a_test_is_one_of_the_configuration(
    hookchain: Hookchain, config: Path, change: tuple[str, str], message: str
) -> None:
    config.write_text(CONFIG.replace(*change))
    code, _, err = hookchain("test", "--config", str(config))

    assert code == 1
    assert message in err


def test_the_schema_takes_what_the_models_take_and_rejects_what_they_reject(
    hookchain: Hookchain, config: Path, root: Path
) -> None:
    schema: Json = json.loads(hookchain("schema")[1])
    assert isinstance(schema, dict)
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in [config, root / "deploy/hookchain.example.yaml", *root.glob("deploy/recipes/*/hookchain.yaml")]:
        assert [error.message for error in validator.iter_errors(read_config_file(path).document)] == []
    for change in (("drop:", "dorp:"), ("email:", "emial:"), ("from: form", "form: form"), ("[data.password]", "7")):
        config.write_text(CONFIG.replace(*change))
        assert list(validator.iter_errors(read_config_file(config).document)), change


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


def test_a_setting_that_no_docstring_names_is_listed_with_its_default(hookchain: Hookchain, config: Path) -> None:
    own = """from typing import ClassVar

from pydantic import BaseModel, Field

from functions.transform.step import Example, Step, StepContext
from shared.event import Event


class Points(BaseModel, Step):
    summary: ClassVar[str] = "Count points."
    example: ClassVar[Example] = Example(settings={"per_point": 10}, before={}, after={})
    per_point: int = Field(description="money")
    round_up: bool = False

    def apply(self, event: Event, _: StepContext) -> Event:
        return event
"""
    Path(config.parent, "points.py").write_text(own, encoding="utf-8")
    config.write_text(f"steps_from: [points.py]\n{CONFIG}", encoding="utf-8")

    code, out, _ = hookchain("steps", "points", "--config", str(config))

    assert code == 0
    assert b"\nper_point  money; required\nround_up   default: false\n" in out


def test_chains_and_steps_of_the_configuration_that_is_here_are_known(
    hookchain: Hookchain, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(config))
    document = b'{"a": 1, "password": "x"}'

    assert hookchain("step", "[{chain: clean}]", stdin=document)[:2] == (0, b"a: 1\n")
    assert hookchain("step", "convert: {to: yaml}", "--config", "none", stdin=b'{"a": 1}')[:2] == (0, b"a: 1\n")

    config.write_text("sources: [", encoding="utf-8")
    assert hookchain("step", "drop: [data.password]", stdin=document)[:2] == (0, b'{"a":1}')
    code, _, text = hookchain("step", "dorp: [data.password]", stdin=document)
    assert (code, "there is no such step; did you mean 'drop'?" in text) == (2, True)
    code, _, text = hookchain("step", "clean", stdin=document)
    assert (code, "not YAML" in text) == (2, True)
