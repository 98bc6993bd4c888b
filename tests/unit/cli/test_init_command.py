"""`hookchain init` writes a configuration that compiles, and never overwrites one."""

import io
from pathlib import Path

import pytest

from deploy.cli.init import recipes, sends_mail
from deploy.config.checkout import OWN_CONFIG
from deploy.config.compiler import compile_file
from deploy.config.running_dev import Hint, ports_from, write_dev_file
from shared.jsontext import to_json
from tests.fakes.command import Command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "hookchain.yaml"


@pytest.fixture
def init(command: Command, out: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return command.partial("init", "--out", str(out))


LINE = ("--recipe", "push-to-one-line", "--to", "me@acme.example")


@pytest.mark.parametrize("recipe", [name for name in recipes() if sends_mail(name)])
def test_every_recipe_with_mail_compiles_with_the_given_addresses(init: Command, recipe: str, out: Path) -> None:
    init("--recipe", recipe, "--to", "me@acme.example", "--from", "hooks@acme.example")
    notify = to_json(compile_file(out, {})["notify"])
    assert "me@acme.example" in notify
    assert "hooks@acme.example" in notify
    assert "@example.com" not in notify


def test_a_running_make_dev_is_not_to_be_started(
    init: Command, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    assert "Next, run `make dev`." in init(*LINE)
    write_dev_file(tmp_path, ports_from(9000), Hint("", ()), None)
    out.unlink()
    assert "The running `make dev` uses it, unless you gave that a --config." in init(*LINE)


def test_three_questions_are_asked_on_a_terminal(init: Command, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []
    answers = iter(["push-to-one-line", "me@acme.example", ""])

    def answer(question: str) -> str:
        questions.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", answer)
    before, _, after = init().partition("Wrote ")
    assert len(questions) == 3
    assert "push-to-one-line" in before
    assert "providers github` lists the event types that a route from GitHub can name in `types`." in after
    assert "from: " not in out.read_text(encoding="utf-8").partition("destinations:")[2]


def test_a_file_is_never_overwritten(init: Command, out: Path) -> None:
    out.write_text("mine")
    init(*LINE, code=1)
    assert out.read_text() == "mine"
    assert "exists and is not overwritten" in init.error


def test_a_configuration_with_the_short_suffix_is_not_overruled_by_a_new_one(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cli.init.ROOT", tmp_path)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "hookchain.yml").write_text("mine")
    command("init", *LINE, code=1)
    assert "deploy/hookchain.yml exists" in command.error
    assert not (tmp_path / OWN_CONFIG).exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "--recipe is missing, and there is no terminal"),
        (["--recipe", "push-to-one-line"], "--to is missing"),
        (["--recipe", "push-to-one-line", "--to", "a], x: [b"], "--to: must be one mail address"),
    ],
)
def test_a_missing_or_wrong_answer_writes_nothing(init: Command, arguments: list[str], fault: str, out: Path) -> None:
    init(*arguments, code=2)
    assert fault in init.error
    assert not out.exists()
