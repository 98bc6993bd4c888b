"""The processes that `hookchain dev` and `hookchain serve` run, as data: their commands, ports and environments.

There is a process for the emulated cloud APIs, one for each function, and one for the page (the inspector).
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.config.local_ports import HOST, Ports, function_url
from deploy.dev.aws import stack
from shared.secrets import variable_name
from shared.settings import LOCAL_PROJECT, LOCAL_PUSH_ACCOUNT

# The variables of the user's shell that a function must not see: they would change the settings of the framework or of
# gunicorn, or make the function use a real cloud.
_NOT_INHERITED: Final = frozenset(
    {
        "DEBUG",
        "FUNCTION_SIGNATURE_TYPE",
        "FUNCTION_SOURCE",
        "FUNCTION_TARGET",
        "FUNCTION_USE_ASGI",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GUNICORN_CMD_ARGS",
        "HOOKCHAIN_BUCKET",
        "HOOKCHAIN_FIRESTORE",
        "HOOKCHAIN_PREFIX",
        "HOST",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "PORT",
        "THREADS",
        "WEB_CONCURRENCY",
        "WORKERS",
    }
)
_OTHER_PLATFORMS: Final = ("AWS_", "GOOGLE_CLOUD_", "FIRESTORE_", "PUBSUB_", "STORAGE_EMULATOR_", "K_", "GCE_")
"""The beginnings of variables that say where another cloud is, or another part of AWS."""
_REAL_MAIL: Final = frozenset({"SENDGRID_API_KEY", "SENDGRID_API_URL", "SMTP_PASSWORD", "SMTP_URL"})
PAGE: Final = "deploy.dev.inspector.app"
PAGE_PASSWORD: Final = "page-password"  # noqa: S105 its name
TLS_RECEIVE: Final = "receive-tls"
"""The second process of receive, which serves HTTPS for other machines. Commands use the first one."""


@dataclass(frozen=True, slots=True)
class Production:
    """The options that only `hookchain serve` has.

    listen        the address and the port that serve HTTPS with the two files; None to serve only this machine, by HTTP
    is_adopted    take over the state of `hookchain dev`
    is_confirmed  take it over without asking
    """

    listen: tuple[str, int] | None = None
    certificate: Path | None = None
    key: Path | None = None
    is_adopted: bool = False
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """A process.

    ready_path  is requested until the process answers; empty to not wait for it
    code        the folders in which a change restarts the process
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    port: int
    ready_path: str
    code: tuple[Path, ...]
    host: str = HOST


@dataclass(frozen=True, slots=True)
class Folders:
    """The checkout, the state folder, and a temporary folder for sockets with a short path."""

    root: Path
    state: Path
    sockets: Path

    def slice_file(self, function: str) -> Path:
        return self.state / "slices" / f"{function}.json"


def base_environ(environ: Mapping[str, str], send_mail: bool) -> dict[str, str]:
    """Return the environment that every process inherits."""
    return _without(environ, _NOT_INHERITED if send_mail else _NOT_INHERITED | _REAL_MAIL)


def plan_children(
    folders: Folders,
    ports: Ports,
    inherited: Mapping[str, str],
    secrets: Mapping[str, Mapping[str, str]],
    sendgrid_key: str | None,
    production: Production | None = None,
    *,
    is_paused: bool = False,
) -> tuple[Child, ...]:
    """Return the processes of `hookchain dev`, or with `production` those of `hookchain serve`.

    secrets       the variables with the secrets of each function that is to run; no other process gets them
    sendgrid_key  the key of the emulated SendGrid; None if mails are really sent, as they always are in production
    is_paused     the bus delivers nothing
    """
    page_password = {variable_name(PAGE_PASSWORD)} & inherited.keys() if production else set()
    every_secret = {name for variables in secrets.values() for name in variables} | page_password
    environ = {
        **_without(inherited, every_secret),
        "HOOKCHAIN_STATE": str(folders.state),
        "GOOGLE_CLOUD_PROJECT": LOCAL_PROJECT,
        "PUBSUB_EMULATOR_HOST": f"{HOST}:{ports.apis}",
        "PYTHONUNBUFFERED": "1",
    }
    caught = {} if production else {"notify": _catching("notify", ports, sendgrid_key)}
    functions = [
        _function(folders, name, ports.named()[name], {**environ, **variables, **caught.get(name, {})})
        for name, variables in secrets.items()
    ]
    if production and production.listen:
        receive = next(each for each in functions if each.name == "receive")
        functions.append(_with_tls(receive, folders, production))
    bus_options = ["--port-base", str(ports.receive)]
    if production:
        bus_options.append("--bus-only")
    if is_paused:
        bus_options.append("--paused")
    page_options = ["--production"] if production else []
    page_environ = {**environ, **{name: inherited[name] for name in page_password}}
    return (
        _module(folders, "apis", "deploy.dev.cloud_apis", ports.apis, environ, "deploy/dev", bus_options),
        *functions,
        _module(folders, "inspector", PAGE, ports.inspector, page_environ, "deploy/dev/inspector", page_options),
    )


def _with_tls(receive: Child, folders: Folders, production: Production) -> Child:
    """Return a process like that of receive, which serves HTTPS."""
    assert production.listen
    host, port = production.listen
    runtime = folders.sockets / TLS_RECEIVE
    files = {"HOOKCHAIN_TLS_CERTIFICATE": str(production.certificate), "HOOKCHAIN_TLS_KEY": str(production.key)}
    environ = {**receive.environ, **files, "XDG_RUNTIME_DIR": str(runtime)}
    return replace(receive, name=TLS_RECEIVE, environ=environ, port=port, host=host, ready_path="")


def plan_aws_children(
    folders: Folders,
    ports: Ports,
    inherited: Mapping[str, str],
    secrets: Mapping[str, Mapping[str, str]],
    timeouts: Mapping[str, int],
    sendgrid_key: str | None,
) -> tuple[Child, ...]:
    """Return the processes of `hookchain dev --platform aws`.

    `secrets` are the values by name of each function that is to run: its process stores them in Secrets Manager.
    `timeouts` are the functions', in seconds. `sendgrid_key` is the emulated SendGrid's, None if no mail goes there.
    """
    every_secret = {variable_name(name) for values in secrets.values() for name in values}
    own = {name: value for name, value in inherited.items() if not name.startswith(_OTHER_PLATFORMS)}
    environ = {**_without(own, every_secret), "HOOKCHAIN_STATE": str(folders.state), "PYTHONUNBUFFERED": "1"}
    aws = stack.function_environ(ports.apis)
    functions = [
        _lambda_function(
            folders,
            name,
            ports.named()[name],
            {**environ, **aws, **_catching(name, ports, sendgrid_key)},
            values,
            timeouts[name],
        )
        for name, values in secrets.items()
    ]
    page_environ = {**environ, **aws}
    return (
        _module(folders, "apis", "deploy.dev.aws.local_aws", ports.apis, environ, "deploy/dev"),
        *functions,
        _module(folders, "inspector", PAGE, ports.inspector, page_environ, "deploy/dev/inspector", ["--aws"]),
    )


def _without(environ: Mapping[str, str], dropped: Collection[str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in dropped}


def _catching(function: str, ports: Ports, sendgrid_key: str | None) -> dict[str, str]:
    """Return the variables that send a function's mails and rows of sheets to the emulated APIs."""
    if function != "notify":
        return {}
    apis = f"http://{HOST}:{ports.apis}"
    mail = {} if sendgrid_key is None else {"SENDGRID_API_URL": apis, "SENDGRID_API_KEY": sendgrid_key}
    return {**mail, "SHEETS_API_URL": apis}


def _function(folders: Folders, name: str, port: int, environ: Mapping[str, str]) -> Child:
    command = [str(Path(sys.executable).parent / "functions-framework"), "--source", f"functions/{name}/main.py"]
    command += ["--target", name, "--host", HOST, "--port", str(port)]
    own = {
        "HOOKCHAIN_SLICE": str(folders.slice_file(name)),
        "XDG_RUNTIME_DIR": str(folders.sockets / name),  # gunicorn opens a control socket there
        "FORWARDED_ALLOW_IPS": "",
        "HOOKCHAIN_PUSH_ACCOUNT": LOCAL_PUSH_ACCOUNT,
        "HOOKCHAIN_PUSH_AUDIENCE": function_url(port),
    }
    # The framework itself answers this path as soon as the function is loaded, so the function does not log a request.
    return Child(
        name, tuple(command), {**environ, **own}, port, "/robots.txt", code_folders(folders, f"functions/{name}")
    )


def _module(
    folders: Folders,
    name: str,
    module: str,
    port: int,
    environ: Mapping[str, str],
    folder: str,
    options: Sequence[str] = (),
) -> Child:
    """Return a process that is a module of this program. A change in the folder restarts it."""
    command = (sys.executable, "-m", module, "--port", str(port), "--state", str(folders.state), *options)
    return Child(name, command, environ, port, "/favicon.ico", code_folders(folders, folder))


def code_folders(folders: Folders, folder: str) -> tuple[Path, ...]:
    return (folders.root / folder, folders.root / "shared")


def affected(children: Sequence[Child], changed: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of the children whose code changed."""
    return tuple(
        child.name
        for child in children
        if any(path.is_relative_to(folder) for path in changed for folder in child.code)
    )


def _lambda_function(
    folders: Folders,
    name: str,
    port: int,
    environ: Mapping[str, str],
    secrets: Mapping[str, str],
    timeout_seconds: int,
) -> Child:
    command = (sys.executable, "-m", "deploy.dev.aws.function", "--function", name, "--port", str(port))
    own = {
        "HOOKCHAIN_SLICE": str(folders.slice_file(name)),
        **{variable_name(secret): value for secret, value in secrets.items()},
    }
    code = (*code_folders(folders, f"functions/{name}"), folders.root / "deploy" / "dev" / "aws")
    options = ("--timeout", str(timeout_seconds), "--secrets", *secrets)
    return Child(name, (*command, *options), {**environ, **own}, port, "/robots.txt", code)
