"""plan-gcp, deploy-gcp and destroy-gcp as people run them, with a gcloud on PATH that keeps a small Google Cloud."""

import io
import os
import pty
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from tests.fakes.command import exit_code
from tests.gcloud.stub import WorldGcloud, install_world
from tests.gcloud.world import World
from tests.gcp.serving import served
from tests.running.processes import PATIENCE_SECONDS, wait_for

PROJECT = "my-project"
NOBODY = "http://127.0.0.1:9"
"""Where nothing listens: no policy can be asked for."""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int | str | None
    out: str
    err: str


def environ(gcloud: WorldGcloud | None, more: Mapping[str, str]) -> dict[str, str]:
    path = gcloud.path if gcloud else str(Path(sys.executable).parent)
    own = {"PATH": path, "CLOUDSDK_API_ENDPOINT_OVERRIDES_ORGPOLICY": NOBODY, "HOOKCHAIN_CONFIG": "none"}
    return {**os.environ, **own, **more}


class Hookchain:
    """`folder` takes the bundles; no .env of a developer is read."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder

    def __call__(self, *arguments: str, gcloud: WorldGcloud | None = None, **more: str) -> Ran:
        bundles = [] if arguments[0] == "destroy-gcp" else ["--out", str(self.folder / "build")]
        env_file = self.folder / "env"
        read = str(env_file) if arguments[0] == "deploy-gcp" or env_file.exists() else os.devnull
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in environ(gcloud, more).items():
                patch.setenv(name, value)
            code = exit_code(*arguments, *bundles, "--env-file", read)
        return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture
def hookchain(root: Path, tmp_path: Path) -> Hookchain:
    return Hookchain(root, tmp_path)


pytestmark = pytest.mark.slow

SECRET: Final = "SG.a-key-of-the-test"
SETTINGS: Final = {"EMAIL_ADDRESS": "me@example.com", "SENDGRID_API_KEY": SECRET}
TARGET: Final = ("--project", PROJECT)


@pytest.fixture
def gcloud(tmp_path: Path) -> WorldGcloud:
    return install_world(tmp_path / "bin", World())


@pytest.fixture(scope="module")
def first(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """What the first deployment printed, and its folder."""
    folder = tmp_path_factory.mktemp("first")
    gcloud = install_world(folder / "bin", World())
    ran = Hookchain(root, folder)("deploy-gcp", *TARGET, gcloud=gcloud, **SETTINGS)
    assert ran.code == 0, ran.err
    return ran, folder


@pytest.fixture
def deployed(first: tuple[Ran, Path], tmp_path: Path) -> WorldGcloud:
    """A copy of what was made there, with the .env that it left."""
    shutil.copy(first[1] / "env", tmp_path / "env")
    return install_world(tmp_path / "bin", WorldGcloud(first[1] / "bin").world)


def test_a_plan_is_printed_offline_with_no_gcloud_and_no_file(hookchain: Hookchain, tmp_path: Path) -> None:
    ran = hookchain("plan-gcp", *TARGET, EMAIL_ADDRESS="me@example.com")
    assert ran.code == 0, ran.err
    assert "gcloud run deploy hookchain-receive --source=" in ran.out
    assert (tmp_path / "build" / "gcp" / "dashboard.json").is_file(), "the lines read files, so they are written"
    assert (tmp_path / "build" / "receive" / "main.py").is_file()


def test_a_plan_names_its_configuration_and_warns_of_an_address_that_counts_no_more(hookchain: Hookchain) -> None:
    config = "deploy/recipes/push-to-one-line/hookchain.yaml"
    command = ["plan-gcp", *TARGET, "--config", config]
    ran = hookchain(*command, EMAIL_ADDRESS="me@example.com")
    assert ran.out.splitlines()[0] == f"# Configuration: {config}"
    assert f"warning: EMAIL_ADDRESS is ignored, because {config} names the destinations" in ran.err


def test_from_nothing_to_a_url_and_again_and_away(
    hookchain: Hookchain, first: tuple[Ran, Path], deployed: WorldGcloud
) -> None:
    ran, gcloud = first[0], deployed
    assert "Configuration: no file; every event of /webhook is mailed to EMAIL_ADDRESS" in ran.out
    url = "https://hookchain-receive-123456789012.europe-west1.run.app/webhook"
    read = "gcloud secrets versions access latest --secret=hookchain-webhook-password --project=my-project"
    [line] = [line for line in ran.out.split("\n") if line.strip().startswith("curl")]
    assert f'-u "anyone:$({read} | head -n 1)"' in line
    assert line.endswith(f" {url}")
    assert ran.out.rstrip().split("\n")[-1].strip().startswith(".venv/bin/hookchain smoke --platform gcp")
    world = gcloud.world
    password = str(world.things["secret"]["hookchain-webhook-password"]["values"][0])  # type: ignore[index] # a list
    assert len(password) > 20
    assert password not in ran.out + ran.err
    assert not [call for call in world.calls if any("SG.a-key" in word or password in word for word in call)]

    assert "orgpolicy.googleapis.com" not in world.things["api"], "the project belongs to no organisation"

    again = hookchain("deploy-gcp", gcloud=gcloud)
    assert (again.code, gcloud.world.changes) == (0, world.changes)
    assert "Nothing to do" in again.out
    assert url in again.out

    elsewhere = ["destroy-gcp", *TARGET, "--region", "us-east1", "--confirm", "hookchain-"]
    assert "is in europe-west1" in hookchain(*elsewhere, gcloud=gcloud).err
    assert gcloud.world.changes == world.changes
    prompted = hookchain("destroy-gcp", *TARGET, gcloud=gcloud)
    assert (prompted.code, gcloud.world.changes) == (1, world.changes)
    gone = hookchain("destroy-gcp", *TARGET, "--confirm", "hookchain-", gcloud=gcloud)
    assert gone.code == 0, gone.err
    assert "secret hookchain-webhook-password" in gone.out
    assert not gcloud.world.things["service"]
    assert gcloud.world.things["secret"]
    left = hookchain("destroy-gcp", *TARGET, gcloud=gcloud)
    assert left.code == 0
    assert "Kept (ALL=1 removes them too): bucket my-project-hookchain-blobs, database hookchain" in left.out


def test_a_live_plan_prints_only_the_difference(hookchain: Hookchain, deployed: WorldGcloud) -> None:
    same = hookchain("plan-gcp", *TARGET, "--live", gcloud=deployed, **SETTINGS)
    assert same.code == 0
    assert same.out.splitlines()[1:] == ["Nothing to do: the deployment matches the configuration."]
    settings = {**SETTINGS, "EMAIL_ADDRESS": "you@example.com"}
    other = hookchain("plan-gcp", *TARGET, "--live", gcloud=deployed, **settings)
    lines = [line for line in other.out.split("\n") if line.startswith("gcloud")]
    made, called = (line.split()[:5] for line in lines)
    assert made[:4] == ["gcloud", "run", "deploy", "hookchain-notify"]
    assert called == ["gcloud", "run", "services", "update-traffic", "hookchain-notify"]


def test_a_region_that_may_be_mistyped_is_remembered_once_something_runs(hookchain: Hookchain, tmp_path: Path) -> None:
    gcloud = install_world(tmp_path / "bin", World(fail_at=0))
    command = ["deploy-gcp", *TARGET, "--region", "europe-wset4"]
    ran = hookchain(*command, gcloud=gcloud, **SETTINGS)
    assert ran.code == 1
    assert "the wire was cut" in ran.err
    assert not (tmp_path / "env").exists()


def test_a_gcloud_that_is_too_old_is_reported(hookchain: Hookchain, deployed: WorldGcloud) -> None:
    newer = (deployed.folder / "gcloud").rename(deployed.folder / "newer")
    lines = ["#!/bin/sh", 'case "$1 $2" in "run deploy") echo "unrecognized arguments: --function" >&2; exit 2;; esac']
    (deployed.folder / "gcloud").write_text("\n".join([*lines, f'exec {newer} "$@"', ""]))
    (deployed.folder / "gcloud").chmod(0o755)
    changed = {**SETTINGS, "EMAIL_ADDRESS": "you@example.com"}
    ran = hookchain("deploy-gcp", *TARGET, gcloud=deployed, **changed)
    assert ran.code == 1
    assert "gcloud components update" in ran.err


def test_a_password_in_the_mail_settings_is_rejected_before_it_stands_in_a_command_line(
    hookchain: Hookchain, tmp_path: Path, gcloud: WorldGcloud
) -> None:
    settings = {**SETTINGS, "SMTP_URL": "smtp://me:sekrit-1@mail.example.com"}
    for command in (["plan-gcp"], ["deploy-gcp"]):
        ran = hookchain(*command, *TARGET, gcloud=gcloud, **settings)
        assert ran.code == 1
        assert "smtp-password" in ran.err
        assert "sekrit-1" not in ran.out + ran.err
    assert gcloud.world.changes == 0
    assert not (tmp_path / "env").exists(), "nor is it kept for the next time"


def test_a_policy_against_public_functions_stops_before_any_change(hookchain: Hookchain, gcloud: WorldGcloud) -> None:
    with enforcing("run.managed.requireInvokerIam") as url:
        settings = {**SETTINGS, "CLOUDSDK_API_ENDPOINT_OVERRIDES_ORGPOLICY": url}
        both = [
            hookchain(*command, *TARGET, gcloud=gcloud, **settings)
            for command in (["plan-gcp", "--live"], ["deploy-gcp"])
        ]
    for ran in both:
        assert (ran.code, ran.out.count("gcloud "), gcloud.world.changes) == (1, 0, 0)
        assert "run.managed.requireInvokerIam" in ran.err
        assert "roles/orgpolicy.policyAdmin" in ran.err


def test_policies_that_only_an_api_tells_are_asked_for_once_it_is_on(hookchain: Hookchain, tmp_path: Path) -> None:
    gcloud = install_world(tmp_path / "bin", World(organisation="4711"))
    with enforcing("run.managed.requireInvokerIam", is_on=lambda: "api" in gcloud.world.things) as url:
        settings = {**SETTINGS, "CLOUDSDK_API_ENDPOINT_OVERRIDES_ORGPOLICY": url}
        ran = hookchain("deploy-gcp", *TARGET, gcloud=gcloud, **settings)
    made = {kind: sorted(things) for kind, things in gcloud.world.things.items() if things}
    assert (ran.code, made) == (1, {"api": ["orgpolicy.googleapis.com"]})
    assert "roles/orgpolicy.policyAdmin" in ran.err


@contextmanager
def enforcing(constraint: str, is_on: Callable[[], bool] = lambda: True) -> Iterator[str]:
    """The URL of an organisation whose only policy enforces this. `is_on`: whether the API is."""

    async def policy(request: web.Request) -> web.Response:
        if not is_on():
            details = [{"reason": "SERVICE_DISABLED"}]
            return web.json_response({"error": {"message": "it is disabled", "details": details}}, status=403)
        is_asked = request.path.endswith(f"/policies/{constraint}:getEffectivePolicy")
        return web.json_response({"spec": {"rules": [{"enforce": True}] if is_asked else []}})

    app = web.Application()
    app.router.add_get("/{path:.*}", policy)
    with served(app) as host:
        yield f"http://{host}"


def test_a_terminal_is_asked_three_questions_and_no_more(hookchain: Hookchain, tmp_path: Path) -> None:
    gcloud = install_world(tmp_path / "bin", World(project="(unset)"))
    command = [sys.executable, "-m", "deploy.cli", "deploy-gcp", "--out", str(tmp_path / "build")]
    command += ["--env-file", str(tmp_path / "env")]
    near, far = pty.openpty()
    started = subprocess.Popen(command, cwd=hookchain.root, env=environ(gcloud, {}), stdin=far, stdout=far, stderr=far,
                               start_new_session=True)  # fmt: skip
    os.close(far)
    text = answered(near, [("Which project", "my-project"), ("Which address", "me@example.com"),
                           ("sendgrid-api-key", SECRET)])  # fmt: skip
    os.close(near)
    assert started.wait(PATIENCE_SECONDS) == 0, text
    assert "SG.a-key" not in text, "what is secret is not shown"
    assert gcloud.world.things["secret"]["hookchain-sendgrid-api-key"]["values"] == [SECRET]


def answered(terminal: int, answers: Sequence[tuple[str, str]]) -> str:
    """All that was said, with each answer typed when its question stands there: a secret once nothing is echoed."""
    text, left = "", list(answers)
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        text += read.decode(errors="replace")
        if left and left[0][0] in text:
            if left[0][1] == SECRET:
                wait_for(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO)
            os.write(terminal, f"{left.pop(0)[1]}\n".encode())
    assert not left, text
    return text


def test_without_gcloud_a_deploy_says_where_to_get_it(hookchain: Hookchain) -> None:
    ran = hookchain("deploy-gcp", *TARGET, EMAIL_ADDRESS="me@example.com")
    assert ran.code == 1
    assert "gcloud is not on PATH" in ran.err
