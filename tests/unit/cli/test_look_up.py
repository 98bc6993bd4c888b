"""`hookchain providers`: the catalogue as a table, and one provider as somebody needs it who sets it up."""

import re
from pathlib import Path

import pytest

from deploy.cli.look_up import destinations, providers
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.catalogue_pages import source_block
from deploy.config.sections.kinds import destination_kinds
from tests.fakes.configurations import compile_text
from tests.unit.notify.test_own_kinds import FILE, REST, on_the_page

PROVIDERS = sorted(load_catalogue())


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert providers([*arguments]) == 0
    return capsys.readouterr().out


def test_every_provider_is_listed_and_there_are_enough_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys).splitlines()
    assert lines[0].split() == ["KEY", "PROVIDER", "AUTH", "HANDSHAKE", "PROVEN"]
    assert [line.split()[0] for line in lines[1 : 1 + len(PROVIDERS)]] == PROVIDERS
    assert len(PROVIDERS) >= 88


def test_a_mistyped_name_is_reported_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert providers(["githbu"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("hookchain providers: there is no provider 'githbu'; did you mean 'github'?")
    assert "functions/receive/README.md#any-other-sender" in told


def test_one_provider_says_how_to_set_it_up_and_how_sure_that_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "github")
    for part in (
        "    github:\n      provider: github\n      secret: github-secret",
        "GITHUB_SECRET in .env",
        "https://<your receive URL>/github",
        "hookchain trigger github",
        "header x-hub-signature-256 after 'sha256='",
        "header.X-GitHub-Delivery",
        "the provider accepts 2xx, within 10 s",
        "genuine requests, published",
    ):
        assert part in text, part


@pytest.mark.parametrize("key", PROVIDERS)
def test_the_source_that_is_shown_is_one_that_is_accepted(key: str) -> None:
    entry = load_catalogue()[key]
    block = "\n".join(f"  {line}" for line in source_block(key, entry)).replace("…", "something")
    assert compile_text(f"sources:\n{block}\n")["receive"]["sources"]


def test_no_secrets_stand_in_name_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the-source-s-own" not in printed(capsys, "--json") + printed(capsys, "github")


@pytest.fixture
def config(tmp_path: Path, root: Path) -> str:
    python, yaml = on_the_page(root)
    (tmp_path / "my_kinds").mkdir()
    (tmp_path / FILE).write_text(python, encoding="utf-8")
    (tmp_path / "hookchain.yaml").write_text(yaml + REST, encoding="utf-8")
    return str(tmp_path / "hookchain.yaml")


@pytest.mark.parametrize("kind", destination_kinds())
def test_each_kind_has_its_page_with_an_example(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations([kind]) == 0

    page = capsys.readouterr().out
    assert page.startswith(f"{kind}: ")
    assert f"    example:\n      {kind}:\n" in page


def test_own_kinds_are_listed_and_shown_too(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert destinations(["--config", config]) == 0
    assert re.search(r"Your own kinds.\n  ticket +A ticket in our help desk.\n", capsys.readouterr().out)

    assert destinations(["ticket", "--config", config]) == 0
    assert "queue   the queue that gets the ticket" in capsys.readouterr().out
