"""`hookchain init` writes a configuration that compiles, and never overwrites one."""

import io
from pathlib import Path

import pytest

from deploy.cli.init import main, recipes, sends_mail
from deploy.config.checkout import OWN_CONFIG
from deploy.config.compiler import compile_file
from deploy.config.running_dev import Hint, ports_from, write_dev_file
from shared.jsontext import to_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "hookchain.yaml"


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.mark.parametrize("recipe", [name for name in recipes() if sends_mail(name)])
def test_every_recipe_with_mail_compiles_with_the_given_addresses(recipe: str, out: Path) -> None:
    arguments = ["--recipe", recipe, "--to", "me@acme.example", "--from", "hooks@acme.example", "--out", str(out)]
    assert main(arguments) == 0
    notify = to_json(compile_file(out, {})["notify"])
    assert "me@acme.example" in notify
    assert "hooks@acme.example" in notify
    assert "@example.com" not in notify


def test_a_running_make_dev_is_not_to_be_started(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    arguments = ["--recipe", "push-to-one-line", "--to", "me@acme.example", "--out", str(out)]
    assert main(arguments) == 0
    assert "Next, run `make dev`." in capsys.readouterr().out
    write_dev_file(tmp_path, ports_from(9000), Hint("", ()), None)
    out.unlink()
    assert main(arguments) == 0
    assert "The running `make dev` uses it, unless you gave that a --config." in capsys.readouterr().out


def test_three_questions_are_asked_on_a_terminal(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions: list[str] = []
    answers = iter(["push-to-one-line", "me@acme.example", ""])

    def answer(question: str) -> str:
        questions.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", answer)
    assert main(["--out", str(out)]) == 0
    assert len(questions) == 3
    before, _, after = capsys.readouterr().out.partition("Wrote ")
    assert "push-to-one-line" in before
    assert "providers github` lists the event types that a route from GitHub can name in `types`." in after
    assert "from: " not in out.read_text(encoding="utf-8").partition("destinations:")[2]


def test_a_file_is_never_overwritten(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out.write_text("mine")
    assert main(["--recipe", "push-to-one-line", "--to", "me@acme.example", "--out", str(out)]) == 1
    assert out.read_text() == "mine"
    assert "exists and is not overwritten" in capsys.readouterr().err


def test_a_configuration_with_the_short_suffix_is_not_overruled_by_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.cli.init.ROOT", tmp_path)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "hookchain.yml").write_text("mine")
    assert main(["--recipe", "push-to-one-line", "--to", "me@acme.example"]) == 1
    assert "deploy/hookchain.yml exists" in capsys.readouterr().err
    assert not (tmp_path / OWN_CONFIG).exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "--recipe is missing, and there is no terminal"),
        (["--recipe", "push-to-one-line"], "--to is missing"),
        (["--recipe", "push-to-one-line", "--to", "a], x: [b"], "--to: must be one mail address"),
    ],
)
def test_a_missing_or_wrong_answer_writes_nothing(
    arguments: list[str], fault: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(out)]) == 2
    assert fault in capsys.readouterr().err
    assert not out.exists()
