"""Secrets that are not there yet: taken, made or asked for, and never lost sight of before anything is made."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.cli.gcp_deployment import closing_lines
from deploy.cloud_access.gcp_names import Target
from deploy.config.dotenv import read_dotenv
from deploy.gcp.deployment import DotenvSettings, missing_needs
from deploy.gcp.graph import graph
from deploy.gcp.plan import NOTHING, plan
from deploy.secrets.needs import needs
from deploy.secrets.values import first_values
from deploy.terminal.command_line import CommandError, Questions
from shared.signatures.signing import standard_key
from tests.unit.gcp.planned import deployment

CONFIG = """
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}}
  signed: {auth: {scheme: hmac, header: X-Sig, secret: signed-key}}
  open: {auth: none}
  link: {auth: {scheme: path, secret: link-token}}
  named: {auth: {scheme: query, secret: query-token}}
routes: [{name: all, from: all, to: inbox}]
destinations: {inbox: {email: {to: [a@example.com]}}}
"""
TOLD = "--platform gcp --project my-project"
GIVEN = {"SENDGRID_API_KEY": "SG.a-key-of-the-test", "SIGNED_KEY": "a-key-to-sign-with-1"}


class Typed(Questions):
    """Answers in turn, as if typed."""

    def __init__(self, *answers: str) -> None:
        super().__init__(is_terminal=bool(answers))
        self.answers = list(answers)
        self.asked: list[str] = []

    def ask_secret(self, question: str, otherwise: str) -> str:
        self._take(otherwise)
        self.asked.append(question)
        return self.answers.pop(0)


def values(
    shell: Mapping[str, str], ask: Questions | None = None, config: str = CONFIG
) -> tuple[dict[str, str], list[str]]:
    wanted = deployment(config)
    missing = missing_needs(plan(graph(wanted), NOTHING), wanted)
    return first_values(missing, wanted.slices["receive"], shell, ask or Questions(is_terminal=False), TOLD)


def test_what_the_operator_may_choose_is_made_at_random_and_what_is_given_is_accepted() -> None:
    found, made = values(GIVEN)
    assert made == ["link-token", "query-token", "shop-key"]
    assert found["sendgrid-api-key"] == "SG.a-key-of-the-test"
    assert found["signed-key"] == "a-key-to-sign-with-1"
    assert len({found[name] for name in made}) == 3
    assert all(len(found[name]) >= 24 for name in made)


def test_what_nobody_gives_is_named_with_the_command_that_sets_it() -> None:
    with pytest.raises(CommandError) as error:
        values({})
    text = str(error.value)
    assert "2 secrets are missing" in text
    for name in ("sendgrid-api-key", "signed-key"):
        assert f"hookchain secrets set {name} --platform gcp --project my-project  # " in text
    assert "shop-key" not in text
    assert text.endswith("or in the environment: SENDGRID_API_KEY, SIGNED_KEY")


def test_a_terminal_is_asked_and_enter_makes_a_signing_secret_at_random() -> None:
    ask = Typed("SG.typed-in-the-test", "")
    found, made = values({}, ask)
    assert found["sendgrid-api-key"] == "SG.typed-in-the-test"
    assert "signed-key" in made
    assert "press Enter for a random value" not in ask.asked[0]
    assert "press Enter for a random value" in ask.asked[1]


DESTINATIONS = """
  chat: {slack: {secret: slack-webhook}}
  crm: {webhook: {url: "https://crm.example.com/in", secret: crm-signing, auth: {scheme: bearer, secret: crm-token}}}
  stock: {webhook: {url: "https://stock.example.com/", signature: {header: X-S, key: hex, secret: stock-signing}}}
  own: {webhook: {url: "https://hooks.example.com/shop", auth: {scheme: bearer, secret: shop-key}}}
"""
DELIVERING = CONFIG.replace("destinations: {inbox: {email: {to: [a@example.com]}}}", f"destinations:{DESTINATIONS}")
DELIVERING = DELIVERING.replace("to: inbox", "to: [chat, crm, stock, own]")


def test_a_destinations_credential_cannot_be_random_and_the_operator_is_asked_for_it() -> None:
    with pytest.raises(CommandError) as error:
        values(GIVEN, config=DELIVERING)
    text = str(error.value)
    assert "hookchain secrets set slack-webhook --platform gcp --project my-project  # destination chat" in text
    assert "hookchain secrets set crm-token --platform gcp --project my-project  # destination crm" in text
    ask = Typed("a-token-of-the-crm-1", "", "https://hooks.slack.com/services/T/B/x")
    values(GIVEN, ask, DELIVERING)
    assert ["random" in question for question in ask.asked] == [False, True, False], "a source's secret may be random"


def test_a_webhooks_signing_secret_is_generated_in_the_form_that_it_needs() -> None:
    shell = {**GIVEN, "SLACK_WEBHOOK": "https://hooks.slack.com/services/T/B/x", "CRM_TOKEN": "a-token-of-the-crm-1"}
    found, made = values(shell, Typed(""), DELIVERING)
    assert {"crm-signing", "stock-signing"} <= set(made)
    assert found["crm-signing"].startswith("whsec_")
    assert standard_key(found["crm-signing"])
    assert len(bytes.fromhex(found["stock-signing"])) == 32


def test_a_placeholder_is_rejected_and_not_repeated() -> None:
    with pytest.raises(CommandError) as error:
        values({**GIVEN, "SIGNED_KEY": "changeme"})
    assert "signed-key" in str(error.value)
    assert "changeme" not in str(error.value)


def test_more_than_three_questions_are_never_asked() -> None:
    more = "\n".join(f"  s{n}: {{auth: {{scheme: hmac, header: X, secret: key-{n}}}}}" for n in range(4))
    ask = Typed("a", "b", "c", "d")
    with pytest.raises(CommandError, match="6 secrets are missing"):
        values({}, ask, CONFIG.replace("sources:", f"sources:\n{more}"))
    assert not ask.asked


def test_the_end_has_a_line_to_paste_for_each_source_that_curl_can_speak_to() -> None:
    text = list(closing_lines(deployment(CONFIG), ["shop-key"], options=""))
    url = "https://hookchain-receive-123.europe-west1.run.app"
    read = "$(gcloud secrets versions access latest --secret=hookchain-{} --project=my-project | head -n 1)"
    lines = [line.strip() for line in text]
    curls = dict(pairwise(lines))
    assert curls[f"{url}/shop"].startswith(f'curl -H "Authorization: Bearer {read.format("shop-key")}" ')
    assert curls[f"{url}/shop"].endswith(f" {url}/shop")
    assert curls[f"{url}/open"].startswith("curl -H 'Content-Type: application/json' -d ")
    assert curls[f"{url}/link"].endswith(f' "{url}/link/{read.format("link-token")}"')
    assert curls[f"{url}/named"].endswith(f' "{url}/named?token={read.format("query-token")}"')
    assert curls[f"{url}/signed"] == f"{url}/open", "no curl line can sign"
    assert ".venv/bin/hookchain sources --platform gcp" in lines
    assert lines[0] == "Secret shop-key has a random value. To read it:"
    assert lines[-1] == ".venv/bin/hookchain smoke --platform gcp"


def test_the_end_says_where_users_manage_their_endpoints() -> None:
    section = "subscribers: {}\n"
    config = CONFIG.replace("destinations: {", "destinations: {customers: {subscribers: {tenant: data.id}}, ")
    lines = [line.strip() for line in closing_lines(deployment(config + section), [], "")]
    url = "https://hookchain-subscribe-123.europe-west1.run.app"
    assert f"Your users manage their endpoints at {url}/portal. To link to it for a tenant:" in lines
    assert ".venv/bin/hookchain portal-link TENANT --platform gcp" in lines
    own = "subscribers: {public_url: https://hooks.example.com}\n"
    assert "at https://hooks.example.com/portal." in " ".join(closing_lines(deployment(config + own), [], ""))


def test_the_key_of_subscribers_is_generated_and_must_be_long() -> None:
    config = CONFIG.replace("destinations: {", "destinations: {customers: {subscribers: {tenant: data.id}}, ")
    found = [need for need in needs(deployment(f"{config}subscribers: {{}}\n").slices, {}) if need.origin == "internal"]
    assert [(need.name, need.readers, need.uses_text) for need in found] == [
        ("subscribers-key", ("notify", "subscribe"), "subscribers")
    ]
    texts, random = first_values(found, {"sources": {}}, {}, Typed(), "")
    assert random == ["subscribers-key"]
    assert len(texts["subscribers-key"]) >= 32
    with pytest.raises(CommandError, match="at least 32 characters; got 20"):
        first_values(found, {"sources": {}}, {"SUBSCRIBERS_KEY": "a-short-key-of-20-ch"}, Typed(), "")


def test_what_was_deployed_is_remembered_and_what_stands_in_env_is_left(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("# mine\nEMAIL_ADDRESS=old@example.com\n")
    target = Target("my-project", "us-central1", "shop-")
    notes = DotenvSettings(env, target, {"EMAIL_ADDRESS": "new@example.com"}, ("EMAIL_ADDRESS",)).keep()
    assert ["EMAIL_ADDRESS" in note for note in notes] == [True]
    assert read_dotenv(env) == {
        "EMAIL_ADDRESS": "old@example.com",
        "GOOGLE_CLOUD_PROJECT": "my-project",
        "HOOKCHAIN_REGION": "us-central1",
        "HOOKCHAIN_PREFIX": "shop-",
    }
    before = env.read_text()
    assert DotenvSettings(env, target, {}, ()).keep() == []
    assert env.read_text() == before


def test_a_second_bundle_is_named_each_time_and_the_first_stays_what_commands_mean(tmp_path: Path) -> None:
    env = tmp_path / "env"
    DotenvSettings(env, Target("my-project"), {}, ()).keep()
    [note] = DotenvSettings(env, Target("my-project", prefix="shop-"), {}, ()).keep()
    assert "HOOKCHAIN_PREFIX=hookchain-" in note
    assert read_dotenv(env) == {"GOOGLE_CLOUD_PROJECT": "my-project"}
