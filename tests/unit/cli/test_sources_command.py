"""`hookchain sources`: what a sender's administrator types where."""

import shlex
import subprocess
from pathlib import Path

import pytest

from deploy.requests.command_lines import example_line
from deploy.requests.events import make_example_event
from shared.jsontext import JsonObject
from tests.fakes.command import Command, as_objects
from tests.stand_ins.google_apis import StandIn

CONFIG = """
sources:
  shop: {auth: {scheme: basic, username: web, secret: shop-password}}
  old: {auth: {scheme: path, secret: old-token}}
  asked: {auth: {scheme: query, parameter: key, secret: asked-token}}
  several: {auth: [{scheme: bearer, secret: a-token}, {scheme: header, header: X-Key, secret: b-token}]}
  git: {provider: github, secret: git-secret}
  open: {auth: none}
routes:
  - {name: orders, from: [shop, old], types: [order.*, refund], to: people}
  - {name: pushes, from: git, types: [push], to: people}
  - {name: all of it, from: old, to: people}
destinations: {people: {email: {to: ann@example.com}}}
"""
PROJECT = "acme-hooks"


@pytest.fixture(autouse=True)
def config(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORT_BASE", "9000")
    return config


def listed(command: Command, *arguments: str) -> dict[str, JsonObject]:
    return {str(each["name"]): each for each in as_objects(command.json("sources", *arguments)["sources"])}


def test_each_source_has_its_url_its_settings_and_its_events(command: Command) -> None:
    sources = listed(command)
    assert sources["shop"]["url"] == "http://127.0.0.1:9000/shop"
    basic = ["authentication: basic", "user name: web", "password: <secret shop-password>"]
    assert sources["shop"]["schemes"] == [basic]
    assert sources["shop"]["events"] == ["order.*", "refund"]
    assert sources["old"]["url"] == "http://127.0.0.1:9000/old/<secret old-token>"
    assert sources["old"]["events"] == []
    assert sources["old"]["routes"] == ["orders", "all of it"]
    assert sources["asked"]["url"] == "http://127.0.0.1:9000/asked?key=<secret asked-token>"
    assert len(sources["several"]["schemes"]) == 2  # type: ignore[arg-type] # a list
    assert sources["git"]["provider"] == "GitHub"
    assert "Add webhook" in str(sources["git"]["setup"])
    assert sources["git"]["secrets"] == ["git-secret"]


def test_people_get_them_one_under_another(command: Command) -> None:
    output = command("sources")
    assert "  events    select order.*, refund (orders)" in output
    assert "  events    none: no route matches its events" in output
    assert "  or        header x-key: <secret b-token>" in output
    assert "To set $NAME in your shell, read .env:  . " in output
    assert "git" not in command("sources", "shop")
    command("sources", "shpo", code=2)
    assert "did you mean 'shop'?" in command.error


def test_a_secret_during_its_rotation_is_its_first_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "the new one 0123456789\nthe old one 0123456789")
    line = 'SHOP_PASSWORD=$(printf %s "$SHOP_PASSWORD" | head -n 1)'
    monkeypatch.setenv("SHOP", "a variable\nof another program")
    output = command("sources", "shop")
    assert f"SHOP_PASSWORD is being rotated; a sender uses its first line:  {line}" in output
    assert "SHOP is being rotated" not in output


@pytest.mark.parametrize(
    ("types", "line"),
    [
        ("[push]", "select push (pushes)"),
        ("['pull_request_review*']", "select pull_request_review, pull_request_review_comment, pull_request_review_th"),
        ("['*']", "select * (pushes)"),
        ("[push, pull_requst]", "select push (pushes); no known event type of GitHub: pull_requst"),
        ("[pull_requst]", "none (pushes); no known event type of GitHub: pull_requst"),
    ],
)
def test_the_known_event_types_of_a_provider_are_listed(config: Path, command: Command, types: str, line: str) -> None:
    config.write_text(CONFIG.replace("[push]", types), encoding="utf-8")
    output = command("sources", "git")
    assert f"  events    {line}" in output
    assert "hookchain providers github` lists the event types of GitHub" in output


def test_of_a_provider_the_example_is_a_sample_that_some_route_takes(config: Path, command: Command) -> None:
    assert str(listed(command)["git"]["example"]).endswith("hookchain trigger github push --source git")
    text = CONFIG.replace("types: [push]", "types: [issues]")
    config.write_text(text, encoding="utf-8")
    assert str(listed(command)["git"]["example"]).endswith("hookchain trigger github issues --source git")


def test_the_example_has_a_body_that_the_source_accepts_or_says_why_there_is_none(
    config: Path, command: Command
) -> None:
    config.write_text(CONFIG.replace("open: {auth: none}", "open: {auth: none, body: xml}"), encoding="utf-8")
    assert "-H 'Content-Type: application/xml' -d '<?xml" in str(listed(command)["open"]["example"])
    config.write_text(CONFIG.replace("open: {auth: none}", "open: {auth: none, body: plist}"), encoding="utf-8")
    assert "  try it    no example can be made for the source 'open'" in command("sources", "open")


@pytest.mark.parametrize("scheme", ["basic", "header", "query", "none"])
def test_a_shell_reads_the_example_as_it_is_meant(scheme: str) -> None:
    auth: JsonObject = {"scheme": scheme, "secret": "a-key", "username": 'w$`"b', "header": "x-key", "parameter": "t"}
    line = example_line("http://127.0.0.1:1/shop", auth, make_example_event({}, "it's `one`", {}), None)
    script = f'curl() {{ for word in "$@"; do printf "%s\\n" "$word"; done; }}\nA_KEY=se\\ cret\n{line}'
    arguments = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert any("it's `one`" in word for word in arguments)
    assert scheme == "none" or any("se cret" in word for word in arguments)
    assert scheme != "basic" or 'w$`"b:se cret' in arguments


@pytest.mark.usefixtures("signed_in")
def test_on_google_the_url_is_the_deployed_functions(google: StandIn, command: Command) -> None:
    path = f"/run/v2/projects/{PROJECT}/locations/europe-west1/services/hookchain-receive"
    google.answers(path, {"uri": "https://hookchain-receive-abc-ew.a.run.app"})
    sources = listed(command, "--platform", "gcp", "--project", PROJECT)
    assert sources["shop"]["url"] == "https://hookchain-receive-abc-ew.a.run.app/shop"
    assert "gcloud secrets versions access latest --secret=hookchain-shop-password" in str(sources["shop"]["example"])
    signed = str(sources["git"]["example"])
    assert signed.startswith("gcloud secrets versions access latest --secret=hookchain-git-secret")
    assert "hookchain send https://hookchain-receive-abc-ew.a.run.app/git" in signed
    assert shlex.split(signed)
