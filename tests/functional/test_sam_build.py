"""The unmodified `sam build` on what plan-aws writes: the folders that a deployment uploads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.aws.sam import tool_environ
from deploy.cli import aws_deployment
from tests.running.processes import ROOT
from tests.unit.aws.rendered import tool_or_skip

pytestmark = pytest.mark.slow

MIB = 2**20


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_sam_builds_each_function_for_lambdas_processor(tmp_path: Path) -> None:
    if sys.version_info[:2] != (3, 13):
        pytest.skip("sam build takes the Python that runs on Lambda: make test PYTHON=python3.13")
    sam_command = tool_or_skip("sam")
    out = tmp_path / "aws"
    config = ROOT / "deploy" / "recipes" / "subscribers" / "hookchain.yaml"
    assert aws_deployment.plan_aws(["--config", str(config), "--out", str(out), "--env-file", "/dev/null"]) == 0
    command = [sam_command, "build", "--template", str(out / "template.yaml"), "--build-dir", str(tmp_path / "built")]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = tool_environ() | {"PATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("Receive", "Transform", "Notify", "Subscribe"):
        built = tmp_path / "built" / f"{name}Function"
        assert (built / "slice.json").is_file()
        assert (built / "functions" / name.lower()).is_dir()
        compiled = [found.name for found in built.rglob("*.so")]
        assert compiled
        assert not [name for name in compiled if "x86_64" in name]
    assert size(tmp_path / "built" / "ReceiveFunction") < 15 * MIB
