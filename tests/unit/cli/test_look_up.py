"""`hookchain providers`: the catalogue as a table, and one provider as somebody needs it who sets it up."""

import re
from pathlib import Path

import pytest

from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.catalogue_pages import source_block
from deploy.config.sections.kinds import destination_kinds
from tests.fakes.command import Command
from tests.fakes.configurations import compile_text
from tests.unit.notify.test_own_kinds import FILE, REST, on_the_page

PROVIDERS = sorted(load_catalogue())


def test_every_provider_is_listed_and_there_are_enough_of_them(command: Command) -> None:
    lines = command("providers").splitlines()
    assert lines[0].split() == ["KEY", "PROVIDER", "AUTH", "HANDSHAKE", "PROVEN"]
    assert [line.split()[0] for line in lines[1 : 1 + len(PROVIDERS)]] == PROVIDERS
    assert len(PROVIDERS) >= 100


def test_a_mistyped_name_is_reported_with_the_right_one(command: Command) -> None:
    command("providers", "githbu", code=1)
    told = command.error
    assert told.startswith("hookchain providers: there is no provider 'githbu'; did you mean 'github'?")
    assert "functions/receive/README.md#any-other-sender" in told


def test_one_provider_says_how_to_set_it_up_and_how_sure_that_is(command: Command) -> None:
    text = command("providers", "github")
    for part in (
        "    github:\n      provider: github\n      secret: github-secret",
        "GITHUB_SECRET in .env",
        "https://<your receive URL>/github",
        "hookchain trigger github",
        "header x-hub-signature-256 after 'sha256='",
        "header.X-GitHub-Delivery",
        "the provider accepts 2xx, within 10 s",
        "genuine requests, published",
        "\n  release: created, deleted, edited, ",
        "Read on 2026-12-01 from npm @octokit/openapi-webhooks",
    ):
        assert part in text, part
    assert "the-source-s-own" not in text + command("providers", "--json")  # the secret's name in the catalogue


@pytest.mark.parametrize("key", PROVIDERS)
def test_the_source_that_is_shown_is_one_that_is_accepted(key: str) -> None:
    entry = load_catalogue()[key]
    block = "\n".join(f"  {line}" for line in source_block(key, entry)).replace("…", "something")
    assert compile_text(f"sources:\n{block}\n")["receive"]["sources"]


@pytest.fixture
def config(tmp_path: Path, root: Path) -> str:
    python, yaml = on_the_page(root)
    (tmp_path / "my_kinds").mkdir()
    (tmp_path / FILE).write_text(python, encoding="utf-8")
    (tmp_path / "hookchain.yaml").write_text(yaml + REST, encoding="utf-8")
    return str(tmp_path / "hookchain.yaml")


@pytest.mark.parametrize("kind", destination_kinds())
def test_each_kind_has_its_page_with_an_example(kind: str, command: Command) -> None:
    page = command("destinations", kind)

    assert page.startswith(f"{kind}: ")
    assert f"    example:\n      {kind}:\n" in page
    assert "class variables" not in page  # what the authors of kinds declare is on a page of its own


def test_own_kinds_are_listed_and_shown_too(config: str, command: Command) -> None:
    assert re.search(
        r"Your own kinds.\n  ticket +A ticket in our help desk.\n", command("destinations", "--config", config)
    )

    assert "queue   the queue that gets the ticket" in command("destinations", "ticket", "--config", config)
