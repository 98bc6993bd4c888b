"""The processes that `hookchain dev --platform aws` runs, as data."""

import sys
from collections.abc import Mapping
from typing import Final

from deploy.config.running_dev import HOST, Ports
from deploy.dev.aws.emulated_stack import function_environ
from deploy.dev.supervisor.processes import Child, Folders, code_folders, plan_module
from shared.secrets import variable_name

PAGE: Final = "deploy.dev.inspector.aws_app"
_OTHER_PLATFORMS: Final = ("AWS_", "GOOGLE_CLOUD_", "FIRESTORE_", "PUBSUB_", "STORAGE_EMULATOR_", "K_", "GCE_")
"""The beginnings of variables that say where another cloud is, or another part of AWS."""


def plan_aws_children(
    folders: Folders,
    ports: Ports,
    inherited: Mapping[str, str],
    secrets: Mapping[str, Mapping[str, str]],
    timeouts: Mapping[str, int],
    sendgrid_key: str | None,
) -> tuple[Child, ...]:
    """Return the processes.

    `secrets` are the values by name of each function that is to run: its process stores them in Secrets Manager.
    `timeouts` are the functions', in seconds. `sendgrid_key` is the emulated SendGrid's, None if no mail goes there.
    """
    every_secret = {variable_name(name) for values in secrets.values() for name in values}
    environ = {
        name: value
        for name, value in inherited.items()
        if name not in every_secret and not name.startswith(_OTHER_PLATFORMS)
    }
    environ |= {"HOOKCHAIN_STATE": str(folders.state), "PYTHONUNBUFFERED": "1"}
    apis = f"{HOST}:{ports.apis}"
    mail = {} if sendgrid_key is None else {"SENDGRID_API_URL": f"http://{apis}", "SENDGRID_API_KEY": sendgrid_key}
    caught = {**mail, "SHEETS_API_URL": f"http://{apis}"}
    own = {name: environ | (caught if name == "notify" else {}) for name in secrets}
    page = environ | function_environ(ports.apis)
    return (
        plan_module(folders, "apis", "deploy.dev.aws.local_aws", ports.apis, environ, "deploy/dev"),
        *(_function(folders, name, ports, own[name], secrets[name], timeouts[name]) for name in secrets),
        plan_module(
            folders, "inspector", "deploy.dev.inspector.aws_app", ports.inspector, page, "deploy/dev/inspector"
        ),
    )


def _function(
    folders: Folders,
    name: str,
    ports: Ports,
    environ: Mapping[str, str],
    secrets: Mapping[str, str],
    timeout_seconds: int,
) -> Child:
    port = ports.named()[name]
    program = (sys.executable, "-m", "deploy.dev.aws.function")
    command = (*program, "--function", name, "--port", str(port), "--timeout", str(timeout_seconds))
    own = {
        "HOOKCHAIN_SLICE": str(folders.slice_file(name)),
        **function_environ(ports.apis),
        **{variable_name(secret): value for secret, value in secrets.items()},
    }
    folder = folders.root / "deploy" / "dev" / "aws"
    return Child(
        name,
        (*command, "--secrets", *secrets),
        {**environ, **own},
        port,
        "/robots.txt",
        (*code_folders(folders, f"functions/{name}"), folder),
    )
