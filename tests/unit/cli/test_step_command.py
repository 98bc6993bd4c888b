"""`hookchain step` and `hookchain test`: a document through one step or a chain, and the tests of a configuration."""

import io
import json
import sys
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from deploy.cli.main import main
from deploy.config.config_file import read_config_file
from functions.transform.step_classes import step_classes
from shared.jsontext import mapping_at

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


class Hookchain:
    """Commands whose standard input and output are bytes. Each call returns the exit code and what was printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[bytes], env_file: Path) -> None:
        self._monkeypatch = monkeypatch
        self._captured = captured
        self._env_file = env_file
        env_file.touch()

    def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([*arguments, "--env-file", str(self._env_file)])
        text = self._captured.readouterr()
        return code, text.out, text.err.decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def hookchain(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Hookchain:
    return Hookchain(monkeypatch, capfdbinary, tmp_path / ".env")


@pytest.mark.parametrize(
    ("step", "given", "document"),
    [
        ("convert: {to: yaml}", b'{"a": "no", "b": "012", "c": "1e3"}', b'a: "no"\nb: "012"\nc: "1e3"\n'),
        ("encode: {to: hex}", "hellö".encode(), b"68656c6cc3b6"),
        ("[{drop: [data.password]}, {set: {data.n: 1}}]", b'{"password": "x"}', b'{"n":1}'),
        ("map: data.a", b"<a>1</a>", b"1"),
    ],
)
def test_a_step_on_standard_input_prints_the_document_that_comes_out(
    hookchain: Hookchain, step: str, given: bytes, document: bytes
) -> None:
    code, out, err = hookchain("step", step, stdin=given)

    assert (code, out, err) == (0, document, "")


def test_what_comes_in_is_taken_for_what_it_is_said_to_be(hookchain: Hookchain) -> None:
    assert hookchain("step", "map: data.a", "--as", "yaml", stdin=b'a: "no"\n')[1] == b"no"
    assert hookchain("step", "map: data.a", "--as", "json", stdin=b"{")[0] == 1


def test_truncated_json_is_accepted_as_text_with_a_warning(hookchain: Hookchain) -> None:
    code, out, err = hookchain("step", "drop: [data.x]", stdin=b'{"a": 1,')
    assert (code, out) == (0, b'{"a": 1,')
    assert "read as text, because it is not JSON: Expecting property name enclosed in double quotes: line 1" in err
    assert hookchain("step", "cast: {data: text}", "--as", "text", stdin=b'{"a": 1,')[2] == ""


def test_a_whole_event_goes_in_and_out(hookchain: Hookchain) -> None:
    _, out, _ = hookchain("step", "set: {subject: x}", "--json", stdin=b"{}")
    event = mapping_at(json.loads(out))
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


def test_steps_lists_every_step_with_its_line_and_shows_each_with_an_example(hookchain: Hookchain) -> None:
    listing = " ".join(hookchain("steps")[1].decode().split())
    for name, model in step_classes().items():
        assert f"{name} {model.__dict__['summary']}" in listing
        code, out, _ = hookchain("steps", name)
        assert code == 0
        assert f"- {name}:" in out.decode()
        assert "before  " in out.decode()


def test_the_schema_takes_and_rejects_what_the_models_do(hookchain: Hookchain, config: Path, root: Path) -> None:
    schema = mapping_at(json.loads(hookchain("schema")[1]))
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in [config, root / "deploy/hookchain.example.yaml", *root.glob("deploy/recipes/*/hookchain.yaml")]:
        assert [error.message for error in validator.iter_errors(read_config_file(path).document)] == []
    for change in (("drop:", "dorp:"), ("email:", "emial:"), ("from: form", "form: form"), ("[data.password]", "7")):
        config.write_text(CONFIG.replace(*change))
        assert list(validator.iter_errors(read_config_file(config).document)), change


def test_chains_of_the_configuration_that_is_here_are_known(
    hookchain: Hookchain, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(config))
    assert hookchain("step", "[{chain: clean}]", stdin=b'{"a": 1}')[:2] == (0, b"a: 1\n")
    config.write_text("sources: [", encoding="utf-8")
    assert hookchain("step", "drop: [data.password]", stdin=b'{"a": 1}')[:2] == (0, b'{"a":1}')
    code, _, text = hookchain("step", "clean", stdin=b'{"a": 1}')
    assert (code, "not YAML" in text) == (2, True)


# The tests of a configuration


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
    broken = CONFIG.replace("steps: [{fetch", "steps: [{set: {data.name.first: x}}, {fetch")
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("input: {source: form, event", "input: {source: from, event"), "there is no source 'from'; did you mean"),
        (("route: mail", "route: mial"), "there is no route 'mial'; did you mean 'mail'?"),
        (("body: {event: signup.created", "file: nowhere.json # {event"), "there is no file 'nowhere.json'"),
        (("body: {event", "file: nowhere.json\n      body: {event"), "must have exactly one of"),
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


def test_a_system_that_a_test_does_not_answer_for_is_named(hookchain: Hookchain, config: Path) -> None:
    config.write_text(CONFIG.replace("api.example.com/a%2Fb", "api.example.com/other"))
    code, out, _ = hookchain("test", "--config", str(config))
    assert (code, "the test has no answer of api.example.com for this URL" in out.decode()) == (1, True)
