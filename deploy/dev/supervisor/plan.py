"""Which processes `hookchain dev` runs, as data."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config.ports import HOST, Ports, function_url
from shared.settings import LOCAL_PROJECT, LOCAL_PUSH_ACCOUNT

FUNCTIONS: Final = ("receive", "transform", "notify")

# What a person's shell may hold and a function must not see: the framework's and gunicorn's own switches, and all that
# would send something off this machine.
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
        "PORT",
        "THREADS",
        "WEB_CONCURRENCY",
        "WORKERS",
    }
)
_REAL_MAIL: Final = frozenset({"SENDGRID_API_KEY", "SENDGRID_API_URL", "SMTP_PASSWORD", "SMTP_URL"})


@dataclass(frozen=True, slots=True)
class Child:
    """`ready_path` is asked until anything answers; `code` are the folders and files whose change restarts it."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    port: int
    ready_path: str
    code: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: the checkout, the state folder, and a short-lived folder for sockets, whose paths are short."""

    root: Path
    state: Path
    sockets: Path

    def slice_file(self, function: str) -> Path:
        return self.state / "slices" / f"{function}.json"


def base_environ(environ: Mapping[str, str], send_mail: bool) -> dict[str, str]:
    """What every process inherits."""
    dropped = _NOT_INHERITED if send_mail else _NOT_INHERITED | _REAL_MAIL
    return {name: value for name, value in environ.items() if name not in dropped}


def plan_children(
    place: Place,
    ports: Ports,
    inherited: Mapping[str, str],
    secrets: Mapping[str, Mapping[str, str]],
    sendgrid_key: str | None,
) -> tuple[Child, ...]:
    """`secrets`: each function's, as variables; no other process gets them. `sendgrid_key` is the emulated SendGrid's,
    None where mails are sent for real."""
    every_secret = {name for of_function in secrets.values() for name in of_function}
    environ = {name: value for name, value in inherited.items() if name not in every_secret}
    environ |= {
        "HOOKCHAIN_STATE": str(place.state),
        "GOOGLE_CLOUD_PROJECT": LOCAL_PROJECT,
        "PUBSUB_EMULATOR_HOST": f"{HOST}:{ports.apis}",
        "PYTHONUNBUFFERED": "1",
    }
    mail = {} if sendgrid_key is None else {"SENDGRID_API_URL": f"http://{HOST}:{ports.apis}"}
    mail |= {} if sendgrid_key is None else {"SENDGRID_API_KEY": sendgrid_key}
    own = {name: {**secrets[name], **(mail if name == "notify" else {})} for name in FUNCTIONS}
    return (
        _module(place, "apis", "deploy.dev.cloud_apis", ports.apis, environ, "deploy/dev"),
        *(_function(place, name, ports.named()[name], {**environ, **own[name]}) for name in FUNCTIONS),
        _module(place, "inspector", "deploy.dev.inspector.app", ports.inspector, environ, "deploy/dev/inspector"),
    )


def _function(place: Place, name: str, port: int, environ: Mapping[str, str]) -> Child:
    command = [str(Path(sys.executable).parent / "functions-framework"), "--source", f"functions/{name}/main.py"]
    command += ["--target", name, "--host", HOST, "--port", str(port)]
    own = {
        "HOOKCHAIN_SLICE": str(place.slice_file(name)),
        "XDG_RUNTIME_DIR": str(place.sockets / name),  # gunicorn opens a control socket there
        "FORWARDED_ALLOW_IPS": "",
        "HOOKCHAIN_PUSH_ACCOUNT": LOCAL_PUSH_ACCOUNT,
        "HOOKCHAIN_PUSH_AUDIENCE": function_url(port),
    }
    # The framework's own route: it answers as soon as the function is loaded, and the function logs nothing of it.
    return Child(name, tuple(command), {**environ, **own}, port, "/robots.txt", _code(place, f"functions/{name}"))


def _module(place: Place, name: str, module: str, port: int, environ: Mapping[str, str], folder: str) -> Child:
    command = (sys.executable, "-m", module, "--port", str(port), "--state", str(place.state))
    return Child(name, command, environ, port, "/favicon.ico", _code(place, folder))


def _code(place: Place, folder: str) -> tuple[Path, ...]:
    return (place.root / folder, place.root / "shared")


def affected(children: Sequence[Child], changed: Sequence[Path]) -> tuple[str, ...]:
    """The names of the children whose code is among what changed."""
    return tuple(
        child.name
        for child in children
        if any(path.is_relative_to(folder) for path in changed for folder in child.code)
    )
