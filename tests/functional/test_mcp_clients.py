"""`hookchain mcp` as the official clients of the Model Context Protocol use it, over standard input and output."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.command import audit_records
from tests.fakes.kept import NOW, Kept
from tests.running.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOOKCHAIN: Final = (sys.executable, "-m", "deploy.cli", "mcp")
DESTINATION: Final = "destinations: {hook: {webhook: {url: https://hook.example/in, secret: hook-key}}}"
READING: Final = (
    *("search_events", "get_event", "get_event_body", "list_deliveries", "list_dead_letters", "list_destinations"),
    *("list_sources", "list_providers", "explain_request", "lint_configuration", "test_configuration"),
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = Kept(tmp_path)
    kept.delivered(kept.event("e1e1e1e1", at=NOW))
    return {**os.environ, "HOOKCHAIN_STATE": str(tmp_path), "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("mode", ["auto", "2026-07-28", "legacy"])
def test_the_client_for_python_lists_and_calls_the_tools(mode: str, environ: dict[str, str]) -> None:
    mcp = pytest.importorskip("mcp", reason="mcp is not installed: run `make check`, which installs it")
    parameters = mcp.StdioServerParameters(command=HOOKCHAIN[0], args=list(HOOKCHAIN[1:]), env=environ)

    async def used() -> tuple[list[str], str]:
        async with mcp.Client(parameters, mode=mode) as client:
            tools = await client.list_tools()
            result = await client.call_tool("get_event", {"id": "e1e1e1"})
            assert not result.is_error
            failed = await client.call_tool("get_event", {})
            assert failed.is_error
            return [tool.name for tool in tools.tools], result.content[0].text

    names, text = asyncio.run(used())
    assert names == [*READING]
    assert json.loads(text)["status"] == "delivered"


def test_the_client_for_python_pauses_a_destination_with_permission(environ: dict[str, str], tmp_path: Path) -> None:
    mcp = pytest.importorskip("mcp", reason="mcp is not installed: run `make check`, which installs it")
    config = tmp_path / "hookchain.yaml"
    config.write_text("sources: {web: {auth: none}}\nroutes: [{name: all, to: hook}]\n" + DESTINATION, encoding="utf-8")
    line = [*HOOKCHAIN[1:], "--allow-write", "--config", str(config)]
    parameters = mcp.StdioServerParameters(command=HOOKCHAIN[0], args=line, env=environ)

    async def used() -> str:
        async with mcp.Client(parameters) as client:
            result = await client.call_tool("pause_destination", {"destination": "hook"})
            assert not result.is_error, result.content[0].text
            return str(result.content[0].text)

    assert json.loads(asyncio.run(used()))["destination"] == "hook"
    [record] = audit_records(tmp_path)
    assert record["what"] == "pause hook"


@pytest.mark.parametrize("revision", ["initialize", "auto", "2026-07-28"])
def test_the_client_for_typescript_lists_and_calls_the_tools(
    revision: str, environ: dict[str, str], node_package: Callable[[str], Path]
) -> None:
    if not shutil.which("node"):
        pytest.skip("node is not here: install Node.js 20 or later")
    node_package("@modelcontextprotocol/client")
    script = ROOT / "tests" / "functional" / "mcp_client.mjs"
    line = ["node", str(script), revision, "get_event", '{"id": "e1e1e1"}', *HOOKCHAIN]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["tools"] == [*READING]
    assert json.loads(printed["text"])["id"] == "e1e1e1e1"


NOISY: Final = """
import os, sys
print("noise")
os.write(1, b"noise of the descriptor")
assert sys.stdin.read() == "" and os.read(0, 9) == b""
"""


def test_the_operators_code_that_prints_and_reads_disturbs_no_message(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(NOISY, encoding="utf-8")
    config = tmp_path / "hookchain.yaml"
    config.write_text(
        "sources: {web: {auth: none}}\nroutes: []\ndestinations: {}\nsteps_from: [noisy.py]\n", encoding="utf-8"
    )
    call = {"name": "explain_request", "arguments": {"source": "web", "body": "{}"}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
    ]
    lines = "".join(f"{json.dumps(each)}\n" for each in messages)
    done = subprocess.run(
        [*HOOKCHAIN, "--config", str(config)], env=environ, input=lines, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]
    assert "noise" in done.stderr
