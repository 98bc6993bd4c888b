"""Other receivers of webhooks, side by side: the same signed request of 2 KB over the same connections in the same run.

Each is installed into a temporary folder or, with apt, on the system. One that does not install is left out, and the
table says why.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from shared.jsontext import JsonObject
from tests.bench.configurations import PASSWORD, SECRET, configuration, order, signed
from tests.bench.folders import new_folder
from tests.bench.load import drive, http_post
from tests.bench.pipe import NOTHING, SAMPLES, WARM_UP, Cost, cost, function, pipe
from tests.bench.run import Run
from tests.bench.stats import median
from tests.running.ports import free_port
from tests.running.processes import Running, started

REQUESTS: Final = 200
INSTALL_SECONDS: Final = 600


class NotInstalled(Exception):
    """A program cannot be installed here. The text says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """`serve` installs and starts it in the folder. `path` is where it takes the request.

    `keeps` tells whether an event is kept before it is answered.
    """

    name: str
    checks: str
    keeps: str
    serve: Callable[[Run, Path], contextlib.AbstractContextManager[Running]]
    path: str = "/shop-0"


def measure_peers(run: Run) -> str:
    """Return the table as deploy/benchmarks.md has it. The first peer is what the others are multiples of."""
    costs: dict[str, list[Cost]] = {}
    reasons: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        servers: dict[str, Running] = {}
        for peer in PEERS:
            run.say(f"side by side: install and start {peer.name}")
            try:
                servers[peer.name] = stack.enter_context(peer.serve(run, new_folder()))
                drive(servers[peer.name].port, [_request(peer, number) for number in range(WARM_UP)])
            except (NotInstalled, RuntimeError, OSError, subprocess.SubprocessError) as error:
                reasons[peer.name] = str(error)
                servers.pop(peer.name, None)
        sent = WARM_UP
        for number in range(run.rounds):
            run.say(f"side by side: round {number + 1} of {run.rounds}")
            for peer in PEERS:
                if server := servers.get(peer.name):
                    requests = [_request(peer, sent + each) for each in range(REQUESTS)]
                    costs.setdefault(peer.name, []).append(cost(server, requests))
            sent += REQUESTS
    run.clear()
    lines = ["| receiver | CPU | checks | stores the event before it answers |", "|---|---|---|---|"]
    for peer in PEERS:
        if peer.name in costs:
            figure = f"{_multiple(costs[peer.name], costs[PEERS[0].name]):.1f} ×"
        else:
            figure = f"skipped: {reasons.get(peer.name, 'not measured')}"
        lines.append(f"| {peer.name} | {figure} | {peer.checks} | {peer.keeps} |")
    return "\n".join(lines)


def _request(peer: Peer, number: int) -> bytes:
    return http_post(replace(signed(order(f"{number:012d}")), path=peer.path))


def _multiple(costs: Sequence[Cost], references: Sequence[Cost]) -> float:
    """Return the median of the rounds' ratios."""
    return median([each.seconds / unit.seconds for each, unit in zip(costs, references, strict=True)])


@contextlib.contextmanager
def _receive(run: Run, _: Path) -> Iterator[Running]:
    with pipe(run.trees[0], configuration(), functions=("receive",)) as running:
        yield running.servers["receive"]


def _sample(name: str) -> Callable[[Run, Path], contextlib.AbstractContextManager[Running]]:
    return lambda _run, _folder: function(SAMPLES / name, {})


@contextlib.contextmanager
def _nginx(_: Run, folder: Path) -> Iterator[Running]:
    program, port = _installed_by_apt("nginx", "nginx-light"), free_port()
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/bodies; server {{ listen 127.0.0.1:{port};\n"
        """location / { default_type application/json; return 200 '{"id": "0"}'; } } }\n"""
    )
    with _program([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)], port, folder) as running:
        yield running


@contextlib.contextmanager
def _adnanh_webhook(_: Run, folder: Path) -> Iterator[Running]:
    program, port = _installed_by_apt("webhook", "webhook"), free_port()
    parameter = {"source": "header", "name": "X-Shop-Signature"}
    rule = {"match": {"type": "payload-hmac-sha256", "secret": SECRET, "parameter": parameter}}
    hooks = [{"id": "shop-0", "execute-command": "/bin/true", "trigger-rule": rule}]
    (folder / "hooks.json").write_text(json.dumps(hooks))
    command = [program, "-hooks", str(folder / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port)]
    with _program(command, port, folder) as running:
        yield running


@contextlib.contextmanager
def _node_red(_: Run, folder: Path) -> Iterator[Running]:
    if shutil.which("npm") is None:
        raise NotInstalled("npm is not here")
    _install("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "node-red")
    (folder / "settings.js").write_text(
        'module.exports = { uiHost: "127.0.0.1", flowFile: "flows.json", httpAdminRoot: false,\n'
        f'  httpNodeAuth: {{ user: "web", pass: require("bcryptjs").hashSync("{PASSWORD}", 8) }},\n'
        '  logging: { console: { level: "warn" } } };\n'
    )
    nodes: list[JsonObject] = [
        {"id": "f", "type": "tab", "label": "bench"},
        {"id": "a", "z": "f", "type": "http in", "url": "/shop-0", "method": "post", "wires": [["b"]]},
        {"id": "b", "z": "f", "type": "http response", "statusCode": "200", "wires": []},
    ]
    (folder / "flows.json").write_text(json.dumps(nodes))
    port, script = free_port(), folder / "node_modules" / "node-red" / "red.js"
    command = ["node", str(script), "-u", str(folder), "-s", str(folder / "settings.js"), "-p", str(port)]
    with _program(command, port, folder, ready="200") as running:
        yield running


@contextlib.contextmanager
def _hookspool(_: Run, folder: Path) -> Iterator[Running]:
    port, program = free_port(), python_environment(folder, "hookspool") / "hookspool"
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "config.toml").write_text(
        f'[intake]\nlisten = "127.0.0.1:{port}"\n[limits]\nmin_free_bytes = 1048576\n[alerts]\ndry = true\n'
        '[destinations.sink]\ntype = "script"\nargv = ["/bin/true"]\n'
        '[bobbins.shop-0]\nbobbin = "hookspool.webhook"\noutputs = { "*" = "sink" }\n'
        f'secrets.secret = {{ file = "{folder}/secret" }}\n'
        'settings = { scheme = "hmac-sha256-hex", header = "X-Shop-Signature", prefix = "sha256=", key = ["id"] }\n'
    )
    _install(str(program), "--home", str(folder), "migrate")
    with _program([str(program), "--home", str(folder), "intake"], port, folder) as running:
        yield running


@contextlib.contextmanager
def _hookrelay(_: Run, folder: Path) -> Iterator[Running]:
    port, programs = free_port(), python_environment(folder, "hookrelay[fastapi,sqlite]", "uvicorn[standard]")
    (folder / "relay.py").write_text(
        "import contextlib, hashlib, hmac\n"
        "from fastapi import FastAPI\n"
        "from hookrelay.backends.sqlite import SQLiteBackend\n"
        "from hookrelay.fastapi import create_webhook_router\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        f'backend = SQLiteBackend(create_async_engine("sqlite+aiosqlite:///{folder}/relay.db"))\n'
        "def is_signed(body, headers):\n"
        f'    expected = "sha256=" + hmac.digest({SECRET.encode()!r}, body, hashlib.sha256).hex()\n'
        '    return hmac.compare_digest(expected, headers.get("x-shop-signature", ""))\n'
        "@contextlib.asynccontextmanager\n"
        "async def lifespan(_):\n"
        "    await backend.init_schema()\n"
        "    yield\n"
        "app = FastAPI(lifespan=lifespan)\n"
        'app.include_router(create_webhook_router(backend=backend, source="shop", path="/shop-0",\n'
        '    verify_signature=is_signed, idempotency_key=lambda payload: payload["id"]))\n'
    )
    command = [str(programs / "uvicorn"), "relay:app", "--port", str(port), "--log-level", "warning"]
    with _program(command, port, folder) as running:
        yield running


@contextlib.contextmanager
def _program(command: Sequence[str], port: int, folder: Path, ready: str = "open") -> Iterator[Running]:
    first = NOTHING if ready == "open" else signed(order("first"))
    with started(command, {}, port, first, ready, cwd=folder) as running:
        yield running


def _installed_by_apt(program: str, package: str) -> str:
    """Return the program, installed first where it is missing. Raises NotInstalled."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    if found := shutil.which(program, path=path):
        return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise NotInstalled(f"{program} is not here, and only root can install it with apt-get")
    _install("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package)
    if found := shutil.which(program, path=path):
        return found
    raise NotInstalled(f"the package {package} has no program {program}")


def python_environment(folder: Path, *packages: str) -> Path:
    """Return the folder of the programs of an environment with these packages from PyPI. Raises NotInstalled."""
    _install(sys.executable, "-m", "venv", str(folder / "venv"))
    programs = folder / "venv" / "bin"
    _install(str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", *packages)
    return programs


def _install(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        raise NotInstalled(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-200:]}")


PEERS: Final = (
    Peer("a bare asynchronous function", "nothing", "no", _sample("bare")),
    Peer("nginx", "nothing", "no", _nginx),
    Peer("a bare synchronous function", "nothing", "no", _sample("bare_sync")),
    Peer("Hookchain's receive", "HMAC, limits, JSON", "yes, Pub/Sub has confirmed it", _receive),
    Peer("Node-RED", "a password", "no", _node_red),
    Peer("adnanh/webhook with /bin/true", "HMAC", "no", _adnanh_webhook, "/hooks/shop-0"),
    Peer("hookspool", "HMAC, JSON", "yes, SQLite", _hookspool, "/hooks/shop-0"),
    Peer("hookrelay", "HMAC, JSON", "yes, SQLite", _hookrelay),
)
