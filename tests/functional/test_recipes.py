"""Each recipe, from its sample to the mails that it makes, through the three functions' own decisions."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.config.compiler import compile_config, compile_file, secrets_needed
from deploy.config.config_file import read_config_file
from deploy.explain.config_tests import run_config_tests
from functions.notify.destinations.email.mail import Mail
from tests.in_process.pipeline import Pipeline

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
