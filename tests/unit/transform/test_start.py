"""The libraries that transform loads are those that its configuration needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.jsontext import Json

LIBRARIES = ("pydantic", "jmespath", "jsonschema", "jinja2", "yaml", "xml", "zoneinfo")
LOAD = """
import json, sys
from functions.transform import entry
from functions.transform.program import read_program
route = {"name": "all", "to": ["crm"], **json.loads(sys.argv[1])}
read_program({"function": "transform", "routes": [route]}, is_compiled=True)
print(json.dumps(sorted(set(sys.argv[2:]) & sys.modules.keys())))
"""


@pytest.mark.parametrize(
    ("route", "loaded"),
    [
        ({"from": ["shop"], "types": ["order.*"]}, []),
        ({"where": "data.paid"}, ["jmespath"]),
        ({"steps": [{"drop": ["data.password"]}]}, ["jmespath"]),
        ({"steps": [{"lint": {"types": {"data.n": "integer"}}}]}, ["jmespath"]),
        ({"steps": [{"parse_time": {"path": ["data.at"]}}]}, ["jmespath"]),
        ({"steps": [{"parse_time": {"path": ["data.at"], "zone": "Europe/Berlin"}}]}, ["jmespath", "zoneinfo"]),
        ({"steps": [{"fetch": {"url": "https://api.example.com/", "into": "data.a"}}]}, ["jinja2", "jmespath"]),
    ],
)
def test_a_route_loads_the_libraries_that_it_needs(root: Path, route: Json, loaded: list[str]) -> None:
    command = [sys.executable, "-c", LOAD, json.dumps(route), *LIBRARIES]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == loaded


def test_what_only_routes_that_wait_need_is_loaded_for_no_other_configuration(root: Path) -> None:
    """A configuration without steps that ask pays nothing for them."""
    load = """
import sys
from functions.transform import entry, transform
from functions.transform.program import read_program
from functions.notify import entry
from functions.notify.waiting import sweep
read_program({"routes": [{"name": "all", "to": ["crm"], "steps": [{"drop": ["data.a"]}]}]}, is_compiled=True)
print([name for name in sys.modules if name in {"shared.waiting_route", "functions.notify.waiting.routes",
    "functions.transform.steps.ask", "functions.transform.hosts"}])
"""
    done = subprocess.run([sys.executable, "-c", load], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
