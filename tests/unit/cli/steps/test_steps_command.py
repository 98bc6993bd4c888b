"""`hookchain steps` and `schema`: every step, its settings and an example."""

import json
from pathlib import Path

import jsonschema
import pytest

from deploy.config.config_file import read_config_file
from functions.transform.program import step_classes
from shared.jsontext import Json
from tests.unit.cli.steps.hookchain import CONFIG, Hookchain


def test_steps_lists_every_step_with_its_line(hookchain: Hookchain) -> None:
    _, out, _ = hookchain("steps")

    text = " ".join(out.decode().split())
    for name, model in step_classes().items():
        assert f"{name} {model.__dict__['summary']}" in text


@pytest.mark.parametrize("name", step_classes())
def test_steps_tells_of_each_what_it_takes_and_an_example(hookchain: Hookchain, name: str) -> None:
    code, out, _ = hookchain("steps", name)

    assert code == 0
    assert f"- {name}:" in out.decode()
    assert "before  " in out.decode()
    documents: Json = json.loads(hookchain("steps", name, "--json")[1])
    assert isinstance(documents, dict)
    assert len(str(documents["steps"])) > 200


def test_a_step_that_there_is_not_is_answered_with_the_nearest(hookchain: Hookchain) -> None:
    code, _, err = hookchain("steps", "redcat")

    assert (code, "did you mean 'redact'?" in err) == (1, True)


def test_the_schema_takes_what_the_models_take_and_rejects_what_they_reject(
    hookchain: Hookchain, config: Path, root: Path
) -> None:
    schema: Json = json.loads(hookchain("schema")[1])
    assert isinstance(schema, dict)
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in [config, root / "deploy/hookchain.example.yaml", *root.glob("deploy/recipes/*/hookchain.yaml")]:
        assert [error.message for error in validator.iter_errors(read_config_file(path).document)] == []
    for change in (("drop:", "dorp:"), ("email:", "emial:"), ("from: form", "form: form"), ("[data.password]", "7")):
        config.write_text(CONFIG.replace(*change))
        assert list(validator.iter_errors(read_config_file(config).document)), change


def test_a_setting_that_no_docstring_names_is_listed_with_its_default(hookchain: Hookchain, config: Path) -> None:
    own = """from typing import ClassVar

from pydantic import BaseModel, Field

from functions.transform.step import Example, Step, StepContext
from shared.event import Event


class Points(BaseModel, Step):
    summary: ClassVar[str] = "Count points."
    example: ClassVar[Example] = Example(settings={"per_point": 10}, before={}, after={})
    per_point: int = Field(description="money")
    round_up: bool = False

    def apply(self, event: Event, _: StepContext) -> Event:
        return event
"""
    Path(config.parent, "points.py").write_text(own, encoding="utf-8")
    config.write_text(f"steps_from: [points.py]\n{CONFIG}", encoding="utf-8")

    code, out, _ = hookchain("steps", "points", "--config", str(config))

    assert code == 0
    assert b"\nper_point  money; required\nround_up   default: false\n" in out


def test_chains_and_steps_of_the_configuration_that_is_here_are_known(
    hookchain: Hookchain, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(config))
    document = b'{"a": 1, "password": "x"}'

    assert hookchain("step", "[{chain: clean}]", stdin=document)[:2] == (0, b"a: 1\n")
    assert hookchain("step", "convert: {to: yaml}", "--config", "none", stdin=b'{"a": 1}')[:2] == (0, b"a: 1\n")

    config.write_text("sources: [", encoding="utf-8")
    assert hookchain("step", "drop: [data.password]", stdin=document)[:2] == (0, b'{"a":1}')
    code, _, text = hookchain("step", "dorp: [data.password]", stdin=document)
    assert (code, "there is no such step; did you mean 'drop'?" in text) == (2, True)
    code, _, text = hookchain("step", "clean", stdin=document)
    assert (code, "not YAML" in text) == (2, True)
