"""How an operator's commands reach what a bundle keeps on Google Cloud."""

import asyncio
import socket
from pathlib import Path

import pytest

from deploy.cli.main import main
from deploy.cloud_access.gcp_names import Target
from deploy.history.gcp import EMULATED, cloud_place, operator_authorization
from deploy.history.state import StateFault
from tests.stub_gcloud import StubGcloud

TARGET = Target("a-project")


def test_the_token_is_of_whoever_is_signed_in_to_gcloud_and_asked_for_once(gcloud: StubGcloud) -> None:
    gcloud.answers("auth print-access-token", "a-token\n")
    authorization = operator_authorization({})

    async def ask() -> list[str | None]:
        return [await authorization(), await authorization()]

    assert asyncio.run(ask()) == ["Bearer a-token"] * 2
    assert len(gcloud.calls) == 1


@pytest.mark.parametrize("command", [["events", "list"], ["inspect"]])
def test_every_command_says_so_too(gcloud: StubGcloud, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    gcloud.answers("auth print-access-token", code=1)
    assert main([*command, "--platform", "gcp", "--project", "a-project"]) == 1
    assert capsys.readouterr().err.strip().endswith("nobody is signed in to gcloud. Run: gcloud auth login")


def test_a_project_that_is_none_is_reported_before_anything_is_asked(
    gcloud: StubGcloud, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["events", "list"], ["inspect"]):
        assert main([*command, "--platform", "gcp", "--project", "No Project"]) == 1
        assert "project: must be 6 to 30" in capsys.readouterr().err
    assert gcloud.calls == []


@pytest.mark.parametrize("missing", EMULATED)
def test_a_cloud_that_is_emulated_in_part_is_rejected(missing: str) -> None:
    environ = {name: "127.0.0.1:1" for name in EMULATED if name != missing}
    with pytest.raises(StateFault, match=f"{missing}. Set all of them or none"):
        cloud_place(TARGET, environ)


def test_a_port_in_use_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as result:
        port = result.getsockname()[1]
        assert main(["inspect", "--state", str(tmp_path), "--port", str(port)]) == 1
    output = capsys.readouterr()
    assert (output.out, f"port {port} is in use" in output.err) == ("", True)


def test_a_cloud_is_emulated_whole_or_not_at_all() -> None:
    assert cloud_place(TARGET, {}).settings.is_local is False
    assert cloud_place(TARGET, dict.fromkeys(EMULATED, "127.0.0.1:1")).settings.is_local is True
