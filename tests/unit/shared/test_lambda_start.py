"""The start of each function on AWS Lambda, and the slice of the configuration that it loads."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from shared.settings import SliceFault, load_slice
from tests.running.processes import ROOT

FUNCTIONS: Final = ("receive", "transform", "notify")
CONFIG: Final = """
sources: {web: {auth: {scheme: hmac, header: X-Signature, secret: web-secret}}}
routes: [{name: all, from: web, steps: [{drop: [data.password]}], to: crm}]
destinations: {crm: {email: {to: [a@example.com], from: b@example.com, subject: "{{ data.name }}"}}}
"""
NEVER: Final = {
    *("google", "grpc", "functions_framework", "flask", "starlette", "uvicorn", "gunicorn", "aiohttp"),
    *("boto3", "botocore", "urllib3", "requests", "yaml"),
}
SCRIPT: Final = """
import importlib, sys, threading, asyncio
before = set(sys.modules)
module = importlib.import_module(sys.argv[1])
assert threading.active_count() == 1 and callable(module.handler)
print(*set(sys.modules) - before)
"""
LAMBDA: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": "hookchain",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "HOOKCHAIN_TABLES": "hookchain-",
    "HOOKCHAIN_BUCKET": "hookchain-blobs",
}


def start(function: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Load the handler as Lambda's runtime does."""
    command = [sys.executable, "-c", SCRIPT, f"functions.{function}.lambda_handler"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_start_imports_nothing_of_another_platform(function: str, tmp_path: Path) -> None:
    compiled = compile_config(parse_config(CONFIG, "test.yaml", tmp_path))[function]
    (tmp_path / "slice.json").write_text(json.dumps(compiled))
    done = start(function, {**LAMBDA, "HOOKCHAIN_SLICE": str(tmp_path / "slice.json")})
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert f"functions.{function}.wiring" in imported
    assert not {name.partition(".")[0] for name in imported} & NEVER
    others = ("shared.cloud.gcp", "shared.cloud.local", "shared.telemetry", f"functions.{function}.tracing")
    assert not [name for name in imported if name.startswith(others)]


def test_a_slice_that_does_not_load_ends_the_start_with_the_fault_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "slice.json").write_text('{"function": "another"}')
    done = start("receive", {**LAMBDA, "HOOKCHAIN_SLICE": str(tmp_path / "slice.json")})
    assert done.returncode == 1
    (line,) = [json.loads(each) for each in done.stdout.splitlines()]
    assert (line["severity"], line["function"]) == ("CRITICAL", "receive")
    assert "expected a slice of" in line["detail"]


# Slices


def test_in_a_checkout_the_slice_is_compiled_now() -> None:
    assert load_slice("notify")["function"] == "notify"


def test_a_bundle_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "slice.json").write_text(json.dumps({"function": "notify"}))
    assert load_slice("notify", root=tmp_path) == {"function": "notify"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("not JSON", "is not JSON"), ('{"function": "receive"}', "expected a slice of 'notify', found one of 'receive'")],
)
def test_a_slice_that_was_not_compiled_for_the_function_is_a_fault(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "slice.json").write_text(content)
    with pytest.raises(SliceFault, match=re.escape(message)):
        load_slice("notify", root=tmp_path)


def test_where_nothing_is_the_fault_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SliceFault, match="make bundle"):
        load_slice("notify", root=tmp_path)
    with pytest.raises(SliceFault, match="make bundle"):
        load_slice("notify", tmp_path / "gone.json")
