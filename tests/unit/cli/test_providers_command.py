"""`hookchain providers`: the catalogue as a table, and one provider as somebody needs it who sets it up."""

import json
from pathlib import Path

import pytest

from deploy.cli.look_up import providers
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.catalogue_pages import entry_text, source_block
from deploy.terminal.output import Screen
from shared.jsontext import Json

PROVIDERS = sorted(load_catalogue())


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert providers([*arguments]) == 0
    return capsys.readouterr().out


def test_every_provider_is_listed_and_there_are_enough_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys).splitlines()
    assert lines[0].split() == ["KEY", "PROVIDER", "AUTH", "HANDSHAKE", "PROVEN"]
    assert [line.split()[0] for line in lines[1 : 1 + len(PROVIDERS)]] == PROVIDERS
    assert len(PROVIDERS) >= 88


def test_a_text_finds_some_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "--find", "url_verification")
    assert "slack" in found
    assert "github" not in found


def test_nothing_found_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert providers(["--find", "no such text anywhere"]) == 1
    assert "no provider has the text" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["jamf_pro", "Jamf-Pro", "jamf pro"])
def test_a_name_may_be_written_as_people_write_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "provider: jamf_pro" in printed(capsys, name)


def test_a_mistyped_name_is_reported_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert providers(["githbu"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("hookchain providers: there is no provider 'githbu'; did you mean 'github'?")
    assert "functions/receive/README.md#any-other-sender" in told


def test_facts_of_which_no_origin_is_on_record_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert "event: not confirmed; the origin is not on record" in printed(capsys, "xero")
    assert "not on record" not in printed(capsys, "github")


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


def test_a_provider_names_the_events_whose_bodies_repeat_and_the_risk(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(capsys, "github").split())
    for part in ("ping, workflow_dispatch, repository_dispatch", "Risk: whoever has captured", "`dedupe: signed`"):
        assert part in text, part
    assert "Duplicates" not in printed(capsys, "stripe")


@pytest.mark.parametrize("key", PROVIDERS)
def test_the_source_that_is_shown_is_one_that_is_accepted(key: str) -> None:
    entry = load_catalogue()[key]
    block = "\n".join(f"  {line}" for line in source_block(key, entry)).replace("…", "something")
    assert compile_config(parse_config(f"sources:\n{block}\n", "test.yaml", Path()))["receive"]["sources"]


@pytest.mark.parametrize(("key", "is_signed"), [("twilio", True), ("contentful", True), ("github", False)])
def test_the_source_that_is_shown_has_the_url_where_that_is_signed(key: str, is_signed: bool) -> None:
    assert is_signed is ("# public_url: https://…/" in "\n".join(source_block(key, load_catalogue()[key])))


@pytest.mark.parametrize("key", PROVIDERS)
def test_whatever_an_entry_has_it_is_shown_in_lines_that_fit(key: str) -> None:
    lines = list(entry_text(key, load_catalogue()[key], Screen()))
    assert any("Setup" in line for line in lines)
    assert not [line for line in lines if "None" in line.split() or len(line) > 160]


def test_the_document_is_json_of_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    one: Json = json.loads(printed(capsys, "stripe", "--json"))
    assert isinstance(one, dict)
    assert (one["key"], one["secret"]) == ("stripe", "stripe-secret")
    assert one["yaml"] == "sources:\n  stripe:\n    provider: stripe\n    secret: stripe-secret\n"
    every: Json = json.loads(printed(capsys, "--json"))
    assert isinstance(every, dict)
    assert isinstance(every["providers"], list)
    assert len(every["providers"]) == len(PROVIDERS)


def test_no_secrets_stand_in_name_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the-source-s-own" not in printed(capsys, "--json") + printed(capsys, "github")
