"""The design's tree, held by test: who may import whom, and that importing does nothing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

from deploy.config.sections.own_files import imported_modules

FUNCTIONS: Final = ("receive", "transform", "notify", "subscribe")
CLOUD_PACKAGES: Final = ("google", "boto3", "botocore", "functions_framework", "sendgrid")

LAYERS: Final = (
    {"cli"},
    {"platforms"},
    {"doctor"},
    {"dev", "gcp", "aws"},
    {"explain", "subscribers"},
    {"history"},
    {"bundle"},
    {"topology"},
    {"secrets"},
    {"requests"},
    {"cloud_access"},
    {"config"},
    {"hooks"},
    {"terminal", "client"},
)
"""The rooms of deploy/, top to bottom: each imports rooms below it, and none beside it."""

# What the system says; a secret's variable, as the README has them; and what is told to our own server only.
NO_SETTINGS: Final = {"PATH", "LISTEN_PID", "SENDGRID_API_KEY", "WEBHOOK_SECRET", "FORWARDED_ALLOW_IPS"}

# Every module at once, in a process that may open no connection and start no thread.
IMPORT_ALL: Final = """
import importlib, socket, sys, threading
def refuse(*_, **__): raise AssertionError("a module did this while it was imported")
socket.socket.connect = socket.socket.bind = refuse
threading.Thread.start = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
assert threading.active_count() == 1
"""


def python_files(root: Path, *folders: str) -> Iterator[Path]:
    for folder in folders:
        paths = (path.relative_to(root) for path in sorted((root / folder).rglob("*.py")))
        yield from (path for path in paths if "build" not in path.parts)  # what pip leaves beside deploy/client


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@cache
def imports_of(root: Path, path: Path) -> set[str]:
    return set(imported_modules((root / path).read_text(encoding="utf-8")))


def is_of(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def forbidden_imports(root: Path, files: Iterator[Path], *packages: str) -> list[str]:
    return [
        f"{path} imports {module}"
        for path in files
        for module in sorted(imports_of(root, path))
        if is_of(module, *packages)
    ]


def test_every_module_is_imported_with_an_empty_environment_no_network_and_no_thread(root: Path) -> None:
    modules = [module_name(path) for path in python_files(root, "functions", "shared", "deploy")]
    runnable = [name for name in modules if not name.endswith("__main__")]
    command = [sys.executable, "-c", IMPORT_ALL, *runnable]
    done = subprocess.run(command, cwd=root, env={}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_the_library_knows_no_platform_and_no_function(root: Path) -> None:
    outside_cloud = (path for path in python_files(root, "shared") if not path.is_relative_to("shared/cloud"))
    assert not forbidden_imports(root, outside_cloud, "shared.cloud", "functions", "deploy", *CLOUD_PACKAGES)


def test_the_ports_on_a_platform_know_no_function(root: Path) -> None:
    assert not forbidden_imports(root, python_files(root, "shared/cloud"), "functions", "deploy")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_neither_another_one_nor_the_deployment(root: Path, function: str) -> None:
    others = [f"functions.{other}" for other in FUNCTIONS if other != function]
    assert not forbidden_imports(root, python_files(root, f"functions/{function}"), "deploy", "tests", *others)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_the_entry_points_and_the_wiring_know_a_platform(root: Path, function: str) -> None:
    """The framework in main.py, the ports of a platform and the environment in wiring.py."""
    folder = Path("functions") / function
    inner = [path for path in python_files(root, str(folder)) if path.name not in {"main.py", "lambda_handler.py"}]
    assert not forbidden_imports(root, iter(inner), "functions_framework", "starlette", "flask")
    inner.remove(folder / "wiring.py")
    assert not forbidden_imports(root, iter(inner), "shared.cloud")
    readers = [str(path) for path in inner if re.search(r"os\.(environ|getenv)", (root / path).read_text())]
    assert not readers


def test_no_module_imports_one_that_imports_it_even_for_types(root: Path) -> None:
    paths = {module_name(path): path for path in python_files(root, "functions", "shared", "deploy")}
    imported = {name: imports_of(root, path) & set(paths) - {name} for name, path in paths.items()}
    assert [*TopologicalSorter(imported).static_order()], "CycleError names the modules of a circle"


def test_each_room_of_deploy_imports_only_rooms_below_it(root: Path) -> None:
    layer = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    upward = []
    for path in python_files(root, "deploy"):
        if len(path.parts) < 3:
            continue
        room = path.parts[1]
        for module in sorted(imports_of(root, path)):
            other = module.split(".")[1] if module.startswith("deploy.") else ""
            if other and other != room and layer[other] <= layer[room]:
                upward.append(f"{path} imports {module}")
    assert not upward


def test_receive_is_imported_without_models_yaml_queries_templates_or_a_cloud_library(root: Path) -> None:
    """Besides what the framework itself imports, which is Flask and with it Jinja."""
    script = "import functions_framework.aio, sys; framework = set(sys.modules); import functions.receive.main;"
    script += "print(*sys.modules.keys() - framework)"
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env={}, capture_output=True, text=True, check=True)
    heavy = ("pydantic", "yaml", "jmespath", "jinja2", "google", "sendgrid", "urllib3")
    assert not [module for module in done.stdout.split() if is_of(module, *heavy)]


def without_docstring(source: str) -> list[ast.stmt]:
    tree = ast.parse(source)
    return tree.body if ast.get_docstring(tree) is None else tree.body[1:]


def test_packages_hold_only_a_docstring_except_for_the_clients_public_names(root: Path) -> None:
    folders = ("functions", "shared", "deploy", "tests")
    full = [
        str(path)
        for path in python_files(root, *folders)
        if path.name == "__init__.py"
        and without_docstring((root / path).read_text())
        and not path.is_relative_to("deploy/client/hookchain")
    ]
    assert not full


def test_the_top_level_is_the_designs(root: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout, so nobody knows what belongs to it: git clone it")
    tops = {name.split("/")[0] for name in listed.stdout.split("\0") if name}
    allowed = {"pyproject.toml", "Makefile", "README.md", "LICENSE", ".gitignore", ".gcloudignore", ".ci"}
    assert tops <= allowed | {"functions", "shared", "deploy", "tests"}


def test_every_setting_is_documented(root: Path) -> None:
    """Each variable that shared/settings.py reads stands in its docstring and on the page of settings."""
    source = (root / "shared" / "settings.py").read_text(encoding="utf-8")
    body = source.partition("def read_settings(")[2]
    variables = set(re.findall(r"\"([A-Z]+_[A-Z_]+)\"", body))
    docstring = ast.get_docstring(next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))) or ""
    assert variables
    assert not [name for name in sorted(variables) if name not in docstring]
    page = (root / "deploy" / "README.md").read_text(encoding="utf-8")
    assert not [name for name in sorted(variables) if f"`{name}`" not in page]


def test_every_variable_that_a_command_reads_is_on_the_page_of_settings(root: Path) -> None:
    read: set[str] = set()
    for path in python_files(root, "functions", "shared", "deploy"):
        read.update(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", (root / path).read_text(encoding="utf-8")))
    page = (root / "deploy" / "README.md").read_text(encoding="utf-8")
    assert len(read) > 15
    assert not [name for name in sorted(read - NO_SETTINGS) if f"`{name}`" not in page]
