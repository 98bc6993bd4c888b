"""The package for applications, deploy/client, built from a clone and installed beside the project itself."""

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.receiver import http_answer, receiver
from tests.running.processes import ROOT

pytestmark = pytest.mark.slow

APPLICATION: Final = """
import sys
from hookchain import Hmac, Outcome, send

outcome: Outcome = send(sys.argv[1], {"event": "signup.created"}, auth=Hmac("X-Sig"), secret="a key")
print(outcome.ok, outcome.event_id)
"""
OVERLAP: Final = """
import importlib.metadata, json
files = {name: {str(each) for each in importlib.metadata.files(name)} for name in ("hookchain", "hookchain-client")}
import deploy.client.hookchain, functions, hookchain, shared
print(json.dumps({"both": sorted(files["hookchain"] & files["hookchain-client"]), "path": hookchain.__file__}))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git has: a build in the checkout itself would leave its folders there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout, so nobody knows what belongs to it: git clone it")
    folder = tmp_path_factory.mktemp("clone")
    for name in filter(None, listed.stdout.split("\0")):
        if not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def build(project: Path, out: Path) -> Path:
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--wheel-dir", str(out)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(project)], check=True)
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(clone / "deploy" / "client", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def python(clone: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the project and the client, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    project = build(clone, tmp_path_factory.mktemp("project"))
    options = ["--no-index", "--no-deps", "--quiet"]
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter)]
    subprocess.run([*pip, "install", *options, str(project), str(wheel)], check=True)
    return interpreter


def test_the_wheel_has_the_signing_code_itself_and_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        signing = archive.read("hookchain/signing.py")
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    assert {"hookchain/__init__.py", "hookchain/py.typed"} < names
    assert {name.split("/")[0] for name in names} == {"hookchain"}
    assert signing == (ROOT / "shared" / "signatures" / "signing.py").read_bytes()
    assert not [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]


def test_it_is_installed_beside_the_project_without_a_clash(python: Path, tmp_path: Path) -> None:
    done = subprocess.run([str(python), "-c", OVERLAP], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["both"] == []
    assert found["path"].endswith("site-packages/hookchain/__init__.py")


def test_an_application_sends_with_it_and_its_types_are_checked(python: Path, tmp_path: Path) -> None:
    program = tmp_path / "application.py"
    program.write_text(APPLICATION, encoding="utf-8")
    with receiver(http_answer(200, b'{"id":"3f2a9c"}')) as hook:
        done = subprocess.run([str(python), str(program), hook.url], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True 3f2a9c\n", done.stderr
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "--config-file", ""]
    assert subprocess.run([*mypy, str(program)], cwd=tmp_path, capture_output=True).returncode == 0
    program.write_text(APPLICATION.replace('secret="a key"', "secret=1"), encoding="utf-8")
    wrong = subprocess.run([*mypy, str(program)], cwd=tmp_path, capture_output=True, text=True)
    assert 'Argument "secret" to "send" has incompatible type "int"' in wrong.stdout
