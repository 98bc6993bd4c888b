"""`hookchain hooks`: hooks at stand-ins of the providers, made, broken behind its back, repaired and removed."""

import argparse
import asyncio
import copy
import io
import json
import re
import shlex
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

import pytest

from deploy.cli import deployed_hooks, registrar
from deploy.config import local_ports, running_dev
from deploy.config.configured import configured_at
from deploy.config.dotenv import dotenv_entries
from deploy.config.running_dev import PRODUCTION_FILE, DevFile
from deploy.config.sections.provider_event_types import known_event_types
from deploy.history.state import SubscriberStores
from deploy.hooks import placed_hook, row, session
from deploy.hooks.kinds import KINDS
from deploy.hooks.row import read_rows
from deploy.platforms import choice, local as local_platform
from deploy.platforms.platform import CLOUD, Platform
from deploy.secrets.backend import DotenvBackend, StoredSecret
from deploy.terminal.command_line import CommandError
from shared.cloud import platform as cloud_platform
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.errors import Temporary
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, mapping_at, texts_at, value_at
from shared.times import rfc3339, unix_seconds
from tests.fakes.command import Command, as_objects, exit_code
from tests.stand_ins.hook_providers import (
    TOKEN,
    Airtable,
    GitHub,
    GitHubApp,
    GitLab,
    HookProvider,
    Linear,
    Square,
    Stripe,
    Telegram,
    Twilio,
)

CONFIG: Final = """
sources:
  github: {provider: github, secret: github-secret, hook: {token: github-token, at: acme/shop}}
  stripe: {provider: stripe, secret: stripe-secret, hook: {token: stripe-token}}
  gitlab: {provider: gitlab, secret: gitlab-secret, hook: {token: gitlab-token, at: projects/acme/shop}}
  telegram: {provider: telegram, secret: telegram-secret, hook: {token: telegram-token}}
  airtable: {provider: airtable, secret: airtable-secret, hook: {token: airtable-token, at: appAbCdEfGhIjKlMn}}
  linear: {provider: linear, secret: linear-secret, hook: {token: linear-token}}
  square:
    provider: square
    secret: square-secret
    public_url: https://hooks.example.com/square
    hook: {token: square-token}
  twilio:
    provider: twilio
    secret: twilio-secret
    public_url: https://hooks.example.com/twilio
    hook: {token: twilio-token, at: AC00000000000000000000000000000000/PN00000000000000000000000000000000}
  other: {auth: none}
routes:
  - {name: pushes, from: github, types: [push, issues.opened, issues.closed], to: people}
  - {name: money, from: stripe, types: [invoice.paid], to: people}
  - {name: merges, from: gitlab, types: [Push Hook, Merge Request Hook.open], to: people}
  - {name: messages, from: telegram, types: [message, callback_query], to: people}
  - {name: rows, from: airtable, to: people}
  - {name: tickets, from: linear, types: [Issue.create, Comment], to: people}
  - {name: payments, from: square, types: [payment.created], to: people}
  - {name: texts, from: twilio, to: people}
  - {name: rest, from: other, to: people}
destinations: {people: {email: {to: ann@example.com}}}
"""
PROVIDERS: Final = ("airtable", "github", "gitlab", "linear", "square", "stripe", "telegram", "twilio")
WITH_IDS: Final = [each for each in PROVIDERS if not KINDS[each].is_single]
"""Those at which a place can have several hooks, which `create` makes."""
SIGNING: Final = [each for each in PROVIDERS if not KINDS[each].is_account_signed]
MAKING_SECRETS: Final = [each for each in PROVIDERS if KINDS[each].makes_secret]
SECRET: Final = "a value that GitHub signs with"
URL: Final = "https://hooks.example.com"
OWN: Final = f"{URL}/github"
RUN: Final = asyncio.run
FOREIGN: Final = "https://elsewhere.example.com/in"
MOVED: Final = "https://moved.example.com"
CREATION_TIMES: Final = ("created", "created_at", "createdAt", "updated_at")


class World:
    """The providers behind one client, the files of the operator, and the command.

    shown_urls  URLs that the providers show in another form, with this form
    """

    def __init__(self, folder: Path, command: Command) -> None:
        self.github = GitHub()
        self.app = GitHubApp()
        self.stripe = Stripe()
        self.gitlab = GitLab()
        self.telegram = Telegram()
        self.twilio = Twilio()
        self.square = Square()
        self.linear = Linear()
        self.airtable = Airtable()
        self.others: list[GitHub | Airtable] = []
        self.shown_urls: dict[str, str] = {}
        self.env_file = folder / "env"
        self.config_file = folder / "hookchain.yaml"
        self.command = command

    async def fetch(self, request: Outgoing) -> Fetched:
        answer = await self._called(request.url).fetch(request)
        body = answer.body
        for url, shown in self.shown_urls.items():
            body = body.replace(url.encode(), shown.encode())
        return answer._replace(body=body)

    def _called(self, url: str) -> HookProvider:
        for other in self.others:
            if other.base in url:
                return other
        if url.startswith(f"{self.app.host}/app"):
            return self.app
        return next(each for each in map(self.provider, PROVIDERS) if url.startswith(each.host))

    def provider(self, source: str) -> HookProvider:
        found: HookProvider = getattr(self, source)
        return found

    def add_github(self, base: str) -> GitHub:
        """Return another repository or an organization, whose hooks have other ids."""
        added = GitHub(base)
        added.new_id = lambda: 900  # type: ignore[method-assign]
        self.others.append(added)
        return added

    def configure(self, text: str) -> None:
        self.config_file.write_text(text, encoding="utf-8")

    def __call__(self, action: str, source: str, *more: str, code: int = 0) -> str:
        url = () if "--url" in more else ("--url", URL)
        output = self.command("hooks", action, source, *url, *more, code=code)
        for text in (TOKEN, SECRET, "whsec_"):
            assert text not in output + self.error
        return output

    def apply_code(self, source: str, url: str = URL) -> int | str | None:
        return exit_code("hooks", "apply", source, "--url", url, "--yes")

    @property
    def error(self) -> str:
        return self.command.error

    def values(self, name: str) -> list[str]:
        entries = dotenv_entries(self.env_file.read_text(encoding="utf-8"), "env")
        return next((each.value.split("\n") for each in entries if each.name == name), [])

    def only_hook(self, provider: HookProvider) -> tuple[str, JsonObject]:
        [(id, hook)] = provider.hooks.items()
        return id, hook


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> World:
    found = World(tmp_path, command)
    found.configure(CONFIG)
    secrets = {"GITHUB": SECRET, "GITLAB": SECRET, "LINEAR": SECRET, "TELEGRAM": "letters_and_digits_0123456789"}
    lines = [f'{name}_SECRET="{value}"\n' for name, value in secrets.items()]
    found.env_file.write_text("".join(lines), encoding="utf-8")
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(found.config_file))
    monkeypatch.setenv("HOOKCHAIN_ENV_FILE", str(found.env_file))
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    for name in PROVIDERS:
        monkeypatch.setenv(f"{name.upper()}_TOKEN", TOKEN)
    monkeypatch.setattr(cloud_platform, "fetch", lambda *, keeps=True: found)
    monkeypatch.setattr(placed_hook, "LIST_SECONDS", 0.0)
    return found


def let_instances_lag(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let an instance read a value so long after it was stored."""
    monkeypatch.setattr(
        local_platform.LocalPlatform, "seconds_until_read", lambda _, stored_at, now: stored_at + seconds - now
    )


def config_of_others(url: str) -> JsonObject:
    """Return the `config` of a hook at GitHub that somebody else set."""
    return {"url": url, "content_type": "json", "insecure_ssl": "0", "secret": "theirs"}


def test_a_hook_is_planned_created_and_removed(world: World) -> None:
    output = world("plan", "github", code=3)
    assert "acme/shop: create: there is no hook" in output
    assert "event types: issues, push" in output
    assert not world.github.changes()
    assert "registered" in world("apply", "github", "--yes")
    _, hook = world.only_hook(world.github)
    assert value_at(hook, "config") == {"url": OWN, "content_type": "json", "insecure_ssl": "0", "secret": SECRET}
    assert hook["events"] == ["issues", "push"]
    assert "acme/shop: nothing differs" in world("plan", "github")
    assert world.github.changes() == ["POST /repos/acme/shop/hooks"]
    assert "delete" in world("remove", "github", "--yes")
    assert not world.github.hooks
    assert "no hook is registered" in world("remove", "github", "--yes")


def test_without_consent_nothing_changes(world: World, answer: Callable[[str], None]) -> None:
    assert f"hookchain hooks apply github --url {URL} --yes" in world("apply", "github", code=1)
    answer("n")
    assert "Nothing was changed." in world("apply", "github", code=1)
    assert not world.github.changes()
    answer("y")
    world("apply", "github")
    assert len(world.github.hooks) == 1


@pytest.mark.parametrize("source", ["github", "gitlab"])
def test_a_hook_with_our_former_url_is_moved_with_its_secret_and_not_doubled(world: World, source: str) -> None:
    """GitHub removes a secret that a PATCH of `config` does not have; GitLab removes the token if the URL changes."""
    world("apply", source, "--yes")
    output = world("plan", source, "--url", MOVED, code=3)
    assert f"its URL is {URL}/{source} (our former URL)" in output
    world("apply", source, "--yes", "--url", MOVED)
    _, hook = world.only_hook(world.provider(source))
    settings = mapping_at(hook, "config") if source == "github" else hook
    assert (settings["url"], settings["secret" if source == "github" else "token"]) == (f"{MOVED}/{source}", SECRET)


def test_a_hook_of_somebody_else_at_our_former_url_is_changed_only_with_consent(world: World) -> None:
    world("apply", "github", "--yes")
    world.github.hooks.clear()
    world.github.add(OWN, "push")
    before = json.dumps(world.github.hooks)
    moved = ("--url", MOVED)
    world("apply", "github", "--yes", *moved, code=1)
    assert f"--replace {OWN}" in world.error
    assert json.dumps(world.github.hooks) == before
    world("apply", "github", "--yes", *moved, "--replace", OWN)
    assert len(world.github.hooks) == 1


@pytest.mark.parametrize("source", [each for each in PROVIDERS if not KINDS[each].signs_url])
@pytest.mark.parametrize("form", [str.lower, lambda url: url.replace(".com/", ".com:443/"), lambda url: f"{url}/"])
def test_a_url_that_is_shown_in_another_form_is_the_same(world: World, source: str, form: Callable[[str], str]) -> None:
    own = f"https://Hooks.example.com/{source}"
    world.shown_urls = {own: form(own)}
    apply = ("hooks", "apply", source, "--url", "https://Hooks.example.com", "--yes")
    for _ in range(2):
        world.command(*apply)
    assert len(world.provider(source).hooks) == 1
    assert "nothing differs" in world.command("hooks", "plan", source, "--url", "https://Hooks.example.com")
    if source in SIGNING:
        world.command("secrets", "rotate", f"{source}-secret", "--random")
        assert len(world.provider(source).hooks) == 1
    world.command("hooks", "remove", source, "--yes")
    assert not world.provider(source).hooks


@pytest.mark.parametrize("source", ["github", "square", "stripe"])
def test_a_new_hook_that_the_provider_shows_with_another_url_is_deleted_again(world: World, source: str) -> None:
    world.shown_urls = {f"{URL}/{source}": FOREIGN}
    world("apply", source, "--yes", code=1)
    assert f"shows the URL of the new hook as {FOREIGN}; the new one was deleted again" in world.error
    assert not world.provider(source).hooks
    world.shown_urls = {}
    assert "create: there is no hook" in world("plan", source, code=3)


def test_somebody_elses_url_is_overwritten_only_with_consent(world: World, answer: Callable[[str], None]) -> None:
    world("apply", "github", "--yes")
    id, hook = world.only_hook(world.github)
    hook["config"] = {**config_of_others(FOREIGN), "insecure_ssl": "1"}
    hook["active"] = False
    theirs = json.dumps(hook)
    assert f"its URL is {FOREIGN}" in world("plan", "github", code=3)
    world("apply", "github", "--yes", code=1)
    assert f"--replace {FOREIGN}" in world.error
    assert json.dumps(hook) == theirs
    output = world("apply", "github", "--yes", "--replace", FOREIGN)
    settings = f"URL {FOREIGN}; event types: issues, push; it is not active; it does not verify the certificate"
    assert f"to restore the overwritten hook: {settings} of the URL. Hookchain does not read its secret" in output
    hook["config"] = config_of_others(FOREIGN)
    answer("y")
    world("apply", "github")
    assert world.github.secret(id) == SECRET


def test_a_hook_with_somebody_elses_url_is_not_removed(world: World) -> None:
    world("apply", "github", "--yes")
    _, hook = world.only_hook(world.github)
    hook["config"] = config_of_others(FOREIGN)
    assert "somebody else changed its URL" in world("remove", "github", "--yes", code=1)
    assert world.only_hook(world.github)[1]["config"] == config_of_others(FOREIGN)


def test_one_printed_command_overwrites_two_urls_with_characters_of_the_shell(world: World) -> None:
    shops = {"acme/shop": world.github, "acme/old": world.add_github("/repos/acme/old")}
    world.configure(CONFIG.replace("at: acme/shop}", "at: [acme/shop, acme/old]}"))
    world("apply", "github", "--yes")
    options: list[str] = []
    for number, provider in enumerate(shops.values()):
        theirs = f"{FOREIGN}/{number}?a=1&b=$(id)"
        world.only_hook(provider)[1]["config"] = config_of_others(theirs)
        options += ["--replace", theirs]
    world("apply", "github", "--yes", code=1)
    assert f"hookchain hooks apply github --url {URL} {shlex.join(options[:2])}\n" in world.error
    output = world("apply", "github", *options, code=1)
    assert output.rstrip().endswith(f"hookchain hooks apply github --url {URL} {shlex.join(options)} --yes")
    world("apply", "github", "--yes", *options)
    for provider in shops.values():
        assert provider.secret(world.only_hook(provider)[0]) == SECRET


def test_hooks_of_others_are_left_alone(world: World) -> None:
    world.github.add(FOREIGN, "push")
    world("apply", "github", "--yes")
    world("remove", "github", "--yes")
    assert value_at(world.only_hook(world.github)[1], "config", "url") == FOREIGN
    assert not [call for call in world.github.changes() if call.endswith("/101")]


def test_a_hook_that_a_person_made_is_adopted_and_not_deleted(world: World) -> None:
    world.github.add(OWN, "push")
    plan = world("plan", "github", code=3)
    assert "change: Hookchain did not make it; event types are missing: issues" in plan
    assert "another deployment with this URL rejects its requests" in plan
    world("apply", "github", "--yes")
    id, _ = world.only_hook(world.github)
    assert world.github.secret(id) == SECRET
    assert "nothing differs" in world("plan", "github")
    output = world("remove", "github", "--yes", code=1)
    assert f"left alone, because Hookchain did not make it: {OWN} ({id})\ngithub acme/shop: forgotten" in output
    assert id in world.github.hooks


@pytest.mark.parametrize(
    ("source", "difference", "own"),
    [
        ("linear", {"enabled": False}, {"label": "Ann's"}),
        ("square", {"enabled": False}, {"name": "Ann's"}),
        ("telegram", {"allowed_updates": ["message"]}, {"max_connections": 100}),
    ],
)
def test_a_change_keeps_what_no_route_needs(world: World, source: str, difference: JsonObject, own: JsonObject) -> None:
    world("apply", source, "--yes")
    _, hook = world.only_hook(world.provider(source))
    hook |= {**difference, **own}
    world("apply", source, "--yes")
    _, changed = world.only_hook(world.provider(source))
    assert {name: changed[name] for name in own} == own
    assert "nothing differs" in world("plan", source)


def test_two_operators_at_once_make_one_hook(world: World) -> None:
    codes: list[int | str | None] = []
    run_meanwhile(world.github, 3, lambda: codes.append(world.apply_code("github")))
    world("apply", "github", "--yes")
    assert codes == [1]
    assert "another command is changing the hooks of github" in world.error
    assert len(world.github.hooks) == 1


@pytest.mark.parametrize(
    ("status", "headers", "answer", "text"),
    [
        (401, {}, {}, ". The token github-token needs the permission Webhooks: read and write"),
        (403, {}, {}, ". The token github-token needs the permission Webhooks: read and write"),
        (404, {}, {}, ". The token github-token needs the permission Webhooks: read and write"),
        (403, {"retry-after": "60"}, {}, ". Run the command again in 60 s\n"),
        (403, {"x-ratelimit-remaining": "0"}, {}, ". Try again later\n"),
        (301, {}, {}, ". The place was moved or renamed: correct sources.github.hook\n"),
        (
            422,
            {},
            {"message": "Validation Failed", "errors": [{"message": "Hook already exists on this repository"}]},
            ": Validation Failed: Hook already exists on this repository\n",
        ),
        (422, {}, {"message": {"url": ["is blocked", "is too long"]}}, ": url is blocked; url is too long\n"),
        (422, {}, {"errors": [{"message": "Forbidden"}]}, ": Forbidden\n"),
    ],
)
def test_a_rejected_creation_is_reported_with_its_reason_and_what_to_do(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: Mapping[str, str],
    answer: JsonObject,
    text: str,
) -> None:
    right = world.github._answer
    with monkeypatch.context() as patched:
        patched.setattr(world.github, "_post", lambda *_: (status, answer))
        patched.setattr(world.github, "_answer", lambda *each: right(*each)._replace(headers=(*headers.items(),)))
        world("apply", "github", "--yes", code=1)
    assert f"github: GitHub acme/shop answered {status} to `create`{text}" in world.error
    assert "acme/shop: create" in world("plan", "github", code=3), "what is known to have failed is not half done"


def test_a_token_that_does_not_exist_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    assert "github: no hook is registered" in world("remove", "github")
    world("plan", "github", code=1)
    assert "the token 'github-token' does not exist: set GITHUB_TOKEN" in world.error


def test_the_public_url_at_the_top_of_the_file_is_that_of_each_source_except_on_a_developers_machine(
    world: World, tmp_path: Path
) -> None:
    without_url = CONFIG.replace(f"    public_url: {URL}/square\n", "")
    for text in (without_url, f"public_url: {MOVED}/\n{without_url}"):
        world.configure(text)
        for source in ("github", "square"):
            world.command("hooks", "plan", source, code=1)
            assert "a provider cannot call this machine" in world.error
    (tmp_path / "state" / PRODUCTION_FILE).touch()
    for source in ("github", "square"):
        assert f"{MOVED}/{source}\n" in world.command("hooks", "plan", source, code=3)


def test_a_place_that_does_not_exist_stops_no_other(world: World) -> None:
    world.configure(CONFIG.replace("at: acme/shop}", "at: [acme/typo, acme/shop]}"))
    output = world("apply", "github", "--yes", code=1)
    assert "github: GitHub acme/typo answered 404 to `list`" in world.error
    assert "acme/shop: registered" in output
    world("plan", "github", code=1)
    assert "--forget" not in world.error


@pytest.mark.parametrize("status", [301, 404, 410])
def test_a_hook_of_a_lost_place_can_be_forgotten(world: World, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    old = world.add_github("/repos/acme/old")
    both = CONFIG.replace("at: acme/shop}", "at: [acme/shop, acme/old]}")
    world.configure(both)
    world("apply", "github", "--yes")
    id, _ = world.only_hook(world.github)
    monkeypatch.setattr(old, "act", lambda *_: (status, {"message": "moved or deleted"}))
    for text in (both, CONFIG):
        world.configure(text)
        for action in ("plan", "apply"):
            assert "acme/shop: nothing differs" in world(action, "github", code=1)
            assert f"hookchain hooks remove github --url {URL} --forget" in world.error
        world.command("secrets", "rotate", "github-secret", "--random", code=1)
        assert "The secret was not changed" in world.error
    assert "acme/old: forget" in world.command("hooks", "remove", "github", "--forget", "--yes")
    assert "nothing differs" in world("plan", "github")
    world.command("secrets", "rotate", "github-secret", "--random")
    assert "nothing to forget" in world.command("hooks", "remove", "github", "--forget")
    assert world.only_hook(world.github)[0] == id


def test_each_url_that_a_forgotten_hook_may_have_is_printed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world("apply", "github", "--yes")
    world.github.loses = ["PATCH"]
    world("apply", "github", "--url", MOVED, "--yes", code=1)
    monkeypatch.setattr(world.github, "act", lambda *_: (404, {"message": "Not Found"}))
    output = world.command("hooks", "remove", "github", "--forget", "--yes")
    assert f"forget {OWN} or {MOVED}/github, which may still be registered there" in output


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_hook_whose_place_could_not_be_listed_is_not_forgotten(world: World, status: int) -> None:
    world("apply", "github", "--yes")
    for action in ("plan", "remove"):
        world.github.fails = {"GET": status}
        world(action, "github", *(["--yes"] if action == "remove" else []), code=1)
        assert "--forget" not in world.error
    world.github.fails = {"GET": status}
    assert "forget" not in world.command("hooks", "remove", "github", "--forget", "--yes", code=1)
    assert f"answered {status} to `list`" in world.error
    world.github.fails = {}
    assert "nothing differs" in world("plan", "github")


def test_a_secret_that_was_replaced_is_given_to_the_provider(world: World) -> None:
    world("apply", "github", "--yes")
    text = world.env_file.read_text(encoding="utf-8")
    world.env_file.write_text("", encoding="utf-8")
    assert "the secret is not stored any more" in world("plan", "github", code=3)
    world.env_file.write_text(text, encoding="utf-8")
    world.env_file.write_text('GITHUB_SECRET="another value of 24 letters"\n', encoding="utf-8")
    assert "its secret is older than the stored one" in world("plan", "github", code=3)
    world("apply", "github", "--yes")
    id, _ = world.only_hook(world.github)
    assert world.github.secret(id) == "another value of 24 letters"


@pytest.mark.parametrize("is_adopted", [False, True])
def test_a_place_that_left_the_configuration_loses_the_hook_that_was_made_there(world: World, is_adopted: bool) -> None:
    if is_adopted:
        world.github.add(OWN, "push")
    world("apply", "github", "--yes")
    world.configure(CONFIG.replace("at: acme/shop", "at: acme"))
    organization = world.add_github("/orgs/acme")
    action = "forget" if is_adopted else "delete"
    assert f"acme/shop: {action}: its place is not in the configuration any more" in world("plan", "github", code=3)
    assert ("left alone" in world("apply", "github", "--yes")) is is_adopted
    assert bool(world.github.hooks) is is_adopted
    assert len(organization.hooks) == 1
    assert "acme/shop" not in world("plan", "github")


def test_a_place_that_refuses_a_hook_stops_no_other(world: World) -> None:
    world.configure(CONFIG.replace("at: acme/shop", "at: [acme/shop, acme]"))
    organization = world.add_github("/orgs/acme")
    world.github.fails = {"POST": 403}
    world("apply", "github", "--yes", code=1)
    assert "GitHub acme/shop answered 403 to `create`" in world.error
    assert "acme: nothing differs" in world("plan", "github", code=3)
    assert len(organization.hooks) == 1


@pytest.mark.parametrize(
    ("source", "is_rotation"),
    [*((each, False) for each in PROVIDERS), *((each, True) for each in MAKING_SECRETS)],
)
def test_a_hook_that_is_listed_after_its_deletion_is_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch, source: str, is_rotation: bool
) -> None:
    provider = world.provider(source)
    act = provider.act
    world("apply", source, "--yes")
    before = {**provider.hooks}

    def keep_hooks(request: Outgoing, path: str) -> tuple[int, Json]:
        answer = act(request, path)
        provider.hooks |= {id: hook for id, hook in before.items() if id not in provider.hooks}
        return answer

    rotate = ("secrets", "rotate", f"{source}-secret", "--random")
    remove = ("hooks", "remove", source, "--yes")
    with monkeypatch.context() as patched:
        patched.setattr(provider, "act", keep_hooks)
        for _ in range(2):
            assert exit_code(*(rotate if is_rotation else remove)) == 1
    assert exit_code(*remove) == 0
    assert not provider.hooks


def test_a_plan_names_our_hook_before_another_one_with_its_url(world: World) -> None:
    world("apply", "gitlab", "--yes")
    id, hook = world.only_hook(world.gitlab)
    world.gitlab.hooks = {"50": {**hook, "id": 50}, id: hook}
    world.configure(CONFIG.replace("at: projects/acme/shop}", "at: projects/other}"))
    assert "projects/acme/shop: delete: its place is not in" in world("plan", "gitlab", code=1)
    assert f"{URL}/gitlab (50)" in world("apply", "gitlab", "--yes", code=1)
    assert [*world.gitlab.hooks] == ["50"]


@pytest.mark.parametrize(
    ("source", "before", "after", "path"),
    [
        ("github", "acme/shop", "Acme/Shop", "/repos/Acme/Shop"),
        ("gitlab", "projects/acme/shop", "projects/42", "/api/v4/projects/42"),
        ("gitlab", "projects/acme/shop", "projects/Acme/shop", "/api/v4/projects/Acme%2Fshop"),
    ],
)
def test_a_hook_whose_place_is_written_in_another_way_is_not_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch, source: str, before: str, after: str, path: str
) -> None:
    provider = world.provider(source)
    act = provider.act
    base = str(vars(provider)["base"])
    monkeypatch.setattr(provider, "act", lambda request, called: act(request, called.replace(path, base)))
    world("apply", source, "--yes")
    id, _ = world.only_hook(provider)
    world.configure(CONFIG.replace(f"at: {before}}}", f"at: {after}}}"))
    reason = f"its place is not in the configuration any more; it is also registered as {source} {after}"
    assert f"{before}: forget: {reason}" in world("plan", source, code=3)
    assert f"{source} {before}: left alone, because it is also registered as {source} {after}" in world(
        "apply", source, "--yes"
    )
    assert world.only_hook(provider)[0] == id
    assert "nothing differs" in world("plan", source)
    world("remove", source, "--yes")
    assert not provider.hooks, "it is known that we made it"


@pytest.mark.parametrize("source", PROVIDERS)
def test_a_renamed_sources_hook_is_not_deleted_by_its_former_name(world: World, source: str) -> None:
    provider = world.provider(source)
    own = CONFIG
    if not KINDS[source].signs_url:
        own = CONFIG.replace(f"{{provider: {source},", f"{{provider: {source}, public_url: {URL}/{source},")
    world.configure(own)
    world.command("hooks", "apply", source, "--yes")
    renamed = own.replace(f"  {source}:", "  renamed:").replace(f"from: {source}", "from: renamed")
    world.configure(renamed)
    world.command("hooks", "apply", "renamed", "--yes")
    before = json.dumps(provider.hooks)
    output = world.command("hooks", "remove", source, "--yes")
    assert "left alone, because it is also registered as renamed" in output
    assert ": delete " not in output
    assert json.dumps(provider.hooks) == before
    assert "nothing" in world.command("hooks", "plan", "renamed", code=3 if KINDS[source].makes_secret else 0)
    world.command("hooks", "remove", "renamed", "--yes")
    assert not provider.hooks, "it is known that we made it"


def test_a_hook_is_not_begun_without_its_secret(world: World) -> None:
    world.env_file.write_text("", encoding="utf-8")
    world("apply", "github", "--yes", code=1)
    assert "its secret does not exist yet; set it first" in world.error
    assert "acme/shop: create: there is no hook" in world("plan", "github", code=3)


def test_a_source_without_its_hook_setting_is_not_forgotten(world: World) -> None:
    world("apply", "github", "--yes")
    world.configure(CONFIG.replace(", hook: {token: github-token, at: acme/shop}", ""))
    world.command("hooks", "plan", "--url", URL, code=3)
    assert "github acme/shop: still registered, and github has no `hook` any more" in world.error
    assert f"To remove: hookchain hooks remove github --url {URL}" in world.error
    world.command("hooks", "plan", "github", code=1)
    assert "hookchain sources github" in world.error
    _without_sources(world)
    world.command("hooks", "plan")
    assert world.error.startswith("no source has `hook`")
    assert "github acme/shop: still registered" in world.error
    world.command("hooks", "remove", "gitlab", code=2)
    world.command("hooks", "remove", "github", "--yes")
    assert not world.github.hooks
    world.command("hooks", "remove", "github", code=2)
    assert "there is no source 'github'" in world.error


@pytest.mark.parametrize("stored", [{}, {"provider": "of a later version", "hook": {"token": "t", "later": 1}}])
def test_a_hook_without_stored_settings_is_removed_once_the_file_has_them(world: World, stored: JsonObject) -> None:
    world("apply", "github", "--yes")
    world("apply", "stripe", "--yes")
    with closing(LocalDocuments(world.env_file.parent / "state" / FILE_NAME)) as documents:
        row = RUN(read_rows(documents))["github"]
        row.settings = stored
        RUN(row.unlock())
    _without_sources(world)
    lacks = "github acme/shop: cannot be removed, because neither the configuration nor the state has"
    world.command("hooks", "remove", "github", code=1)
    assert lacks in world.error
    world.command("hooks", "remove", "--yes", code=1)
    assert lacks in world.error
    assert (len(world.github.hooks), len(world.stripe.hooks)) == (1, 0)
    world.configure(CONFIG)
    world("remove", "github", "--yes")
    assert not world.github.hooks


@pytest.mark.parametrize("source", PROVIDERS)
def test_the_hooks_of_removed_sources_are_removed_without_them(world: World, source: str) -> None:
    world("apply", source, "--yes")
    _without_sources(world)
    output = world.command("hooks", "remove", "--yes")
    assert f"{source} " in output
    assert not world.provider(source).hooks
    assert "no source has `hook`" not in world.error


@pytest.mark.parametrize(
    ("source", "selection", "events"),
    [
        ("github", "types: ['issues.*']", "issues\n"),
        ("github", "types: [pull_request_review*]", "pull_request_review, pull_request_review_comment"),
        ("github", "types: ['*']", "all\n"),
        ("stripe", "types: [invoice.pa*]", "invoice.paid, invoice.payment_action_required"),
        ("stripe", "types: [x.*]", "all, except the few that Stripe sends only if"),
        ("stripe", "where: data", "all, except the few that Stripe sends only if"),
        ("telegram", "where: data", "all that Hookchain knows"),
        ("gitlab", "where: data", "all that projects and groups both have: Push Hook, Tag Push"),
    ],
)
def test_a_plan_has_the_event_types_that_the_enabled_routes_need(
    world: World, source: str, selection: str, events: str
) -> None:
    text = re.sub(rf"(from: {source},) types: \[[^]]*\]", rf"\1 {selection}", CONFIG)
    world.configure(text.replace("routes:\n", "routes:\n  - {name: later, enabled: false, from: all, to: people}\n"))
    assert f"event types: {events}" in world("plan", source, code=3)


def test_a_telegram_hook_for_all_event_types_selects_those_that_telegram_leaves_out(world: World) -> None:
    world.configure(CONFIG.replace(" types: [message, callback_query],", ""))
    world("apply", "telegram", "--yes")
    _, hook = world.only_hook(world.telegram)
    assert {*texts_at(hook, "allowed_updates")} == {*known_event_types()["telegram"].types}
    assert "nothing differs" in world("plan", "telegram")
    del hook["allowed_updates"]
    assert "it has some event types, and a route needs all" in world("plan", "telegram", code=3)


def test_a_source_with_a_type_of_its_own_gets_all_event_types(world: World) -> None:
    text = CONFIG.replace("secret: github-secret,", "secret: github-secret, type: data.action,")
    world.configure(text.replace("secret: linear-secret,", "secret: linear-secret, type: data.type,"))
    output = world("plan", "github", code=3)
    assert "all event types, because the source has a `type` of its own" in output
    assert "event types: all\n" in output
    world("plan", "linear", code=1)
    assert "Linear cannot select all event types, so the source must not have a `type` of its own" in world.error


def test_a_route_of_several_sources_selects_the_types_of_each(world: World) -> None:
    text = CONFIG.replace(
        "from: github, types: [push, issues.opened, issues.closed]",
        "from: [github, stripe], types: [push, invoice.sent]",
    )
    world.configure(text)
    assert "event types: push\n" in world("plan", "github", code=3)
    assert "event types: invoice.paid, invoice.sent\n" in world("plan", "stripe", code=3)


@pytest.mark.parametrize("name", [".github", "_drafts", "-x"])
def test_a_repository_is_named_as_github_allows(world: World, name: str) -> None:
    world.github.base = f"/repos/acme/{name}"
    world.configure(CONFIG.replace("acme/shop", f"acme/{name}", 1))
    world("apply", "github", "--yes")
    assert len(world.github.hooks) == 1


def test_a_place_that_is_named_twice_has_one_hook(world: World) -> None:
    world.configure(CONFIG.replace("at: acme/shop}", "at: [acme/shop, acme/shop]}", 1))
    world("apply", "github", "--yes")
    assert len(world.github.hooks) == 1


# Every provider


@pytest.mark.parametrize("source", PROVIDERS)
def test_at_each_provider_a_hook_is_made_repaired_and_removed(world: World, source: str) -> None:
    provider = world.provider(source)
    assert "create: there is no hook" in world("plan", source, code=3)
    world("apply", source, "--yes")
    id, hook = world.only_hook(provider)
    before = {**hook}
    assert "nothing differs" in world("plan", source)
    del provider.hooks[id]
    gone = "is gone: somebody deleted it, or the token belongs to another account"
    assert gone in world("plan", source, code=3)
    for action, option in (("apply", f"--replace {URL}/{source}"), ("remove", "--forget")):
        world(action, source, "--yes", code=1)
        assert option in world.error
    assert not provider.hooks
    world("apply", source, "--yes", "--replace", f"{URL}/{source}")
    _, again = world.only_hook(provider)
    changing = ("id", "secret", "signature_key", "url", "ping_url", "test_url", "deliveries_url", *CREATION_TIMES)
    assert {**again, **dict.fromkeys(changing)} == {**before, **dict.fromkeys(changing)}
    world("remove", source, "--yes")
    assert not provider.hooks


@pytest.mark.parametrize("source", PROVIDERS)
def test_a_provider_that_you_host_is_called_at_its_own_url(world: World, source: str) -> None:
    provider = world.provider(source)
    api = KINDS[source].api_url.replace(provider.host, "https://own.example.com")
    provider.host = "https://own.example.com"
    own = CONFIG.replace(f"token: {source}-token", f"token: {source}-token, api: '{api}'")
    world.configure(own)
    world("apply", source, "--yes")
    assert "nothing differs" in world("plan", source)


@pytest.mark.parametrize("source", PROVIDERS)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_at_each_provider_a_lost_answer_leads_to_no_second_hook(world: World, source: str, nth: int) -> None:
    provider = world.provider(source)
    changes: list[str] = []

    def lose(method: str) -> None:
        changes.extend([method] * (method != "GET"))
        provider.loses = [method] if method != "GET" and len(changes) == nth else []

    provider.on_request = lose
    assert world.apply_code(source) in (0, 1)
    provider.on_request = lambda _: None
    provider.loses = []
    consent = ("--replace", f"{URL}/{source}") if source == "airtable" else ()
    world("apply", source, "--yes", *consent)
    _, hook = world.only_hook(provider)
    if source in SIGNING:
        assert world.values(f"{source.upper()}_SECRET")[0] in json.dumps(hook)
    assert "nothing differs" in world("plan", source)
    world("remove", source, "--yes")
    assert not provider.hooks, "it is known that we made it"


@pytest.mark.parametrize("source", WITH_IDS)  # whose answer is not read
def test_a_creation_without_readable_answer_is_done(world: World, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    provider = world.provider(source)
    right = provider._answer
    with monkeypatch.context() as patched:
        patched.setattr(provider, "_answer", lambda status, body: right(status, {} if provider.hooks else body))
        world("apply", source, "--yes", code=1)
    assert (
        f"Run `hookchain hooks apply {source} --url {URL}` again" in world.error
        or "form that is not known" in world.error
    )
    if source == "airtable":  # which does not say when a hook was created
        world("apply", source, "--yes", code=1)
        assert f"--replace {URL}/{source}" in world.error, "a person may have made it"
    world("apply", source, "--yes", "--replace", f"{URL}/{source}")
    assert "nothing differs" in world("plan", source)
    world("remove", source, "--yes")
    assert not provider.hooks, "it is known that we made it"


def test_a_request_that_linear_has_executed_although_it_answers_with_an_error_is_not_taken_for_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = world.linear._answer
    executed: JsonObject = {"data": None, "errors": [{"message": "timeout"}]}

    def executes(command_line: list[str]) -> None:
        before = copy.deepcopy(world.linear.hooks)
        with monkeypatch.context() as patched:
            patched.setattr(
                world.linear,
                "_answer",
                lambda status, body: right(status, body if world.linear.hooks == before else executed),
            )
            assert exit_code(*command_line) == 1

    executes(["hooks", "apply", "linear", "--url", URL, "--yes"])
    world("apply", "linear", "--yes")
    executes(["secrets", "rotate", "linear-secret", "--random"])
    world.command("secrets", "set", "linear-secret", "--random")
    _, hook = world.only_hook(world.linear)
    assert hook["secret"] in world.values("LINEAR_SECRET")
    world("remove", "linear", "--yes")
    assert not world.linear.hooks


@pytest.mark.parametrize("source", WITH_IDS)
@pytest.mark.parametrize("is_applied", [False, True])
def test_a_hook_that_a_person_made_after_a_failure_is_not_removed(world: World, source: str, is_applied: bool) -> None:
    provider = world.provider(source)
    world("apply", source, "--yes")
    _, hook = world.only_hook(provider)
    before: JsonObject = {name: "2026-11-30T00:00:00Z" for name in CREATION_TIMES if name in hook}
    theirs: JsonObject = {**hook, **before, "id": 9001}
    world("remove", source, "--yes")
    fault = Fault(provider, "failed", 4)
    world("apply", source, "--yes", code=1)
    assert fault.end()
    provider.hooks["9001"] = theirs
    if is_applied:
        uncertain = "it is not certain that Hookchain made the hook 9001"
        assert uncertain in world("apply", source, "--yes", code=1 if KINDS[source].makes_secret else 0)
    why = (
        "Hookchain did not make it"
        if is_applied and not KINDS[source].makes_secret
        else "it is not certain that Hookchain"
    )
    output = world("remove", source, "--yes", code=1)
    assert f"left alone, because {why}" in output
    assert f"{URL}/{source} (9001)" in output
    assert [*provider.hooks] == ["9001"]


@pytest.mark.parametrize("source", WITH_IDS)
def test_a_new_hook_that_is_listed_late_stays_alone(world: World, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    provider = world.provider(source)
    act = provider.act

    def hide_hooks(request: Outgoing, path: str) -> tuple[int, Json]:
        if request.method != "GET" and b"webhooks(" not in request.body:
            return act(request, path)
        with monkeypatch.context() as hidden:
            hidden.setattr(provider, "hooks", {})
            return act(request, path)

    with monkeypatch.context() as patched:
        patched.setattr(provider, "act", hide_hooks)
        patched.setattr(placed_hook, "LIST_SECONDS", 60.0)
        fault = Fault(provider, "lost", 4)
        world("apply", source, "--yes", code=1)
        assert fault.end()
        for action in ("apply", "remove"):
            world(action, source, "--yes", code=1)
            assert "does not list it yet. Run the command again in 60 s" in world.error
    world("apply", source, "--yes", "--replace", f"{URL}/{source}")
    assert len(provider.hooks) == 1


@pytest.mark.parametrize(
    ("source", "is_rotation"), [*((each, False) for each in WITH_IDS), *((each, True) for each in MAKING_SECRETS)]
)
def test_a_hook_that_is_listed_late_is_not_taken_for_gone(
    world: World, monkeypatch: pytest.MonkeyPatch, source: str, is_rotation: bool
) -> None:
    provider = world.provider(source)
    world("apply", source, "--yes")
    if is_rotation:  # whose second hook is listed late
        with monkeypatch.context() as patched:
            patched.setattr(DotenvBackend, "write", _fail_to_write)
            world.command("secrets", "rotate", f"{source}-secret", "--random", code=1)
    monkeypatch.setattr(placed_hook, "LIST_SECONDS", 60.0)
    *_, newest = provider.hooks
    unlisted = provider.hooks.pop(newest)
    replacing = [] if is_rotation else [["apply", source, "--replace", f"{URL}/{source}"]]
    for arguments in (*replacing, ["remove", source], ["remove", source, "--forget"]):
        world(*arguments, "--yes", code=1)
        assert "does not list it yet. Run the command again in" in world.error
    provider.hooks[newest] = unlisted
    assert ("nothing differs" in world("plan", source, code=3 if is_rotation else 0)) is not is_rotation
    world("remove", source, "--yes")
    assert not provider.hooks


def test_two_new_hooks_after_a_lost_answer_are_both_named_and_left_alone(world: World) -> None:
    world.gitlab.loses = ["POST"]
    world("apply", "gitlab", "--yes", code=1)
    id, hook = world.only_hook(world.gitlab)
    world.gitlab.hooks["102"] = {**hook, "id": 102}
    output = world("remove", "gitlab", "--yes", code=1)
    for each in (id, "102"):
        why = "it is not certain that Hookchain made it"
        assert f"gitlab projects/acme/shop: left alone, because {why}: {URL}/gitlab ({each})" in output
    assert len(world.gitlab.hooks) == 2


@pytest.mark.parametrize("source", ["github", "gitlab", "linear", "stripe", "telegram"])
def test_a_change_that_is_not_shown_yet_is_repeated(world: World, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    world("apply", source, "--yes")
    provider = world.provider(source)
    act = provider.act

    def act_without_effect(request: Outgoing, path: str) -> tuple[int, Json]:
        before = copy.deepcopy(provider.hooks)
        answered = act(request, path)
        provider.hooks = before
        return answered

    with monkeypatch.context() as patched:
        patched.setattr(provider, "act", act_without_effect)
        world("apply", source, "--yes", "--url", MOVED, code=1)
        assert f"does not show the URL {MOVED}/{source} yet" in world.error
    assert "our former URL" in world("plan", source, "--url", MOVED, code=3)
    world("remove", source, "--yes")
    assert not provider.hooks


def test_a_hook_of_one_team_leads_to_no_second_one(world: World) -> None:
    world("apply", "linear", "--yes")
    id, hook = world.only_hook(world.linear)
    hook["allPublicTeams"] = False
    for action in ("plan", "apply"):
        world(action, "linear", code=1)
        assert f"linear: the hook {id} gets the events of one team only. Delete it at Linear, then" in world.error
    world.command("secrets", "rotate", "linear-secret", "--random", code=1)
    assert world.only_hook(world.linear)[0] == id
    world("remove", "linear", "--yes")
    assert not world.linear.hooks


def test_a_slot_that_is_taken_after_a_lost_answer_is_not_overwritten(world: World) -> None:
    world.telegram.loses = ["POST"]
    world("apply", "telegram", "--yes", code=1)
    world.telegram.hooks["webhook"]["url"] = FOREIGN
    world("apply", "telegram", "--yes", code=1)
    assert f"--replace {FOREIGN}" in world.error
    assert world.telegram.hooks["webhook"]["url"] == FOREIGN


def in_thread(run: Callable[[], object]) -> None:
    """Run a command of another operator, while the event loop of the first one stands still."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


def run_meanwhile(provider: HookProvider, nth: int, run: Callable[[], object]) -> None:
    """Let another operator run a command at the nth request to the provider."""
    left = [run]

    def run_once(_: str) -> None:
        if len(provider.calls) == nth and left:
            in_thread(left.pop())

    provider.on_request = run_once


def test_an_overwritten_hook_is_printed_as_it_was_after_the_question(world: World) -> None:
    theirs: JsonObject = {"url": FOREIGN, "allowed_updates": ["message"], "secret_token": "theirs"}
    world.telegram.hooks["webhook"] = theirs
    run_meanwhile(world.telegram, 2, lambda: theirs.update(allowed_updates=["poll"]))
    output = world("apply", "telegram", "--yes", "--replace", FOREIGN)
    assert f"to restore the overwritten hook: URL {FOREIGN}; event types: poll." in output


def test_a_command_does_not_change_what_another_one_registered_meanwhile(world: World) -> None:
    before = "{provider: stripe, secret: stripe-secret, hook: {token: stripe-token}}"
    after = f"{{provider: square, secret: new-secret, public_url: {URL}/stripe, hook: {{token: square-token}}}}"
    changed = CONFIG.replace(before, after).replace("stripe, types: [invoice.paid]", "stripe, types: [payment.created]")

    def apply_former_configuration() -> None:
        world.configure(CONFIG)
        assert world.apply_code("stripe") == 0
        world.configure(changed)

    world.configure(changed)
    run_meanwhile(world.square, 1, apply_former_configuration)
    world("apply", "stripe", "--yes", code=1)
    assert "another command has changed the hooks of stripe; run this one again" in world.error
    world("apply", "stripe", "--yes", code=1)
    assert "the hook of its former settings is still registered at stripe" in world.error
    assert not world.square.hooks
    world("remove", "stripe", "--yes")
    assert not world.stripe.hooks


@pytest.mark.parametrize("source", [each for each in WITH_IDS if each != "github"])
def test_two_operators_without_a_common_store_who_both_create_a_hook_leave_one(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    provider = world.provider(source)
    state = tmp_path / "other"
    state.mkdir()

    def apply() -> None:
        with monkeypatch.context() as patched:
            patched.setenv("HOOKCHAIN_STATE", str(state))
            assert world.apply_code(source) == 0

    run_meanwhile(provider, len(provider.calls) + 4, apply)
    world("apply", source, "--yes", code=1)
    assert "somebody else has created the hook" in world.error
    _, hook = world.only_hook(provider)
    assert world.values(f"{source.upper()}_SECRET")[0] in json.dumps(hook)


@pytest.mark.parametrize("source", [each for each in PROVIDERS if KINDS[each].can_delete])
def test_a_removal_whose_answer_is_lost_is_done(world: World, source: str) -> None:
    world("apply", source, "--yes")
    fault = Fault(world.provider(source), "lost", 2)
    assert ": deleted" in world("remove", source, "--yes")
    assert fault.end()
    assert not world.provider(source).hooks
    assert "no hook is registered" in world("remove", source, "--yes")


_EXPIRING: Final[JsonObject] = {"isHookEnabled": True, "expirationTime": "2126-12-01T00:00:00.000Z"}
_BY_HAND: Final[dict[str, JsonObject]] = {
    "airtable": {"notificationUrl": f"{URL}/airtable", "areNotificationsEnabled": True, **_EXPIRING},
    "square": {"notification_url": f"{URL}/square", "enabled": True, "event_types": ["payment.created"]},
    "stripe": {"url": f"{URL}/stripe", "status": "enabled", "enabled_events": ["invoice.paid"]},
}


@pytest.mark.parametrize("source", _BY_HAND)
@pytest.mark.parametrize("is_rotation", [False, True])
def test_a_hook_that_a_person_made_after_a_creation_failed_is_replaced_only_with_consent(
    world: World, source: str, is_rotation: bool
) -> None:
    provider = world.provider(source)
    rotate = ("secrets", "rotate", f"{source}-secret", "--random")
    if is_rotation:
        world("apply", source, "--yes")
    provider.fails = {"POST": 500}
    exit_code(*(rotate if is_rotation else ("hooks", "apply", source, "--url", URL, "--yes")))
    provider.hooks["theirs"] = {"id": "theirs", **_BY_HAND[source]}
    if is_rotation:
        world.command(*rotate, code=1)
    world("apply", source, "--yes", code=1)
    assert f"hookchain hooks apply {source} --url {URL} --replace {URL}/{source}" in world.error
    assert provider.hooks["theirs"] == {"id": "theirs", **_BY_HAND[source]}
    world("apply", source, "--yes", "--replace", f"{URL}/{source}")
    id, _ = world.only_hook(provider)
    assert id != "theirs"


@pytest.mark.parametrize("source", [each for each in PROVIDERS if not KINDS[each].omits_empty_list])
def test_a_list_in_an_unknown_form_is_no_empty_one(world: World, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    provider = world.provider(source)
    right = provider._answer
    monkeypatch.setattr(provider, "_answer", lambda status, _: right(status, {"ok": True, "result": [], "data": {}}))
    world("plan", source, code=1)
    assert "answered in a form that is not known" in world.error


@pytest.mark.parametrize(
    ("source", "change", "reason"),
    [
        ("github", {"active": False}, "it is not active"),
        ("github", {"events": ["push"]}, "event types are missing: issues"),
        ("github", {"events": ["issues", "push", "star"]}, "event types that no route needs: star"),
        ("github", {"events": ["*"]}, "it has all event types, and the routes need some"),
        ("github", {"config": {"url": OWN, "content_type": "json"}}, "it has no secret"),
        (
            "github",
            {"config": {"url": OWN, "secret": "x", "insecure_ssl": "1"}},
            "it does not verify the certificate of the URL",
        ),
        ("github", {"config": {"url": OWN, "secret": "x", "content_type": "form"}}, "its content type is not JSON"),
        ("gitlab", {"push_events": False}, "event types are missing: push_events"),
        ("gitlab", {"note_events": True}, "event types that no route needs: note_events"),
        ("gitlab", {"enable_ssl_verification": False}, "it does not verify the certificate of the URL"),
        ("telegram", {"allowed_updates": ["message"]}, "event types are missing: callback_query"),
        ("twilio", {"sms_method": "GET"}, "its method is GET"),
        ("airtable", {"areNotificationsEnabled": False}, "its notifications are disabled"),
        ("linear", {"enabled": False}, "it is not enabled"),
        (
            "linear",
            {"resourceTypes": ["Issue", "Cycle"]},
            "event types are missing: Comment; event types that",
        ),
        ("square", {"enabled": False}, "it is disabled"),
        ("square", {"event_types": []}, "event types are missing: payment.created"),
        ("stripe", {"status": "disabled"}, "it is disabled"),
        ("stripe", {"enabled_events": ["*"]}, "it has all event types, and the routes need some"),
    ],
)
def test_at_each_provider_what_somebody_changed_is_shown_and_repaired(
    world: World, source: str, change: JsonObject, reason: str
) -> None:
    world("apply", source, "--yes")
    id, hook = world.only_hook(world.provider(source))
    before = {**hook}
    hook |= change
    assert f"change: {reason}" in world("plan", source, code=3)
    world("apply", source, "--yes")
    assert world.only_hook(world.provider(source)) == (id, before)


def test_a_hook_that_expires_is_extended_days_before(world: World) -> None:
    world.airtable.ends_at = rfc3339(time.time() + 7 * 86_400)
    world("apply", "airtable", "--yes")
    _, hook = world.only_hook(world.airtable)
    assert "nothing differs" in world("plan", "airtable")
    soon = hook["expirationTime"] = rfc3339(time.time() + 4 * 86_400)
    assert f"extend: it expires at {soon}" in world("plan", "airtable", code=3)
    later, world.airtable.ends_at = world.airtable.ends_at, soon
    world("apply", "airtable", "--yes", code=1)
    assert "Airtable answered, but did not extend the hook" in world.error
    world.airtable.ends_at = later
    world("apply", "airtable", "--yes")
    assert hook["expirationTime"] == world.airtable.ends_at
    assert remembered_expiry(world) == unix_seconds(world.airtable.ends_at)


def test_a_hook_that_was_deleted_because_it_expired_is_made_again(world: World) -> None:
    world.airtable.ends_at = rfc3339(time.time() - 1.0)
    world("apply", "airtable", "--yes")
    world.airtable.hooks.clear()
    assert "create: the hook has expired" in world("plan", "airtable", code=3)
    world("apply", "airtable", "--yes")
    assert len(world.airtable.hooks) == 1


def test_a_creation_that_is_finished_days_later_has_the_expiry_of_its_hook(world: World) -> None:
    """Meanwhile, `renew` has stored the expiry of the hook that is being replaced."""
    world("apply", "airtable", "--yes")
    fault = Fault(world.airtable, "interrupted", 8)
    exit_code("secrets", "rotate", "airtable-secret", "--random")
    assert fault.end()
    _, new = world.airtable.hooks.values()
    new["expirationTime"] = "2126-11-01T00:00:00.000Z"
    world("apply", "airtable", "--yes")
    assert "nothing differs" in world("plan", "airtable")
    assert remembered_expiry(world) == unix_seconds("2126-11-01T00:00:00Z")


def test_an_expiry_that_somebody_else_changed_is_remembered(world: World) -> None:
    world("apply", "airtable", "--yes")
    _, hook = world.only_hook(world.airtable)
    hook["expirationTime"] = rfc3339(time.time() + 6 * 86_400)
    assert "nothing differs" in world("apply", "airtable", "--yes")
    assert remembered_expiry(world) == unix_seconds(str(hook["expirationTime"]))


def remembered_expiry(world: World) -> float:
    documents = LocalDocuments(world.env_file.parent / "state" / FILE_NAME)
    rows = RUN(read_rows(documents))
    documents.close()
    [row] = rows["airtable"].hooks.values()
    return row.expires_at


def test_the_plan_and_the_list_of_secrets_name_the_token_that_renew_deploys(world: World) -> None:
    assert "renews it" not in world("plan", "airtable", code=3)
    text = CONFIG.replace("at: appAbCdEfGhIjKlMn", "at: appAbCdEfGhIjKlMn, renew: true")
    world.configure(text)
    output = world("plan", "airtable", code=3)
    rights = "a personal access token with the scope webhook:manage"
    assert f"the function notify renews it with the token airtable-token, which is deployed: {rights}" in output
    [line] = [line for line in world.command("secrets", "list").split("\n") if line.startswith("airtable-token")]
    assert line.split()[1:5] == ["notify", "hook", "of", "airtable"]


def test_a_hook_that_cannot_be_changed_is_replaced(world: World) -> None:
    world("apply", "airtable", "--yes")
    first, _ = world.only_hook(world.airtable)
    output = world("plan", "airtable", "--url", MOVED, code=3)
    assert "create another and delete this one: its URL is" in output
    world("apply", "airtable", "--yes", "--url", MOVED)
    second, hook = world.only_hook(world.airtable)
    assert second != first
    assert hook["notificationUrl"] == f"{MOVED}/airtable"
    assert world.values("AIRTABLE_SECRET")[0] == hook["secret"]


@pytest.mark.parametrize("is_recovered", [False, True])
def test_a_rotation_says_that_events_at_the_former_hook_are_not_sent_again(world: World, is_recovered: bool) -> None:
    token = "hook: {token: stripe-token}"
    if is_recovered:
        world.configure(CONFIG.replace(token, f"{token}, recover: {{secret: read-token}}"))
    assert "may not send again" not in world("apply", "stripe", "--yes")
    output = world.command("secrets", "rotate", "stripe-secret", code=0)
    assert ("Stripe may not send again what it could not deliver to the former hook" in output) is not is_recovered


def test_a_hook_whose_changes_are_recovered_is_deleted_after_a_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar, "RECOVERY_SECONDS", 0.3)
    place = "at: appAbCdEfGhIjKlMn"
    world.configure(CONFIG.replace(f"{place}}}", f"{place}}}, recover: {{secret: read-token, {place}}}"))
    world("apply", "airtable", "--yes")
    requested_at: dict[str, float] = {}
    world.airtable.on_request = lambda method: requested_at.update({method: time.time()})
    world.command("secrets", "rotate", "airtable-secret", code=0)
    assert "until the sweep has read the changes of the replaced hook" in world.error
    world.only_hook(world.airtable)
    assert requested_at["DELETE"] - requested_at["POST"] > 0.2


def test_gitlab_says_which_event_type_its_api_cannot_select(world: World) -> None:
    world.configure(CONFIG.replace("[Push Hook, ", "[Emoji Hook, "))
    world("plan", "gitlab", code=1)
    assert "GitLab's API cannot select the event type 'Emoji Hook'" in world.error
    rest = "  - {name: others, from: gitlab, else: true, to: people}\n  - {name: messages"
    beside = CONFIG.replace("[Push Hook, ", "[Emoji Hook, ").replace("  - {name: messages", rest)
    world.configure(beside)
    world("plan", "gitlab", code=1)
    assert "GitLab's API cannot select the event type 'Emoji Hook'" in world.error


def test_what_gitlab_disabled_is_noted(world: World) -> None:
    world("apply", "gitlab", "--yes")
    world.only_hook(world.gitlab)[1].update(alert_status="temporarily_disabled", disabled_until="2026-12-02T00:00:00Z")
    assert "GitLab reports temporarily_disabled until 2026-12-02T00:00:00Z" in world("plan", "gitlab")
    world.only_hook(world.gitlab)[1].update(alert_status="disabled", disabled_until=None)
    assert "to do by hand: send a test event" in world("plan", "gitlab", code=3)


@pytest.mark.parametrize(
    ("source", "theirs", "url", "settings", "ours"),
    [
        (
            "telegram",
            {"url": FOREIGN, "allowed_updates": ["message", "x\x1b[31m"], "secret_token": "theirs"},
            FOREIGN,
            "event types: message, x [31m",
            {"url": f"{URL}/telegram"},
        ),
        (
            "twilio",
            {"sms_url": "", "sms_method": "GET", "sms_application_sid": f"AP{'1' * 32}"},
            f"application:AP{'1' * 32}",
            "event types: all; its method is GET",
            {"sms_url": f"{URL}/twilio", "sms_method": "POST", "sms_application_sid": ""},
        ),
    ],
)
def test_the_only_hook_of_a_place_is_overwritten_only_by_its_url(
    world: World,
    answer: Callable[[str], None],
    source: str,
    theirs: JsonObject,
    url: str,
    settings: str,
    ours: JsonObject,
) -> None:
    hooks = world.provider(source).hooks
    id = {"telegram": "webhook", "twilio": "messages"}[source]
    hooks[id] = {**theirs}
    answer("y")
    assert f"it belongs to {url}" in world("plan", source, code=3)
    for more in ([], ["--yes"], ["--yes", "--replace", OWN]):
        world("apply", source, *more, code=1)
        assert hooks == {id: theirs}
    output = world("apply", source, "--yes", "--replace", url)
    assert f"to restore the overwritten hook: URL {url}; {settings}. " in output
    assert {**hooks[id], **ours} == hooks[id]
    hooks[id] = {**theirs}
    world("remove", source, "--yes")
    assert hooks == {id: theirs}


def test_the_secret_of_an_account_is_none_of_the_hooks(world: World) -> None:
    world("apply", "twilio", "--yes")
    world.command("secrets", "set", "twilio-secret", "--random")
    assert "nothing differs" in world("plan", "twilio")


def test_the_token_of_another_bot_changes_and_forgets_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.telegram.is_authorized = lambda request: True  # type: ignore[method-assign]
    world("apply", "telegram", "--yes")  # as earlier versions did, without the bot's id
    monkeypatch.setenv("TELEGRAM_TOKEN", f"123:{TOKEN}")
    world("apply", "telegram", "--yes")
    monkeypatch.setenv("TELEGRAM_TOKEN", f"456:{TOKEN}")
    for url in (FOREIGN, f"{URL}/telegram", ""):
        world.telegram.hooks["webhook"]["url"] = url
        hooks = json.dumps(world.telegram.hooks)
        for action, more in (("plan", ()), ("apply", ("--yes", "--replace", FOREIGN)), ("remove", ("--yes",))):
            world(action, "telegram", *more, code=1)
            assert "registered at the bot 123, and the token belongs to the bot 456" in world.error
            assert f"hookchain hooks remove telegram --url {URL} --forget" in world.error
        world.command("secrets", "rotate", "telegram-secret", "--random", code=1)
        assert json.dumps(world.telegram.hooks) == hooks
    world.command("hooks", "remove", "telegram", "--forget", "--yes")
    world("apply", "telegram", "--yes")
    assert "nothing differs" in world("plan", "telegram")


def test_a_renamed_source_with_another_bot_keeps_the_hooks_of_both_bots_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "provider: telegram, secret: telegram-secret"
    text = CONFIG.replace(settings, f"{settings}, public_url: {URL}/bot")
    renamed = text.replace("  telegram: {", "  second: {").replace("token: telegram-token", "token: second-token")
    bots = {"111": Telegram(), "222": Telegram()}
    for id, bot in bots.items():
        monkeypatch.setattr(bot, "is_authorized", lambda request, id=id: f"/bot{id}:" in request.url)

    async def fetch(request: Outgoing) -> Fetched:
        return await next(bot for id, bot in bots.items() if f"/bot{id}:" in request.url).fetch(request)

    monkeypatch.setattr(world, "fetch", fetch)
    monkeypatch.setenv("TELEGRAM_TOKEN", f"111:{TOKEN}")
    monkeypatch.setenv("SECOND_TOKEN", f"222:{TOKEN}")
    world.configure(text)
    world.command("hooks", "apply", "telegram", "--yes")
    world.configure(renamed.replace("from: telegram", "from: second"))
    world.command("hooks", "apply", "second", "--yes")
    assert "deleted" in world.command("hooks", "remove", "telegram", "--yes")
    assert [len(bot.hooks) for bot in bots.values()] == [0, 1]


def test_a_source_whose_url_is_signed_needs_it_in_the_configuration(world: World) -> None:
    world("plan", "square", "--url", MOVED, code=1)
    assert f"`public_url: {MOVED}/square` must be in the source" in world.error


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ("provider: slack, secret: s, hook: {token: t}", "Hookchain registers no hooks at Slack"),
        ("provider: github, secret: s, hook: {token: t}", "at is missing"),
        ("provider: github, secret: s, hook: {token: t, at: a/b/c}", "must be such as acme/shop or acme; got 'a/b/c'"),
        ("provider: github, secret: s, hook: {token: t, at: a/..}", "at: must be such as acme/shop or acme"),
        ("provider: github, secret: s, hook: {token: t, at: [apps/1, a/b]}", "such as apps/Iv23liAbCdEf; got 'a/b'"),
        ("provider: stripe, secret: s, hook: {token: t, at: acme}", "at: Stripe has one place only; got 'acme'"),
        ("provider: stripe, secret: s, hook: {token: t, renew: true}", "the webhooks of Stripe do not expire. Remove"),
        ("provider: stripe, secret: s, hook: {token: s}", "token 's' is also the source's `secret`"),
        ("provider: github, auth: none, hook: {token: t, at: a/b}", "needs the provider's own auth scheme"),
        (
            "provider: gitlab, secret: s, variant: signing_token, hook: {token: t, at: groups/a}",
            "uses the variant",
        ),
        ("auth: none, hook: {token: t}", "`hook` needs `provider`"),
    ],
)
def test_a_hook_that_cannot_be_registered_is_a_fault_of_the_file(world: World, settings: str, rule: str) -> None:
    world.configure(f"sources: {{a: {{{settings}}}}}\n")
    assert rule in world.command("lint", code=1) + world.error


def test_a_registered_hook_that_no_route_needs_is_named_with_the_command_that_removes_it(world: World) -> None:
    world("apply", "github", "--yes")
    for types in ("from: [github, gitlab], types: [Push Hook]", "from: other"):
        world.configure(CONFIG.replace("from: github, types: [push, issues.opened, issues.closed]", types))
        remove = "so no hook is needed. It is still registered. To remove it: hookchain hooks remove github"
        world("plan", "github", code=1)
        assert remove in world.error
        world.command("secrets", "rotate", "github-secret", "--random", code=1)
        assert remove in world.error
    world.command("hooks", "remove", "github", "--yes")
    assert not world.github.hooks


@pytest.mark.parametrize("spelled", [str, quote, lambda text: b64encode(text.encode()).decode(), str.upper])
@pytest.mark.parametrize("value", [SECRET, TOKEN])
def test_no_answer_of_a_provider_shows_a_secret(
    world: World, monkeypatch: pytest.MonkeyPatch, spelled: Callable[[str], str], value: str
) -> None:
    message = f"no: {spelled(value)}"
    with monkeypatch.context() as patched:
        patched.setattr(world.github, "_post", lambda id, body: (422, {"message": message}))
        world("apply", "github", "--yes", code=1)
    assert "answered 422 to `create`: no: ***" in world.error
    world("apply", "github", "--yes")
    _, hook = world.only_hook(world.github)
    hook["last_response"] = {"code": 500, "status": "x", "message": message}
    assert "its last delivery failed: 500 no: ***" in world("plan", "github")
    monkeypatch.setattr(world.github, "_delete", lambda id, body: (400, {"message": message}))
    world("remove", "github", "--yes", code=1)
    assert "answered 400 to `delete`: no: ***" in world.error


def test_a_secret_that_a_provider_made_is_masked_before_it_is_stored(world: World) -> None:
    def fail(method: str) -> None:
        if world.stripe.hooks:
            world.stripe.fails = {"POST": 400}
            world.stripe.fault = str(world.only_hook(world.stripe)[1]["secret"])

    world.stripe.on_request = fail
    world("apply", "stripe", "--yes", code=1)
    assert world.error.rstrip().endswith("answered 400 to `change`: no, ***")


@pytest.mark.parametrize(
    ("old", "new", "use"),
    [
        ("secret: square-secret", "secret: stripe-secret", "source square"),
        ("other: {auth: none}", "other: {provider: stripe, secret: stripe-secret}", "source other"),
        (
            "{email: {to: ann@example.com}}",
            "{webhook: {url: https://crm.example.com, secret: stripe-secret}}",
            "destination people",
        ),
    ],
)
def test_nothing_else_can_have_a_secret_that_the_provider_makes(world: World, old: str, new: str, use: str) -> None:
    world.configure(CONFIG.replace(old, new))
    world("apply", "stripe", "--yes", code=1)
    assert f"Stripe makes the secret of stripe, which is also that of {use}; name another `secret`" in world.error
    assert not world.stripe.calls
    world.configure(CONFIG)
    world("apply", "stripe", "--yes")
    world.configure(CONFIG.replace(old, new))
    world("remove", "stripe", "--yes")
    assert not world.stripe.hooks


@pytest.mark.parametrize("is_by_hand", [False, True])
def test_a_rotation_names_what_else_has_the_secret_before_a_value_is_dropped(world: World, is_by_hand: bool) -> None:
    by_hand = CONFIG.replace("other: {auth: none}", "second: {provider: github, secret: github-secret}")
    by_hand = by_hand.replace("from: other", "from: second")
    world.configure(by_hand if is_by_hand else TWO_SOURCES)
    world("apply", "github", "--yes")
    output = world.command("secrets", "rotate", "github-secret", "--random")
    assert "github-secret is also the secret of source second, without a registered hook" in world.error
    assert "Once source second has the new value too, and none of them is retried" in output


# Rotation


@pytest.mark.parametrize("source", SIGNING)
def test_a_rotation_gives_both_sides_the_new_value(world: World, source: str) -> None:
    world("apply", source, "--yes")
    [old] = world.values(f"{source.upper()}_SECRET")
    output = world.command("secrets", "rotate", f"{source}-secret", "--random")
    assert "the provider signs with the new value" in output
    new, kept = world.values(f"{source.upper()}_SECRET")
    assert kept == old != new
    assert new not in output + world.error
    assert new in json.dumps([*world.provider(source).hooks.values()])
    assert old not in json.dumps([*world.provider(source).hooks.values()])
    assert len(world.provider(source).hooks) == 1
    assert "nothing differs" in world("plan", source)
    world.command("secrets", "rotate", f"{source}-secret", "--drop-old")
    assert world.values(f"{source.upper()}_SECRET") == [new]


TWO_SOURCES: Final = CONFIG.replace(
    "  stripe: {",
    "  second: {provider: github, secret: github-secret, hook: {token: github-token, at: acme/two}}\n  stripe: {",
).replace("  - {name: money", "  - {name: two, from: second, types: [push], to: people}\n  - {name: money")


@pytest.fixture
def second(world: World) -> GitHub:
    """Return the repository of a second source with the same secret."""
    second = world.add_github("/repos/acme/two")
    world.configure(TWO_SOURCES)
    world("apply", "github", "--yes")
    world("apply", "second", "--yes")
    return second


def test_a_rotation_names_another_hook_with_its_url_before_a_value_is_dropped(world: World) -> None:
    world("apply", "stripe", "--yes")
    id, hook = world.only_hook(world.stripe)
    theirs: JsonObject = {**hook, "id": "theirs", "application": "ca_1"}
    world.stripe.hooks = {id: hook, "theirs": {**theirs}}
    output = world.command("secrets", "rotate", "stripe-secret", "--random")
    assert "stripe: note: the hook theirs has the same URL" in output
    assert output.index("keeps its secret") < output.index("--drop-old")
    assert world.stripe.hooks["theirs"] == theirs


def test_a_rotation_that_cannot_begin_for_one_changes_none(world: World, second: GitHub) -> None:
    second.fails = {"GET": 503}
    world.command("secrets", "rotate", "github-secret", "--random", code=1)
    assert "answered 503 to `list`: no, ***. The secret was not changed" in world.error
    assert world.values("GITHUB_SECRET") == [SECRET]


@pytest.mark.parametrize("failing", ["github", "second"])
def test_a_rotation_of_a_shared_secret_ends_before_another_begins(world: World, second: GitHub, failing: str) -> None:
    rotate = ("secrets", "rotate", "github-secret", "--random")
    rotated = {"github": "none. Not certain: github, second", "second": "github. Not certain: second"}[failing]
    for _ in range(2):
        (second if failing == "second" else world.github).fails = {"PATCH": 403}
        world.command(*rotate, code=1)
        assert f"With the new value: {rotated}, whose value stays accepted" in world.error
        assert "nothing was changed" not in world.error
        assert "To continue: hookchain secrets rotate github-secret" in world.error
        new, former = world.values("GITHUB_SECRET")
        assert former == SECRET == second.secret("900")
    assert "continuing the rotation" in world.command(*rotate)
    id, _ = world.only_hook(world.github)
    assert world.github.secret(id) == second.secret("900") == new == world.values("GITHUB_SECRET")[0]


def test_a_second_rotation_of_a_shared_secret_stores_nothing_while_one_runs(world: World, second: GitHub) -> None:
    rotate = ("secrets", "rotate", "github-secret", "--random")
    seen: list[str] = []

    def rotate_meanwhile(method: str) -> None:
        if method == "PATCH" and not seen:
            seen.append(method)
            in_thread(lambda: exit_code(*rotate))
            assert second.secret("900") in world.values("GITHUB_SECRET")

    second.on_request = rotate_meanwhile
    world.command(*rotate)
    assert seen
    assert len(world.values("GITHUB_SECRET")) == 2
    assert second.secret("900") == world.values("GITHUB_SECRET")[0]


def _with_faults(world: World) -> None:
    world.configure(f"{CONFIG}nonsense: 1\n")


def _without_sources(world: World) -> None:
    world.configure("sources: {a: {auth: none}}\n")


def _with_the_row_of_an_earlier_version(world: World) -> None:
    _without_sources(world)
    _change_row(world, settings={})


def _with_a_lost_change(world: World) -> None:
    world.github.loses = ["PATCH"]
    exit_code("secrets", "rotate", "github-secret", "--random")


def _with_a_lost_change_and_a_newer_value(world: World) -> None:
    _with_a_lost_change(world)
    exit_code("secrets", "set", "github-secret", "--random")
    _with_a_lost_change(world)


def _with_a_replaced_hook_that_is_not_deleted(world: World) -> None:
    world.stripe.fails = {"DELETE": 403}
    exit_code("secrets", "rotate", "stripe-secret", "--random")


def _with_a_renamed_secret(world: World) -> None:
    world.configure(CONFIG.replace("secret: github-secret", "secret: other-secret"))
    exit_code("secrets", "set", "other-secret", "--random")


def _with_a_renamed_secret_and_a_lost_change(world: World) -> None:
    _with_a_renamed_secret(world)
    world.github.loses = ["PATCH"]
    world.apply_code("github")


def _with_a_renamed_secret_a_lost_change_and_no_hook_any_more(world: World) -> None:
    _with_a_renamed_secret_and_a_lost_change(world)
    text = world.config_file.read_text(encoding="utf-8")
    world.configure(text.replace(", hook: {token: github-token, at: acme/shop}", ""))


def _with_a_secret_that_is_renamed_twice(world: World) -> None:
    _with_a_renamed_secret_and_a_lost_change(world)
    world.configure(CONFIG.replace("secret: github-secret", "secret: third-secret"))
    exit_code("secrets", "set", "third-secret", "--random")
    world.github.fails = {"PATCH": 403}
    world.apply_code("github")


def _with_an_adopted_hook(world: World) -> None:
    id, hook = world.only_hook(world.stripe)
    world("remove", "stripe", "--yes")
    world.stripe.hooks[id] = hook
    world.env_file.write_text(f"STRIPE_SECRET='whsec_newer_and_long\n{hook['secret']}'\n", encoding="utf-8")
    world("apply", "stripe", "--yes")


def _change_row(world: World, **fields: Json) -> None:
    with closing(LocalDocuments(world.env_file.parent / "state" / FILE_NAME)) as documents:
        [document] = [each for each in RUN(documents.page("hooks", 9)) if each.id == "github"]
        text = json.dumps(json.loads(document.text) | fields)
        assert RUN(documents.write("hooks", "github", text, document.version))


@pytest.mark.parametrize(
    ("source", "happens"),
    [
        ("github", _with_faults),
        ("github", _without_sources),
        ("github", _with_the_row_of_an_earlier_version),
        ("github", _with_a_lost_change),
        ("github", _with_a_lost_change_and_a_newer_value),
        ("github", _with_a_renamed_secret),
        ("github", _with_a_renamed_secret_and_a_lost_change),
        ("github", _with_a_renamed_secret_a_lost_change_and_no_hook_any_more),
        ("github", _with_a_secret_that_is_renamed_twice),
        ("stripe", _with_a_replaced_hook_that_is_not_deleted),
        ("stripe", _with_an_adopted_hook),
    ],
)
def test_no_value_that_a_hook_may_use_is_dropped(world: World, source: str, happens: Callable[[World], None]) -> None:
    world("apply", source, "--yes")
    happens(world)
    drop, new = ["rotate", "--drop-old"], ["rotate", "--random", "--keep", "0"]
    for verb, *options in (drop, ["set", "--random"], drop, ["set", "--random"], new, drop, new):
        for name in (source, "other", "third"):
            exit_code("secrets", verb, f"{name}-secret", *options)
        stored = [each for name in (source, "other", "third") for each in world.values(f"{name.upper()}_SECRET")]
        for hook in world.provider(source).hooks.values():
            assert any(each in json.dumps(hook) for each in stored)


@pytest.mark.parametrize(("setting", "at"), [("github", "PATCH"), ("second", "GET")])
def test_a_secret_that_is_set_while_it_is_rotated_is_not_called_the_one_that_the_provider_has(
    world: World, second: GitHub, setting: str, at: str
) -> None:
    rotate = ("secrets", "rotate", "github-secret", "--random")

    def set_meanwhile(method: str) -> None:
        if method == at and len(world.values("GITHUB_SECRET")) == 2:
            in_thread(lambda: exit_code("secrets", "set", "github-secret", "--random"))

    (second if setting == "second" else world.github).on_request = set_meanwhile
    world.command(*rotate, code=1)
    assert "github acme/shop: another command has changed the secret or the hook meanwhile" in world.error
    id, _ = world.only_hook(world.github)
    assert world.github.secret(id) == world.values("GITHUB_SECRET")[1]
    assert "the provider signs with the new value" in world.command(*rotate)
    assert world.github.secret(id) == second.secret("900") == world.values("GITHUB_SECRET")[0]


def test_a_rotation_of_several_hooks_is_continued_at_each_and_then_their_old_values_can_go(world: World) -> None:
    second = Airtable()
    second.base = "/v0/bases/appBBBBBBBBBBBBBB/webhooks"
    world.others.append(second)
    places = "at: [appAbCdEfGhIjKlMn, appBBBBBBBBBBBBBB]"
    world.configure(CONFIG.replace("at: appAbCdEfGhIjKlMn", places))
    world("apply", "airtable", "--yes")
    before = world.values("AIRTABLE_SECRET")
    Fault(world.airtable, "failed", 6)
    rotate = ("secrets", "rotate", "airtable-secret", "--random")
    world.command(*rotate, code=1)
    assert "continuing the rotation" in world.command(*rotate)
    signing = [str(hook["secret"]) for base in (world.airtable, second) for hook in base.hooks.values()]
    assert not {*signing} & {*before}
    assert {*signing, *before} <= {*world.values("AIRTABLE_SECRET")}
    output = world.command("secrets", "rotate", "airtable-secret", "--drop-old")
    assert "2 values are accepted from now on, because registered hooks may sign with them" in output
    assert sorted(world.values("AIRTABLE_SECRET")) == sorted(signing)


def test_a_hook_is_not_registered_where_the_secrets_command_cannot_find_it(world: World) -> None:
    world.command("hooks", "apply", "github", "--url", URL, "--yes", "--state", "other", code=2)
    assert not world.github.calls


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"hooks": {"acme/shop": {"id": "1", "url": OWN}}}, "a hook has no secret, stage, new_id, new_secret"),
        ({"lock": {"until": "x"}}, "could not convert string to float: 'x'"),
    ],
)
def test_a_row_that_was_edited_by_hand_is_a_fault_in_one_line(world: World, fields: JsonObject, fault: str) -> None:
    world("apply", "github", "--yes")
    world.command("secrets", "rotate", "github-secret", "--random")
    _change_row(world, **fields)
    for change in (lambda _: None, _without_sources):
        change(world)
        for arguments in (["hooks", "plan"], ["secrets", "rotate", "github-secret", "--drop-old"]):
            world.command(*arguments, code=1)
            rule = f"the document hooks/github is not as this version stores hooks: {fault}. Correct or delete it."
            assert rule in world.error
    assert SECRET in world.values("GITHUB_SECRET")


@pytest.mark.parametrize(("source", "method"), [("github", "PATCH"), ("stripe", "DELETE")])
def test_an_interrupted_rotation_continues_with_the_same_value(world: World, source: str, method: str) -> None:
    world("apply", source, "--yes")
    provider = world.provider(source)
    provider.fails = {method: 500}
    rotate = ("secrets", "rotate", f"{source}-secret")
    world.command(*rotate, "--random", code=1)
    new, _old = world.values(f"{source.upper()}_SECRET")
    world.command(*rotate, "--drop-old", code=1)
    assert "nothing was changed. The hook of" in world.error
    assert "may still sign with an old value" in world.error
    assert "continuing the rotation" in world.command(*rotate, "--random")
    assert world.values(f"{source.upper()}_SECRET")[0] == new
    assert new in json.dumps([*provider.hooks.values()])
    assert len(provider.hooks) == 1


def test_a_rotation_keeps_the_value_that_the_hook_signs_with_meanwhile(world: World) -> None:
    world("apply", "github", "--yes")
    assert "still accepted" in world.command("secrets", "rotate", "github-secret", "--random", "--keep", "0")
    assert world.values("GITHUB_SECRET")[1:] == [SECRET]


def test_a_hook_that_differs_is_repaired_before_its_secret_is_rotated(world: World) -> None:
    world("apply", "github", "--yes")
    world.only_hook(world.github)[1]["active"] = False
    world.command("secrets", "rotate", "github-secret", "--random", code=1)
    assert f"Run `hookchain hooks apply github --url {URL}` first" in world.error
    assert world.values("GITHUB_SECRET") == [SECRET]


@pytest.mark.parametrize(
    ("old", "new", "rule", "repair"),
    [
        (
            ", hook: {token: github-token, at: acme/shop}",
            "",
            "the configuration has no `hook` for it. Add `hook` again, or remove it first: hookchain hooks remove",
            ["remove", "github"],
        ),
        (
            "secret: github-secret",
            "secret: other-secret",
            "the configuration has other-secret for it. To give it that one first: hookchain hooks apply github",
            ["apply", "github", "--url", URL],
        ),
    ],
    ids=["its hook left the configuration", "its source has another secret"],
)
def test_a_value_that_the_configuration_lost_is_not_dropped_before_its_hook_is_removed_or_changed(
    world: World, old: str, new: str, rule: str, repair: list[str]
) -> None:
    world("apply", "github", "--yes")
    values = f"GITHUB_SECRET='a newer value of the secret\n{SECRET}'\nOTHER_SECRET='a value of the other secret'\n"
    world.env_file.write_text(values, encoding="utf-8")
    world.configure(CONFIG.replace(old, new))
    for option in ("--random", "--drop-old"):
        world.command("secrets", "rotate", "github-secret", option, code=1)
        assert f"github acme/shop: its hook may still sign with github-secret, and {rule}" in world.error
    assert SECRET in world.values("GITHUB_SECRET")
    world.command("hooks", *repair, "--yes")
    world.command("secrets", "rotate", "github-secret", "--drop-old")


def test_a_secret_whose_value_has_another_name_now_can_be_rotated(world: World) -> None:
    world("apply", "github", "--yes")
    world.env_file.write_text(f'GITHUB_SECRET="{SECRET}"\nOTHER_SECRET="{SECRET}"\n', encoding="utf-8")
    world.configure(CONFIG.replace("secret: github-secret", "secret: other-secret"))
    assert "nothing differs" in world("apply", "github", "--yes")
    for option in ("--random", "--drop-old"):
        world.command("secrets", "rotate", "github-secret", option)


def test_a_value_that_another_command_stored_while_one_was_typed_stays_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world("apply", "github", "--yes")
    monkeypatch.setattr(row, "LOCK_SECONDS", -1.0)  # as if the prompt took longer
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    seen: list[str] = []

    def type_value(_: str) -> str:
        if not seen:
            seen.append("prompt")
            in_thread(lambda: exit_code("secrets", "rotate", "github-secret", "--random"))
        return "a value that somebody typed"

    monkeypatch.setattr("getpass.getpass", type_value)
    world.command("secrets", "rotate", "github-secret", code=1)
    assert "another command has changed the hooks of github; run this one again" in world.error
    id, _ = world.only_hook(world.github)
    assert world.github.secret(id) in world.values("GITHUB_SECRET")


def test_a_secret_that_cannot_be_read_is_not_overwritten_while_a_hook_signs_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world("apply", "github", "--yes")
    unreadable = StoredSecret(None, "the store", trouble="exists, but you may not read it")
    with monkeypatch.context() as patched:
        patched.setattr(DotenvBackend, "find", lambda _, names: dict.fromkeys(names, unreadable))
        world.command("secrets", "set", "github-secret", "--random", code=1)
        assert "the value with which the hook of github signs would be lost" in world.error
        assert "or remove the hook first: hookchain hooks remove github" in world.error
        assert world.values("GITHUB_SECRET") == [SECRET]
        world.command("hooks", "remove", "github", "--yes")
        world.command("secrets", "set", "github-secret", "--random")
    assert SECRET not in world.values("GITHUB_SECRET")


def test_a_secret_that_is_set_keeps_the_old_value_while_a_hook_signs_with_it(world: World) -> None:
    advice = (
        "github-secret: an old value is still accepted. The hook of github acme/shop may still sign with an old value"
    )
    assert advice not in world.command("secrets", "set", "github-secret", "--random")
    world("apply", "github", "--yes")
    [old] = world.values("GITHUB_SECRET")
    assert advice in world.command("secrets", "set", "github-secret", "--random")
    assert world.values("GITHUB_SECRET")[1:] == [old]
    assert "changed" in world("apply", "github", "--yes")


def test_a_secret_is_set_although_nothing_is_known_of_its_hooks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(_: registrar.Registrar) -> object:
        raise Temporary("documents_unavailable", "the database does not exist")

    monkeypatch.setattr(registrar.Registrar, "read_rows", unavailable)
    output = world.command("secrets", "set", "github-secret", "--random")
    rule = "It is not known whether a hook signs with it: the database does not exist"
    assert f"github-secret: an old value is still accepted. {rule}" in output
    assert world.values("GITHUB_SECRET")[1:] == [SECRET]


def test_tokens_of_hooks_are_listed_and_set_without_advice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {str(each["name"]): each for each in as_objects(world.command.json("secrets", "list")["secrets"])}
    assert (listed["github-token"]["readers"], listed["github-token"]["uses"]) == ([], ["hook of github"])
    monkeypatch.setattr("sys.stdin", io.StringIO("a-token"))
    output = world.command("secrets", "set", "github-token")
    assert "old value" not in output
    assert "warning" not in world.error


@pytest.mark.parametrize("tick_seconds", [0.05, 15.0])
def test_each_wait_of_a_rotation_is_shown(world: World, monkeypatch: pytest.MonkeyPatch, tick_seconds: float) -> None:
    text = world.config_file.read_text(encoding="utf-8")
    world.configure(text.replace("at: acme/shop}", "at: [acme/shop, acme]}"))
    world.add_github("/orgs/acme")
    world("apply", "github", "--yes")
    let_instances_lag(monkeypatch, 0.4)
    monkeypatch.setattr(session, "TICK_SECONDS", tick_seconds)
    world.command("secrets", "rotate", "github-secret", "--random")
    until = "until every instance has the new secret. You can press Ctrl-C and run the command again."
    assert world.error.count(f"github: waiting at most 0 s {until}") == 2


def test_a_rotation_waits_although_the_stores_clock_is_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world("apply", "github", "--yes")
    let_instances_lag(monkeypatch, 0.4)
    monkeypatch.setattr(registrar.StoredSourceSecret, "set_at", lambda _: time.time() - 1.0)
    world.command("secrets", "rotate", "github-secret", "--random")
    assert world.error.count("github: waiting at most 0 s until every instance has the new secret") == 1


def test_without_a_registered_hook_a_rotation_is_what_it_was(world: World) -> None:
    assert "Give the sender the new value" in world.command("secrets", "rotate", "github-secret", "--random")
    assert not world.github.calls


# Faults at each request


class Fault:
    """Something that happens at the nth request: its answer is lost, the provider fails, or a person presses Ctrl-C."""

    def __init__(self, provider: HookProvider, kind: str, nth: int) -> None:
        self.provider = provider
        self.kind = kind
        self.left = nth
        provider.on_request = self.happen

    def happen(self, method: str) -> None:
        self.left -= 1
        if self.left == 0 and self.kind == "lost":
            self.provider.loses = [method]
        if self.left == 0 and self.kind == "failed":
            self.provider.fails = {method: 500}
        if self.left == 0 and self.kind == "interrupted":
            raise KeyboardInterrupt

    def end(self) -> bool:
        """Return whether it happened."""
        self.provider.on_request = lambda _: None
        self.provider.loses, self.provider.fails = [], {}
        return self.left <= 0


@pytest.mark.slow
@pytest.mark.parametrize("source", SIGNING)
@pytest.mark.parametrize("kind", ["lost", "failed", "interrupted"])
@pytest.mark.parametrize("command_line", [["hooks", "apply"], ["secrets", "rotate"]])
def test_whatever_happens_at_any_request_the_next_command_leaves_one_hook_with_the_stored_secret(
    world: World, source: str, kind: str, command_line: list[str]
) -> None:
    provider = world.provider(source)
    is_rotation = command_line == ["secrets", "rotate"]
    arguments = [f"{source}-secret", "--random"] if is_rotation else [source, "--url", URL, "--yes"]
    for nth in range(1, 20):
        if is_rotation:
            world("apply", source, "--yes")
        fault = Fault(provider, kind, nth)
        exit_code(*command_line, *arguments)
        has_happened = fault.end()
        world("apply", source, "--yes", "--replace", f"{URL}/{source}")
        assert "nothing differs" in world("plan", source)
        _, hook = world.only_hook(provider)
        assert world.values(f"{source.upper()}_SECRET")[0] in json.dumps(hook), nth
        world("remove", source, "--yes")
        assert not provider.hooks, nth
        if not has_happened:
            break
    assert nth > 2


@pytest.mark.parametrize("source", [each for each in SIGNING if not (KINDS[each].is_fixed or KINDS[each].signs_url)])
@pytest.mark.parametrize("then", ["apply", "apply another", "rotate", "remove"])
def test_a_hook_whose_new_url_was_not_confirmed_is_ours(world: World, source: str, then: str) -> None:
    provider = world.provider(source)
    world("apply", source, "--yes")
    fault = Fault(provider, "lost", 3)
    world("apply", source, "--yes", "--url", MOVED, code=1)
    assert fault.end()
    if then == "apply":
        assert "nothing differs" in world("apply", source, "--yes", "--url", MOVED)
        world.command("secrets", "rotate", f"{source}-secret", "--random")
    elif then == "apply another":
        world("apply", source, "--yes", "--url", "https://third.example.com")
    elif then == "rotate":
        world.command("secrets", "rotate", f"{source}-secret", "--random")
    assert len(provider.hooks) == 1
    world("remove", source, "--yes")
    assert not provider.hooks


@pytest.mark.parametrize(("source", "place"), [("stripe", "stripe Stripe"), ("telegram", "telegram Telegram")])
def test_a_hook_of_an_unfinished_creation_is_named_before_it_is_deleted(world: World, source: str, place: str) -> None:
    world.provider(source).loses = ["POST"]
    world("apply", source, "--yes", code=1)
    assert f"{place}: delete {URL}/{source}\n" in world("remove", source, code=1)
    assert world.provider(source).hooks
    assert f"{source}: deleted" in world("remove", source, "--yes")
    assert not world.provider(source).hooks


def test_a_hook_that_a_person_gave_the_wanted_url_is_ours(world: World) -> None:
    world("apply", "github", "--yes")
    _, hook = world.only_hook(world.github)
    mapping_at(hook, "config")["url"] = f"{MOVED}/github"
    assert "nothing differs" in world("apply", "github", "--url", MOVED)
    world("remove", "github", "--yes")
    assert not world.github.hooks


@pytest.mark.parametrize("then", ["apply another", "rotate", "remove"])
def test_a_new_hook_with_another_url_is_ours_before_it_replaces_the_former_one(world: World, then: str) -> None:
    world("apply", "airtable", "--yes")
    fault = Fault(world.airtable, "interrupted", 6)
    exit_code("hooks", "apply", "airtable", "--url", MOVED, "--yes")
    assert fault.end()
    assert len(world.airtable.hooks) == 2
    if then == "rotate":
        world.command("secrets", "rotate", "airtable-secret", "--random")
        assert world.only_hook(world.airtable)[1]["notificationUrl"] == f"{MOVED}/airtable"
    elif then == "apply another":
        world("apply", "airtable", "--yes", "--url", "https://third.example.com")
        assert len(world.airtable.hooks) == 1
    world("remove", "airtable", "--yes")
    assert not world.airtable.hooks


def test_a_new_hook_with_another_url_whose_answer_was_lost_may_be_somebody_elses(world: World) -> None:
    """Airtable does not say when a hook was created."""
    world("apply", "airtable", "--yes")
    fault = Fault(world.airtable, "lost", 4)
    exit_code("hooks", "apply", "airtable", "--url", MOVED, "--yes")
    assert fault.end()
    world("apply", "airtable", "--yes", "--url", "https://third.example.com", code=1)
    assert f"--replace {MOVED}/airtable" in world.error
    output = world("remove", "airtable", "--yes", code=1)
    why = "it is not certain that Hookchain made it"
    assert f"airtable appAbCdEfGhIjKlMn: left alone, because {why}: {MOVED}/airtable" in output
    assert len(world.airtable.hooks) == 1


# After a deployment


@dataclass
class Cloud:
    """A deployment whose documents are those of this machine."""

    local: Platform
    traits = CLOUD

    def receive_url(self) -> str:
        return URL

    def subscriber_stores(self) -> AbstractAsyncContextManager[SubscriberStores]:
        return self.local.subscriber_stores()


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch, world: World) -> argparse.Namespace:
    local = choice.open_platform(argparse.Namespace(platform="local", **dict.fromkeys(choice.TARGET_OPTIONS)), {})

    def open_platform(options: argparse.Namespace, environ: Mapping[str, str]) -> Platform | Cloud:
        return Cloud(local) if options.platform == "gcp" else choice.open_platform(options, environ)

    monkeypatch.setattr(deployed_hooks, "open_platform", open_platform)
    return argparse.Namespace(platform="gcp", project="acme", region=None, prefix=None, stack=None)


def test_after_a_deployment_one_line_names_the_sources_that_are_not_registered(
    world: World, target: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    world("apply", "stripe", "--yes", "--url", URL.replace("hooks", "Hooks"))
    world("apply", "github", "--yes", "--url", "https://former.example.com")
    text = CONFIG.replace(f"    public_url: {URL}/square\n", "")
    world.configure(text)
    deployed_hooks.print_unregistered_hooks(configured_at(world.config_file, {}), target)
    names = "github, gitlab, telegram, airtable, linear, square, twilio"
    line = f"Not registered at the provider: {names}. To register: hookchain hooks apply --platform gcp --project acme"
    assert capsys.readouterr().out == f"\n{line}\n"


def test_a_deployment_names_the_hooks_that_stay_registered_without_their_source(
    world: World, target: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    _without_sources(world)
    deployed_hooks.print_unregistered_hooks(configured_at(world.config_file, {}), target)
    deployed_hooks.print_left_hooks({}, target)
    assert capsys.readouterr().out == ""
    world.configure(CONFIG)
    world("apply", "stripe", "--yes")
    world("apply", "github", "--yes")
    _without_sources(world)
    capsys.readouterr()
    deployed_hooks.print_unregistered_hooks(configured_at(world.config_file, {}), target)
    hint = "To remove: hookchain hooks remove github --platform gcp --project acme"
    line = f"github acme/shop: still registered, and github has no `hook` any more. {hint}"
    assert f"\n{line}\n" in capsys.readouterr().out
    deployed_hooks.print_left_hooks({}, target)
    left = "These webhooks stay registered at their providers: github acme/shop, stripe. To remove them first:"
    assert capsys.readouterr().out == f"{left}\n  hookchain hooks remove --platform gcp --project acme\n"


def test_a_store_that_cannot_be_read_is_a_warning_only_where_it_matters(
    world: World, target: argparse.Namespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: argparse.Namespace, environ: object) -> None:
        raise CommandError("the store is down")

    monkeypatch.setattr(deployed_hooks, "open_platform", fail)
    warning = "warning: it is not known which hooks are registered: the store is down\n"
    deployed_hooks.print_unregistered_hooks(configured_at(world.config_file, {}), target)
    assert capsys.readouterr().err == warning
    deployed_hooks.print_left_hooks({}, target)
    assert capsys.readouterr().err == warning
    _without_sources(world)
    deployed_hooks.print_unregistered_hooks(configured_at(world.config_file, {}), target)
    assert capsys.readouterr().err == ""


def test_the_settings_of_a_sender_name_the_command(world: World) -> None:
    assert "hooks apply github` register it" in " ".join(world.command("sources", "github").split())
    assert "hooks apply" not in world.command("sources", "other")
    assert "add `hook: {token: github-token, at: acme/shop}`" in world.command("providers", "github")
    assert "add `hook: {token: stripe-token}`" in world.command("providers", "stripe")


# The hook of a GitHub App, whose event types only a person can select


APP_CONFIG: Final = """
sources: {app: {provider: github, secret: app-secret, hook: {token: app-key, at: apps/Iv23liAbCdEf}}}
routes: [{name: all, from: app, types: [push, installation.created], to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""
APP_URL: Final = f"{URL}/app"


@pytest.fixture
def app(world: World, monkeypatch: pytest.MonkeyPatch) -> GitHubApp:
    world.configure(APP_CONFIG)
    world.env_file.write_text(f'APP_SECRET="{SECRET}"\n', encoding="utf-8")
    monkeypatch.setenv("APP_KEY", world.app.private_key)
    return world.app


def test_the_hook_of_an_app_is_registered_repaired_rotated_and_left_alone(world: World, app: GitHubApp) -> None:
    assert "apps/Iv23liAbCdEf: create: there is no hook" in world("plan", "app", code=3)
    world("apply", "app", "--yes")
    wanted: JsonObject = {"url": APP_URL, "content_type": "json", "insecure_ssl": "0", "secret": SECRET}
    assert app.hooks["app"] == wanted
    assert "nothing differs" in world("plan", "app")
    app.hooks["app"] |= {"content_type": "form", "insecure_ssl": "1"}
    reasons = "its content type is not JSON; it does not verify the certificate of the URL"
    assert f"change: {reasons}" in world("plan", "app", code=3)
    world("apply", "app", "--yes")
    assert app.hooks["app"] == wanted
    world.command("secrets", "rotate", "app-secret", "--random")
    assert app.hooks["app"]["secret"] == world.values("APP_SECRET")[0] != SECRET
    assert "GitHub lets only a person delete it" in world("remove", "app", "--yes", code=1)
    assert app.hooks["app"]["url"] == APP_URL
    assert {call for call in app.calls if not call.startswith("GET")} == {"PATCH /app/hook/config"}


@pytest.mark.parametrize(
    ("types", "events", "missing"),
    [
        ("[push, issues.opened, installation]", ["push"], "issues"),
        ("[push, issues]", [], "issues, push"),
        ("[push]", ["push", "issues"], ""),
        ("['*']", ["push"], ""),
        ("['*']", [], "none is selected"),
    ],
)
def test_event_types_that_an_app_lacks_are_a_step_for_a_person(
    world: World, app: GitHubApp, types: str, events: list[str], missing: str
) -> None:
    world.configure(APP_CONFIG.replace("[push, installation.created]", types))
    app.events = [*events]
    which = "event types" if types == "['*']" else "these event types"
    step = f"to do by hand: select {which} in the settings at GitHub: {missing}\n"
    assert (step in world("plan", "app", code=3)) == bool(missing)
    assert (step in world("apply", "app", "--yes")) == bool(missing)
    assert ("nothing differs" in world("plan", "app", code=3 if missing else 0)) == (not missing)
    assert "event types that no route needs" not in world("plan", "app", code=3 if missing else 0)


@pytest.mark.parametrize(
    ("source", "before", "after", "place"),
    [
        ("stripe", "provider: stripe, secret: stripe-secret", "provider: telegram, secret: telegram-secret", "stripe"),
        (
            "gitlab",
            "acme/shop}}\n  telegram",
            "acme/shop, api: 'https://git.example.com/api/v4'}}\n  telegram",
            "projects/acme/shop",
        ),
        ("github", "token: github-token, at: acme/shop", "token: app-key, at: apps/Iv23liAbCdEf", "acme/shop"),
    ],
)
def test_the_hook_of_former_settings_is_removed_with_them_before_another_is_made(
    world: World, source: str, before: str, after: str, place: str
) -> None:
    world("apply", source, "--yes")
    assert before in CONFIG
    world.configure(CONFIG.replace(before, after).replace("types: [invoice.paid]", "types: [message]"))
    for action in ("plan", "apply"):
        world(action, source, code=1)
        rule = f"its former settings is still registered at {place}. Remove it first: hookchain hooks remove {source}"
        assert rule in world.error
    assert len(world.provider(source).hooks) == 1
    world("remove", source, "--yes")
    assert not world.provider(source).hooks
    assert not world.telegram.calls


def test_the_only_hook_of_an_app_is_overwritten_only_by_its_url(world: World, app: GitHubApp) -> None:
    app.hooks["app"] = {"url": FOREIGN, "content_type": "form", "insecure_ssl": "0", "secret": "theirs"}
    world("apply", "app", "--yes", code=1)
    assert app.hooks["app"]["url"] == FOREIGN
    settings = f"URL {FOREIGN}; its content type is not JSON. Hookchain does not read"
    assert f"to restore the overwritten hook: {settings}" in world("apply", "app", "--yes", "--replace", FOREIGN)
    assert app.hooks["app"]["url"] == APP_URL


def test_the_hook_of_an_app_that_was_deleted_can_be_forgotten(world: World, app: GitHubApp) -> None:
    world("apply", "app", "--yes")
    app.act = lambda request, path: (404, {"message": "Integration not found"})  # type: ignore[method-assign]
    world("remove", "app", "--yes", code=1)
    assert "If the place or the hook does not exist any more: hookchain hooks remove app" in world.error
    assert f"hooks remove app --url {URL} --forget --yes" in world("remove", "app", "--forget", code=1)
    world("remove", "app", "--forget", "--yes")
    assert "no hook is registered" in world("remove", "app")


def test_a_lost_answer_leaves_the_hook_of_an_app_as_wanted(world: World, app: GitHubApp) -> None:
    app.loses = ["PATCH"]
    world("apply", "app", "--yes", code=1)
    world("apply", "app", "--yes")
    assert app.hooks["app"]["url"] == APP_URL
    assert "nothing differs" in world("plan", "app")


def test_a_token_that_is_no_private_key_is_named(world: World, app: GitHubApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_KEY", TOKEN)
    world("plan", "app", code=1)
    assert "app: the token app-key is not PEM" in world.error
    assert not app.calls


def test_an_app_in_an_unknown_form_is_not_one_without_event_types(world: World, app: GitHubApp) -> None:
    app.act = lambda request, path: (200, {})  # type: ignore[method-assign]
    world("plan", "app", code=1)
    assert "answered in a form that is not known" in world.error


# Stripe, which shows a secret once


def test_stripes_secret_is_stored_before_the_hook_is_enabled(world: World) -> None:
    stored: list[list[str]] = []
    world.stripe.on_request = lambda method: stored.extend([world.values("STRIPE_SECRET")] * (method == "POST"))
    world("apply", "stripe", "--yes")
    id, hook = world.only_hook(world.stripe)
    assert world.stripe.changes() == [
        "POST /v1/webhook_endpoints",
        f"POST /v1/webhook_endpoints/{id}",
        f"POST /v1/webhook_endpoints/{id}",
    ]
    assert stored == [[], [], [hook["secret"]]]
    assert stored[-1] == world.values("STRIPE_SECRET")
    assert (hook["status"], hook["url"]) == ("enabled", f"{URL}/stripe")
    assert "nothing differs" in world("plan", "stripe")


def test_the_values_that_other_hooks_may_use_stay_accepted(world: World) -> None:
    world.env_file.write_text("STRIPE_SECRET='whsec_a_hook_made_by_hand_1\nwhsec_a_hook_made_by_hand_2'\n")
    world("apply", "stripe", "--yes")
    _, hook = world.only_hook(world.stripe)
    assert world.values("STRIPE_SECRET") == [
        hook["secret"],
        "whsec_a_hook_made_by_hand_1",
        "whsec_a_hook_made_by_hand_2",
    ]


def test_a_secret_that_cannot_be_stored_leaves_a_disabled_hook_that_the_next_command_replaces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(registrar.StoredSourceSecret, "store", lambda *_: None)
        world("apply", "stripe", "--yes", code=1)
        assert "cannot be read back; the hook stays disabled" in world.error
        assert world.only_hook(world.stripe)[1]["status"] == "disabled"
    assert "finish: the last command did not finish creating the hook" in world("plan", "stripe", code=3)
    world("apply", "stripe", "--yes")
    _, hook = world.only_hook(world.stripe)
    assert world.values("STRIPE_SECRET")[0] == hook["secret"]


@pytest.mark.parametrize("is_applied", [False, True])
@pytest.mark.parametrize("source", ["airtable", "github", "square", "stripe"])
def test_no_hook_is_made_or_changed_while_the_shell_overrides_its_secret(
    world: World, monkeypatch: pytest.MonkeyPatch, source: str, is_applied: bool
) -> None:
    if is_applied or source == "github":
        world("apply", source, "--yes")
    hooks = json.dumps(world.provider(source).hooks)
    monkeypatch.setenv(f"{source.upper()}_SECRET", "a value of the shell, which overrides .env")
    world("apply", source, "--yes", code=1)
    assert f"the shell's {source.upper()}_SECRET overrides" in world.error
    world.command("secrets", "rotate", f"{source}-secret", "--random", code=1)
    assert json.dumps(world.provider(source).hooks) == hooks


def test_a_lost_stripe_secret_is_replaced_by_a_second_hook_and_the_first_is_deleted(world: World) -> None:
    world("apply", "stripe", "--yes")
    first, _ = world.only_hook(world.stripe)
    world.env_file.write_text("", encoding="utf-8")
    assert "create another and delete this one: its secret is not stored any more" in world("plan", "stripe", code=3)
    enabled: list[set[str]] = []
    world.stripe.on_request = lambda _: enabled.append(
        {id for id, each in world.stripe.hooks.items() if each["status"] == "enabled"}
    )
    world("apply", "stripe", "--yes")
    assert all(enabled), "one of them is enabled at every moment"
    second, hook = world.only_hook(world.stripe)
    assert second != first
    assert world.values("STRIPE_SECRET") == [hook["secret"]]


@pytest.mark.parametrize("source", ["airtable", "square", "stripe"])
def test_an_adopted_hook_is_not_equal_until_its_secret_is_known(world: World, source: str) -> None:
    provider = world.provider(source)
    world("apply", source, "--yes")
    id, hook = world.only_hook(provider)
    world("remove", source, "--yes")
    [stored] = world.values(f"{source.upper()}_SECRET")
    provider.hooks[id] = json.loads(json.dumps(hook).replace(stored, "theirs"))
    output = world("plan", source, code=3)
    rotation = f"hookchain secrets rotate {source}-secret --random"
    assert "change: Hookchain did not make it" in output
    assert "not known: whether the stored secret is its secret" in output
    assert f"hookchain hooks apply {source} --url {URL}\n    {rotation}" in output
    world("apply", source, "--yes")
    output = world("plan", source, code=3)
    assert "nothing else differs" in output
    assert "hooks apply" not in output
    world.command(*rotation.split()[1:])
    assert "nothing differs" in world("plan", source)
    new_id, hook = world.only_hook(provider)
    assert new_id != id
    assert world.values(f"{source.upper()}_SECRET")[0] in json.dumps(hook)


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("airtable", {"specification": {"options": {"filters": {"dataTypes": ["tableData", "tableFields"]}}}}),
        ("square", {"api_version": "2025-01-23"}),
        ("stripe", {"api_version": "2025-03-31.basil", "application": "ca_1"}),
    ],
)
def test_a_new_hook_keeps_what_the_former_sent(world: World, source: str, kept: JsonObject) -> None:
    world("apply", source, "--yes")
    id, hook = world.only_hook(world.provider(source))
    hook |= kept
    world.command("secrets", "rotate", f"{source}-secret", "--random")
    new_id, hook = world.only_hook(world.provider(source))
    assert new_id != id
    assert {**hook, **kept} == hook


@pytest.mark.parametrize("is_adopted", [False, True])
def test_a_hook_that_a_person_made_and_whose_secret_is_not_stored_is_replaced_only_with_consent(
    world: World, is_adopted: bool
) -> None:
    world("apply", "stripe", "--yes")
    id, hook = world.only_hook(world.stripe)
    world("remove", "stripe", "--yes")
    world.stripe.hooks[id] = hook
    if is_adopted:
        world("apply", "stripe", "--yes")
    world.env_file.write_text("", encoding="utf-8")
    assert "shows its secret only once, and it is not stored" in world("plan", "stripe", code=3)
    world("apply", "stripe", "--yes", code=1)
    assert world.only_hook(world.stripe) == (id, hook)
    world("apply", "stripe", "--yes", "--replace", f"{URL}/stripe")
    assert world.only_hook(world.stripe)[0] != id


@pytest.mark.parametrize("is_production", [False, True])
@pytest.mark.parametrize("source", ["github", "stripe"])
def test_no_provider_signs_with_a_value_that_what_runs_here_has_not_read(
    world: World, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, is_production: bool
) -> None:
    state = tmp_path / "state"

    def read_env_file() -> None:
        version = running_dev.file_version(world.env_file)
        dev = DevFile(local_ports.ports_from(9000), config=str(world.config_file), env_version=version)
        running_dev.write_dev_file(state, dev)

    def signing() -> list[str]:
        return [json.dumps(each) for each in world.provider(source).hooks.values() if each.get("status") != "disabled"]

    world("apply", source, "--yes")
    before = signing()
    read_env_file()
    rotation = ("secrets", "rotate", f"{source}-secret", "--random", "--env-file", str(world.env_file))
    if is_production:
        (state / PRODUCTION_FILE).touch()
        command(*rotation, code=1)
        assert "`hookchain serve` has not read" in command.error
        assert "Send it SIGHUP, then run the command again: it continues" in command.error
        assert signing() == before
        read_env_file()

    env_changed_at = DevFile.env_changed_at

    def read_later(dev: DevFile, env_file: Path) -> float | None:
        changed_at = env_changed_at(dev, env_file)
        if changed_at is not None:
            assert signing() == before
            read_env_file()
        return changed_at

    monkeypatch.setattr(DevFile, "env_changed_at", read_later)
    monkeypatch.setattr(session, "TICK_SECONDS", 0.01)
    command(*rotation)
    [after] = signing()
    assert world.values(f"{source.upper()}_SECRET")[0] in after
    assert after not in before


def test_a_running_dev_that_cannot_read_the_env_file_is_not_waited_for_for_ever(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = DevFile(local_ports.ports_from(9000), config=str(world.config_file), env_version=1)
    running_dev.write_dev_file(tmp_path / "state", dev)
    monkeypatch.setattr(local_platform, "RELOAD_SECONDS", 0.0)
    world("apply", "github", "--yes", "--env-file", str(world.env_file), code=1)
    assert "Correct the configuration, or start it again" in world.error
    assert not world.github.hooks


def test_no_provider_signs_with_a_mounted_value_that_an_instance_may_not_have_read(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "github-secret"
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setattr(registrar, "INSTANCE_SECONDS", 0.0)
    mounted.write_text(SECRET)
    world("apply", "github", "--yes")
    world.command("secrets", "rotate", "github-secret", "--random", code=1)
    assert f"{mounted} overrides .env, where the command stores values" in world.error
    assert world.values("GITHUB_SECRET") == [SECRET]
    mounted.write_text(f"a newer value, long and random\n{SECRET}")
    monkeypatch.setattr(registrar, "INSTANCE_SECONDS", 1.0)
    world.command("secrets", "rotate", "github-secret")
    assert "waiting at most 1 s until every instance has the new secret" in world.error
    id, _ = world.only_hook(world.github)
    assert world.github.secret(id) == "a newer value, long and random"


def test_an_adopted_hook_gets_the_secret_once_all_instances_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.github.add(OWN, "push")
    let_instances_lag(monkeypatch, 1.1)
    monkeypatch.setattr(registrar.StoredSourceSecret, "set_at", lambda _: time.time() - 1.0)
    world("apply", "github", "--yes")
    assert "until every instance has the new secret" in world.error


# What somebody else does while a command waits, or after one was interrupted


Meanwhile: TypeAlias = Callable[[Callable[[], object]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Have something happen while the command waits for the instances."""

    def happens(change: Callable[[], object]) -> None:
        async def wait(*_: object) -> None:
            change()

        monkeypatch.setattr(session.HookSession, "wait_for_instances", wait)

    return happens


def test_a_slot_that_is_taken_while_the_command_waits_is_not_overwritten(world: World, meanwhile: Meanwhile) -> None:
    meanwhile(lambda: world.telegram.hooks.update({"webhook": {"url": FOREIGN, "secret_token": "theirs"}}))
    world("apply", "telegram", "--yes", code=1)
    assert "telegram: the hooks have changed meanwhile; run the command again" in world.error
    assert world.only_hook(world.telegram)[1]["url"] == FOREIGN


@pytest.mark.parametrize(
    ("set_at", "fault"),
    [
        (None, "github acme/shop: the hooks have changed meanwhile; run the command again"),
        (1.0, "the hooks of github differ from the configuration"),
    ],
)
def test_a_url_that_is_set_while_the_command_waits_is_not_overwritten(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Meanwhile,
    set_at: float | None,
    fault: str,
) -> None:
    world("apply", "github", "--yes")
    _, hook = world.only_hook(world.github)
    monkeypatch.setattr(registrar.StoredSourceSecret, "set_at", lambda _: set_at)
    meanwhile(lambda: mapping_at(hook, "config").update({"url": FOREIGN}))
    world.command("secrets", "rotate", "github-secret", "--random", code=1)
    assert fault in world.error
    assert mapping_at(hook, "config")["url"] == FOREIGN


@pytest.mark.parametrize("source", ["github", "stripe"])
def test_a_secret_that_is_set_meanwhile_stops_the_rotation(world: World, meanwhile: Meanwhile, source: str) -> None:
    world("apply", source, "--yes")
    variable = f"{source.upper()}_SECRET"
    [old] = world.values(variable)
    meanwhile(lambda: world.env_file.write_text(f"{variable}='another value of 24 letters\n{old}'\n"))
    world.command("secrets", "rotate", f"{source}-secret", "--random", code=1)
    assert "its secret has changed meanwhile; run the command again" in world.error
    assert [old] == [
        each for each in world.values(variable) if each in json.dumps([*world.provider(source).hooks.values()])
    ]


@pytest.mark.parametrize(
    ("source", "is_new", "nth"), [("github", True, 3), ("github", False, 3), ("telegram", True, 4)]
)
def test_a_secret_that_is_set_during_a_list_is_not_lost(world: World, source: str, is_new: bool, nth: int) -> None:
    variable = f"{source.upper()}_SECRET"
    provider = world.provider(source)
    if not is_new:
        world("apply", source, "--yes")
        world.env_file.write_text(f"{variable}=a_second_value_of_24_letters\n", encoding="utf-8")
    newest = f"{variable}=another_value_of_24_letters\n"
    run_meanwhile(provider, len(provider.calls) + nth, lambda: world.env_file.write_text(newest, encoding="utf-8"))
    world("apply", source, "--yes", code=1)
    assert "its secret has changed meanwhile" in world.error
    world("apply", source, "--yes")
    assert "another_value_of_24_letters" in json.dumps([*provider.hooks.values()])


def test_a_secret_that_is_set_while_a_command_waits_is_of_no_new_hook(world: World, meanwhile: Meanwhile) -> None:
    meanwhile(lambda: world.env_file.write_text('GITHUB_SECRET="another value of 24 letters"\n', encoding="utf-8"))
    world("apply", "github", "--yes", code=1)
    assert "its secret has changed meanwhile; run the command again" in world.error
    assert not world.github.hooks


def test_a_replaced_hook_that_got_another_url_is_left_alone(world: World) -> None:
    world("apply", "stripe", "--yes")
    id, hook = world.only_hook(world.stripe)
    world.stripe.fails = {"DELETE": 500}
    world.command("secrets", "rotate", "stripe-secret", "--random", code=1)
    hook["url"] = FOREIGN + "\x1b[31m"
    output = world("apply", "stripe", "--yes")
    assert f"stripe: left alone, because somebody else changed its URL: {FOREIGN} [31m" in output
    assert [each["url"] for each in world.stripe.hooks.values()] == [FOREIGN + "\x1b[31m", f"{URL}/stripe"]
    assert id in world.stripe.hooks
    assert "nothing differs" in world("plan", "stripe")


def _fail_to_write(*_: object, **__: object) -> None:
    raise CommandError("no space is left")


@pytest.mark.parametrize("source", MAKING_SECRETS)
def test_a_hook_that_got_another_url_is_not_replaced_by_the_rest_of_an_interrupted_rotation(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    provider = world.provider(source)
    world("apply", source, "--yes")
    id, hook = world.only_hook(provider)
    with monkeypatch.context() as patched:
        patched.setattr(DotenvBackend, "write", _fail_to_write)
        command("secrets", "rotate", f"{source}-secret", "--random", code=1)
    url_field = next(key for key, value in hook.items() if value == f"{URL}/{source}")
    hook[url_field] = FOREIGN
    world("apply", source, "--yes", code=1)
    assert "the hooks have changed meanwhile" in world.error
    assert provider.hooks[id][url_field] == FOREIGN
    world("apply", source, "--yes", code=1)
    assert f"--replace {FOREIGN}" in world.error


@pytest.mark.parametrize("is_repurposed", [False, True])
def test_a_new_hook_that_is_gone_before_it_is_enabled_is_made_again(world: World, is_repurposed: bool) -> None:
    def fail(method: str) -> None:
        if world.values("STRIPE_SECRET"):
            world.stripe.fails = {"POST": 500}

    world.stripe.on_request = fail
    world("apply", "stripe", "--yes", code=1)
    world.stripe.on_request = lambda _: None
    world.stripe.fails = {}
    id, hook = world.only_hook(world.stripe)
    if is_repurposed:
        hook["url"] = FOREIGN
    else:
        del world.stripe.hooks[id]
    world("apply", "stripe", "--yes", "--replace", f"{URL}/stripe")
    assert (id in world.stripe.hooks) is is_repurposed
    [own] = [each for key, each in world.stripe.hooks.items() if key != id]
    assert (own["url"], own["status"]) == (f"{URL}/stripe", "enabled")
    assert world.values("STRIPE_SECRET")[0] == own["secret"]
