"""Recipes, the example configuration and the configuration with none: from a request to a mail, a row or a document."""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.client.hookchain.formats import encode_body
from deploy.config.compiler import compile_config, compile_file, secrets_needed
from deploy.config.config_file import read_config_file
from deploy.explain.config_tests import run_config_tests
from functions.notify.destination import kind_module
from functions.notify.destinations.email.mail import Mail
from functions.notify.registry import read_destinations
from shared.delivery import Delivered, Outcome
from shared.jsontext import JsonObject
from tests.in_process.pipeline import Pipeline
from tests.stand_ins.google_documents import Document
from tests.stand_ins.google_workspace import Workspace
from tests.unit.notify.google_kinds import attempted, connected

RECIPES = Path("deploy/recipes")
CONTENT_TYPES = {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".xml": "application/xml",
    ".form": "application/x-www-form-urlencoded",
}
SECRET = "a-secret-of-the-recipes-test"


@dataclass(frozen=True, slots=True)
class Expected:
    """Subjects, each with those it goes to; what the text of the first mail holds, and what none of it does."""

    subjects: dict[str, list[str]]
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


EXPECTED = {
    "record-to-list": Expected(
        {"New on the website: Summer opening hours": ["ann@example.com", "bob@example.com", "carla@example.com"]},
        ("https://www.example.com/news/4711", "Dana"),
        ("check with Ed first",),
    ),
    "newsletter-signup": Expected(
        {"Newsletter: Grace Hopper signed up": ["editor@example.com"]}, ("grace@example.com", "events"), ("0d1f",)
    ),
    "part-in-warehouse": Expected(
        {
            "Arrived: 4 × KX-100-7": ["purchasing@example.com"],
            "Only 4 left of KX-100-7": ["orders@example.com"],
        },
        ("Bearing, sealed", "Ines"),
    ),
    "device-security-event": Expected(
        {"[high] malware.blocked on C02XK1TESTMD": ["security@example.com"]}, ("jdoe", "<securityEvent", "Trojan.Test")
    ),
    "database-row-to-mail": Expected(
        {"Order A-1027 from grace@example.com": ["sales@example.com"]}, ("249.5", "grace@example.com"), ("tok_4242",)
    ),
    "password-created": Expected(
        {"Password created for Chuck U Farley": ["care@example.com"]}, ("chuckufarley@example.com",), ("alakldsjf",)
    ),
}


WITH_TESTS = sorted(path.parent.name for path in RECIPES.glob("*/hookchain.yaml") if "\ntests:" in path.read_text())


def test_every_recipe_is_tried_here_or_by_its_own_tests() -> None:
    assert {folder.name for folder in RECIPES.iterdir() if folder.is_dir()} == {*EXPECTED, *WITH_TESTS}


@pytest.mark.parametrize("name", WITH_TESTS)
def test_a_recipes_own_tests_pass(name: str) -> None:
    file = read_config_file(RECIPES / name / "hookchain.yaml")
    results = run_config_tests(file.document, compile_config(file), file.folder)

    assert [(each.name, each.lines) for each in results if not each.passed] == []
    assert len(results) >= 2


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_a_recipes_sample_becomes_the_mails_it_promises(name: str) -> None:
    expected = EXPECTED[name]
    mails = await mails_of(RECIPES / name)
    assert {mail.subject: [to.address for to in mail.to] for mail in mails} == expected.subjects
    for text in (mails[0].text or "", mails[0].html or ""):
        assert all(part in text or part.replace("<", "&lt;") in text for part in expected.holds)
        assert all(part not in text for part in expected.lacks)


async def mails_of(folder: Path) -> list[Mail]:
    slices = compile_file(folder / "hookchain.yaml", {})
    pipeline = Pipeline(slices, secrets_needed(slices), SECRET)
    [sample] = folder.glob("sample.*")
    [source] = pipeline.sources
    return await pipeline.mails(source, sample.read_bytes(), {"Content-Type": CONTENT_TYPES[sample.suffix]})


EVENT: JsonObject = {
    "event": "password_created",
    "eventId": 12345,
    "secretGuid": "alakldsjf24567",
    "customerName": "Chuck U Farley",
    "customerEmail": "chuckufarley@example.com",
}
FIRST_SECRET = "a-secret-of-this-test"


def pipeline(path: Path | None, environ: dict[str, str]) -> Pipeline:
    slices = compile_file(path, environ)
    return Pipeline(slices, secrets_needed(slices), FIRST_SECRET)


@pytest.fixture
def example(root: Path) -> Pipeline:
    return pipeline(root / "deploy/hookchain.example.yaml", {})


async def mail_in(format: str, through: Pipeline, source: str) -> Mail:
    body, content_type = encode_body(EVENT, format)
    [mail] = await through.mails(source, body, {"Content-Type": content_type})
    return mail


@pytest.mark.parametrize("format", ["json", "xml", "yaml", "form"])
async def test_an_event_in_any_format_is_the_same_mail(example: Pipeline, format: str) -> None:
    mail = await mail_in(format, example, "signup-form")
    assert mail.subject == "password_created: Chuck U Farley"
    assert [to.address for to in mail.to] == ["team@example.com"]
    for text in (mail.text or "", mail.html or ""):
        assert "chuckufarley@example.com" in text
        assert "12345" in text
        assert "alakldsjf24567" not in text


@pytest.mark.parametrize("format", ["json", "xml", "yaml", "form"])
async def test_without_a_file_the_mail_shows_the_fields_and_the_body_as_it_came(format: str) -> None:
    through = pipeline(None, {"EMAIL_ADDRESS": "a@example.com, b@example.com"})
    mail = await mail_in(format, through, "webhook")
    assert mail.subject == "Webhook notification"
    assert [to.address for to in mail.to] == ["a@example.com", "b@example.com"]
    body = encode_body(EVENT, format)[0].decode()
    assert body.strip()[:60] in (mail.text or "")
    assert "Chuck U Farley" in (mail.html or "")


async def test_github_push_payloads_signed_as_github_signs_them_reach_the_developers(
    example: Pipeline, node_package: Callable[[str], Path]
) -> None:
    examples = node_package("@octokit/webhooks-examples") / "api.github.com/index.json"
    [pushes] = [hook["examples"] for hook in json.loads(examples.read_text("utf-8")) if hook["name"] == "push"]
    assert pushes
    for number, push in enumerate(pushes):
        headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": f"id-{number}"}
        body = json.dumps(push).encode()
        event, _ = await example.event("github", body, headers)
        [mail] = await example.mails("github", body, headers)
        assert (event.type, event.deliveryid, event.actor) == ("push", f"id-{number}", push["sender"]["login"])
        assert mail.subject == f"push in {push['repository']['full_name']} by {push['sender']['login']}"


async def delivered(recipe: str, workspace: Workspace) -> list[Outcome]:
    """Post the recipe's sample. The first answer to each write is lost, so each delivery needs two attempts."""
    slices = compile_file(RECIPES / recipe / "hookchain.yaml", {})
    pipeline = Pipeline(slices, secrets_needed(slices), "a-secret-of-the-recipes-test")
    [source] = pipeline.sources
    sample = (RECIPES / recipe / "sample.json").read_bytes()
    configured = read_destinations(slices["notify"])
    outcomes: list[Outcome] = []
    for delivery in await pipeline.deliveries(source, sample, {"Content-Type": "application/json"}):
        found = configured[delivery.destination]
        if found.kind in {"sheet", "document"}:
            kind = importlib.import_module(kind_module(found.kind))
            destination = connected(kind, workspace, found.settings)
            workspace.faults[:] = [(":append", "lost"), (":batchUpdate", "lost")]
            await attempted(destination, delivery)
            outcomes.append(await attempted(destination, delivery, number=2))
    return outcomes


async def test_json_becomes_a_row_of_a_sheet() -> None:
    workspace = Workspace()

    [outcome] = await delivered("json-to-sheet", workspace)

    assert outcome == Delivered("the row was there already")
    header, row = workspace.sheets["Signups"]
    assert header == ["At", "Name", "E-mail", "Interests", "Answers", "Delivery"]
    assert row[1:5] == ["Grace Hopper", "grace@example.com", "news, events", '{"size":3,"terms":true}']


@pytest.mark.parametrize("again", [False, True])
async def test_json_becomes_a_document_and_a_section(again: bool) -> None:
    workspace = Workspace()
    documents = workspace.documents.by_id
    documents["1ExampleOfATemplate"] = Document("Invoice {{number}}\nTo {{customer}}, {{address}}\n{{total}} EUR\n")
    documents["1ExampleOfADocument"] = Document("Orders\n" if again else "\n")

    outcomes = await delivered("json-to-doc", workspace)

    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    [made] = [each for each in documents.values() if each.file]
    assert made.text == "Invoice A-1027\nTo Grace Hopper, 1 Harbour Road, Sampleton\n249.5 EUR\n"
    assert made.file["name"] == "Invoice A-1027 for Grace Hopper"
    section = "Order A-1027\nGrace Hopper ordered for 249.5:\n4 × Bearing, sealed\n1 × Shaft\n"
    assert documents["1ExampleOfADocument"].text == ("Orders\n" if again else "") + section
