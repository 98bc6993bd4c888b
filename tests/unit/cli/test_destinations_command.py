import json
import re
from pathlib import Path

import pytest

from deploy.cli.look_up import destinations
from deploy.config.sections.kinds import destination_kinds
from tests.unit.notify.test_own_kinds import FILE, REST, on_the_page


@pytest.fixture
def config(tmp_path: Path, root: Path) -> str:
    python, yaml = on_the_page(root)
    (tmp_path / "my_kinds").mkdir()
    (tmp_path / FILE).write_text(python, encoding="utf-8")
    (tmp_path / "hookchain.yaml").write_text(yaml + REST, encoding="utf-8")
    return str(tmp_path / "hookchain.yaml")


def test_each_kind_has_its_line_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations([]) == 0

    out = capsys.readouterr().out
    for kind in destination_kinds():
        assert len(re.findall(rf"^  {kind} +[^.]+(\.[^.\s][^.]*)*\.$", out, re.MULTILINE)) == 1


@pytest.mark.parametrize("kind", destination_kinds())
def test_each_kind_has_its_page_with_an_example(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations([kind]) == 0

    page = capsys.readouterr().out
    assert page.startswith(f"{kind}: ")
    assert f"    example:\n      {kind}:\n" in page


def test_the_name_of_a_destination_leads_to_its_kind(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOKCHAIN_CONFIG", config)
    assert destinations(["help-desk"]) == 1
    assert (
        "'help-desk' is a destination of the kind 'ticket': `hookchain destinations ticket`" in capsys.readouterr().err
    )


def test_a_page_names_the_settings_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations(["slack"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "Beside its kind, every destination can have: retry, timeout, on_unknown, expires_after, otherwise," in page


def test_a_page_shows_the_request_of_each_example(capsys: pytest.CaptureFixture[str]) -> None:
    destinations(["pagerduty"])

    page = capsys.readouterr().out
    assert "  request   POST https://events.pagerduty.com/v2/enqueue\n" in page
    assert '"summary": "Order 1042 failed"' in page


def test_own_kinds_are_listed_and_shown_too(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations(["--config", config]) == 0
    assert re.search(r"Your own kinds.\n  ticket +A ticket in our help desk.\n", capsys.readouterr().out)

    assert destinations(["ticket", "--config", config]) == 0
    assert "queue   the queue that gets the ticket" in capsys.readouterr().out


def test_an_unknown_kind_is_answered_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations(["pagerdutty"]) == 1

    assert "there is no kind 'pagerdutty'; did you mean 'pagerduty'?" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "kind"), [("postgres", "sql"), ("s3", "object"), ("mattermost", "apprise")])
def test_a_system_that_a_kind_writes_to_leads_to_the_kind(
    word: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert destinations([word]) == 1
    assert f"there is no kind {word!r}; did you mean {kind!r}?" in capsys.readouterr().err


def test_the_page_of_a_build_names_the_settings_that_builds_share(capsys: pytest.CaptureFixture[str]) -> None:
    destinations(["cloud_build"])
    page = capsys.readouterr().out
    assert "allow_refs   the revisions that a template in `ref` may give" in page
    assert "allow_private   allow a server at a private address" in page


def test_a_program_gets_one_document(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations(["ticket", "--json", "--config", config]) == 0

    [kind] = json.loads(capsys.readouterr().out)["kinds"]
    assert kind["name"] == "ticket"
    assert kind["settings"]["required"] == ["queue", "title", "secret"]
    assert kind["examples"][0]["url"] == "https://desk.example.com/tickets"
