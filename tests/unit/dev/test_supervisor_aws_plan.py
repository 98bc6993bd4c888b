"""The processes of the supervisor on the local Lambda."""

from collections.abc import Mapping
from pathlib import Path

from deploy.config.running_dev import ports_from
from deploy.dev.supervisor.processes import Child, Folders, affected, plan_aws_children
from shared.settings import read_settings

PORTS = ports_from(8080)


def plan(sendgrid_key: str | None = None, inherited: Mapping[str, str] | None = None) -> dict[str, Child]:
    secrets = {"receive": {"form-password": "p"}, "transform": {}, "notify": {"crm-key": "k"}}
    folders = Folders(Path("/checkout"), Path("/state"), Path("/sockets"))
    timeouts = {"receive": 30, "transform": 60, "notify": 90}
    children = plan_aws_children(folders, PORTS, inherited or {}, secrets, timeouts, sendgrid_key)
    return {child.name: child for child in children}


def test_five_processes_each_on_its_port() -> None:
    assert {name: child.port for name, child in plan().items()} == PORTS.named()


def test_subscribers_have_a_process_of_their_own_with_their_key() -> None:
    secrets = {"receive": {}, "transform": {}, "notify": {}, "subscribe": {"subscribers-key": "k"}}
    folders, ports = Folders(Path("/checkout"), Path("/state"), Path("/sockets")), ports_from(8080, True)
    children = plan_aws_children(folders, ports, {}, secrets, dict.fromkeys(secrets, 30), None)
    [own] = [child for child in children if child.name == "subscribe"]
    assert (own.port, own.command[-2:]) == (8083, ("--secrets", "subscribers-key"))


def test_a_function_has_the_settings_of_a_deployment_on_aws() -> None:
    environ = {**plan()["transform"].environ, "AWS_LAMBDA_FUNCTION_NAME": "transform"}
    settings = read_settings(environ)
    assert settings.is_aws
    assert not settings.is_local
    assert settings.aws_endpoint == "http://127.0.0.1:8085"
    assert settings.queues["events"] == "http://127.0.0.1:8085/000000000000/hookchain-events"
    assert str(settings.slice_file) == "/state/slices/transform.json"


def test_a_secret_goes_to_the_function_that_needs_it_and_nowhere_else() -> None:
    children = plan(inherited={"FORM_PASSWORD": "p", "CRM_KEY": "k"})
    assert children["receive"].command[-2:] == ("--secrets", "form-password")
    assert [name for name, child in children.items() if "FORM_PASSWORD" in child.environ] == ["receive"]
    assert [name for name, child in children.items() if "CRM_KEY" in child.environ] == ["notify"]


def test_a_function_has_its_own_timeout() -> None:
    command = plan()["notify"].command
    assert command[command.index("--timeout") + 1] == "90"


def test_a_persons_own_clouds_are_not_inherited() -> None:
    own = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "GOOGLE_CLOUD_PROJECT": "p", "K_SERVICE": "receive"}
    environ = plan(inherited=own | {"HOME": "/home"})["notify"].environ
    assert environ["HOME"] == "/home"
    assert not own.keys() & environ.keys()


def test_sendgrid_is_emulated_for_notify_only() -> None:
    children = plan("SG.x")
    assert [name for name, child in children.items() if child.environ.get("SENDGRID_API_KEY")] == ["notify"]


def test_a_change_of_the_local_lambda_restarts_the_functions() -> None:
    changed = [Path("/checkout/deploy/dev/aws/function_url.py")]
    assert affected([*plan().values()], changed) == ("apis", "receive", "transform", "notify")
