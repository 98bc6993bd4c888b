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


def test_a_persons_own_clouds_are_not_inherited() -> None:
    own = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "GOOGLE_CLOUD_PROJECT": "p", "K_SERVICE": "receive"}
    environ = plan(inherited=own | {"HOME": "/home"})["notify"].environ
    assert environ["HOME"] == "/home"
    assert not own.keys() & environ.keys()


def test_a_change_of_the_local_lambda_restarts_the_functions() -> None:
    changed = [Path("/checkout/deploy/dev/aws/function_url.py")]
    assert affected([*plan().values()], changed) == ("apis", "receive", "transform", "notify")
