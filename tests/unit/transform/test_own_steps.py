"""Steps of the operator's own, from their files to what they decide."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.bundle.bundle import contents
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.sections.own_files import own_step_warnings
from deploy.explain.config_tests import run_config_tests
from tests.unit.config.own_configuration import CONFIG, EVENT, STEP, config_file, data_of, decided, faults


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_steps").mkdir()
    (tmp_path / "my_steps" / "loyalty.py").write_text(STEP, encoding="utf-8")
    return tmp_path


async def test_a_step_of_the_operators_own_is_used_by_its_name(folder: Path) -> None:
    decision = await decided(folder, EVENT)

    assert data_of(decision) == [{"total": 42, "points": 4}]


WRITES_INTO_IT = STEP[: STEP.index("        return")] + (
    "        event.data['points'] = event.data.pop('total') // self.per_point\n        return event\n"
)


async def test_what_it_writes_into_the_event_no_other_route_sees(folder: Path) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(WRITES_INTO_IT, encoding="utf-8")
    second = CONFIG.replace("  - name: asleep\n    enabled: false\n", "  - name: second\n")
    event = replace(EVENT, data={"total": 42}, rawbody='{"total": 42}')

    changed, untouched = (await decided(folder, event, second)).owed

    assert (changed.event.data, changed.event.rawbody) == ({"points": 4}, None)
    assert (untouched.event.data, untouched.event.rawbody) == ({"total": 42}, '{"total": 42}')


async def test_one_that_answers_the_event_as_it_is_leaves_the_body_as_it_came(folder: Path) -> None:
    source = STEP[: STEP.index("        return")] + "        return event\n"
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")
    event = replace(EVENT, rawbody='{"total": 42}')

    [owed] = (await decided(folder, event)).owed

    assert owed.event == event
    assert owed.event.data is event.data


def test_its_text_travels_in_the_slice_so_that_the_bundle_holds_it(folder: Path, root: Path) -> None:
    slices = compile_config(config_file(folder))

    assert slices["transform"]["own_steps"] == {"my_steps/loyalty.py": STEP}
    files = contents(root, "transform", slices["transform"], "gcp")
    assert any(b"class Loyalty" in content for content in files.values())
    assert "own_steps" not in str(slices["receive"]) + str(slices["notify"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_of_that_name\n", "my_steps/loyalty.py: line 1: ModuleNotFoundError"),
        ("x = (\n", "my_steps/loyalty.py: line 1: '(' was never closed"),
        ("x = 1\n\n1 / 0\n", "my_steps/loyalty.py: line 3: ZeroDivisionError"),
        ("import sys\n\nsys.exit(1)\n", "my_steps/loyalty.py: line 3: SystemExit: 1"),
        (
            f"from functions.notify import notify\n{STEP}",
            "my_steps/loyalty.py: imports 'functions.notify', which transform's bundle does not contain",
        ),
        (f"{STEP}\nfrom shared.cloud.local import documents\n", "imports 'shared.cloud.local', which transform"),
        ("x = 1\n", "no class in it is both a pydantic model and a Step"),
        (STEP.replace("def apply", "def aply"), "the step 'loyalty' has no `def apply(self, …)`"),
        (STEP.replace("    summary:", "    sumary:"), "the step 'loyalty' has no `summary: ClassVar[…]`"),
        (
            f"{STEP}\n    def model_post_init(self, _: object) -> None:\n        self.per_point / 0\n",
            "step 1 'loyalty': its code fails on these settings: ZeroDivisionError at my_steps/loyalty.py:25",
        ),
        (STEP.replace("class Loyalty", "class Drop"), "there is another step 'drop'; give its class another name"),
    ],
)
def test_a_file_that_gives_no_steps_is_a_fault_of_the_configuration(folder: Path, source: str, message: str) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")

    text = faults(folder, CONFIG)
    assert f"hookchain.yaml:4: steps_from: {message}" in text or message in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            f"import requests.auth\n{STEP}",
            ["imports 'requests', which transform's bundle contains only if something else needs it"],
        ),
        (f"import json\nimport collections.abc\n{STEP}", []),
        (f"import yaml\n{STEP}".replace("    summary:", '    extras: ClassVar = ("yaml",)\n    summary:'), []),
    ],
)
def test_a_package_that_may_be_missing_where_it_runs_is_told_of(folder: Path, source: str, message: list[str]) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")
    compile_config(config_file(folder))

    found = [fault.text("hookchain.yaml") for fault in own_step_warnings(config_file(folder))]

    assert len(found) == len(message)
    for text, word in zip(found, message, strict=True):
        assert text.startswith(f"hookchain.yaml:4: steps_from: my_steps/loyalty.py: {word}")


def test_a_fault_of_a_file_is_one_line(folder: Path) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(STEP.replace("summary: ClassVar[str]", "summary"), encoding="utf-8")

    [lines, *_] = faults(folder, CONFIG).splitlines()
    assert "PydanticUserError: A non-annotated attribute was detected" in lines
    assert "For further information" not in faults(folder, CONFIG)


def test_a_file_that_is_not_there_is_a_fault(folder: Path) -> None:
    text = faults(folder, CONFIG.replace("my_steps/loyalty.py", "my_steps/loyality.py"))

    assert "the file 'my_steps/loyality.py', relative to the configuration's folder, cannot be read" in text
    assert "there is no such step" not in text, "the missing file is the one fault"


def test_the_example_of_a_step_of_ones_own_is_a_test_of_the_configuration(folder: Path) -> None:
    file = config_file(folder)
    [result] = run_config_tests(file.document, compile_config(file), folder)
    assert (result.name, result.lines) == ("the example of the step 'loyalty'", ())

    (folder / "my_steps" / "loyalty.py").write_text(STEP.replace('"points": 4', '"points": 5'), encoding="utf-8")
    [result] = run_config_tests(file.document, compile_config(file), folder)
    assert result.lines == ("- data.points: 5", "+ data.points: 4")


@pytest.mark.parametrize("missing", ["summary", "example"])
def test_a_step_without_its_line_or_its_example_is_a_fault(folder: Path, missing: str) -> None:
    source = STEP.replace(f"    {missing}: ClassVar", f"    other_{missing}: ClassVar")
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")

    assert f"the step 'loyalty' has no `{missing}: ClassVar[…]`" in faults(folder, CONFIG)


def test_the_step_and_the_routes_that_the_page_shows_work(tmp_path: Path, root: Path) -> None:
    page = (root / "functions" / "transform" / "README.md").read_text(encoding="utf-8")
    [python] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    blocks = {text.split(":")[0]: text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)}
    (tmp_path / "my_steps").mkdir()
    (tmp_path / "my_steps" / "loyalty.py").write_text(python, encoding="utf-8")
    rest = "sources: {shop: {auth: none}}\ndestinations:\n"
    rest += "".join(f"  {name}: {{email: {{to: a@example.com, subject: x}}}}\n" for name in ("crm", "newsletter-list"))

    file = config_file(tmp_path, blocks["steps_from"] + blocks["tests"] + rest)
    results = run_config_tests(file.document, compile_config(file), tmp_path)
    assert [(each.name, each.lines) for each in results] == [
        ("the example of the step 'loyalty_points'", ()),
        ("an order becomes points", ()),
    ]
    routes = next(text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "\nroutes:" in text)
    assert compile_config(parse_config(routes + rest, "hookchain.yaml", tmp_path))
