"""What `hookchain dev` says once it is up: where to send, where to look, and a line to try."""

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.local.supervisor.dev_file import Hint
from deploy.local.supervisor.ports import HOST, Ports
from deploy.local.supervisor.setup import Setup
from shared.jsontext import Json, JsonObject, to_json
from shared.secret_values import split_values
from shared.secrets import variable_name

SAMPLE: Final[Mapping[str, Json]] = {
    "customerName": "Chuck U Farley",
    "customerEmail": "chuckufarley@example.com",
    "plan": "free",
}
_SIGNED: Final = {"hmac": "a signature", "standard-webhooks": "a Standard Webhooks signature"}


def hint(setup: Setup) -> Hint:
    slices = setup.configuration.slices
    sources = slices["receive"].get("sources")
    trial = trial_line(slices, setup.ports, setup.environ)
    lines = source_lines(sources, setup.ports) if isinstance(sources, dict) else []
    return Hint(trial or "", tuple(lines))


def banner(setup: Setup, seconds: float) -> str:
    told = hint(setup)
    lines = ["", f"Hookchain is up, after {seconds:.1f} s. Configuration: {setup.configuration.title}", ""]
    lines += ["  Point senders at:", *(f"    {line}" for line in told.sources), ""]
    lines += ["  Watch what happens:", f"    http://{HOST}:{setup.ports.inspector}", ""]
    if told.trial:
        lines += ["  Try it:", f"    {told.trial}", ""]
    if setup.made:
        lines += [f"  Made up and kept in {setup.options.env_file}: {', '.join(map(variable_name, setup.made))}", ""]
    if setup.short:
        lines += [f"  Short enough to guess: {', '.join(map(variable_name, setup.short))}. Take 16 characters.", ""]
    mails = "are sent for real" if setup.options.send_mail else "are kept and shown on the page, not sent"
    return "\n".join([*lines, f"  Mails {mails}. Ctrl-C stops everything.", ""])


def source_url(name: str, ports: Ports) -> str:
    return f"http://{HOST}:{ports.receive}/{name}"


def source_lines(sources: JsonObject, ports: Ports) -> list[str]:
    """One a source: its URL and how a sender proves itself."""
    width = max((len(source_url(name, ports)) for name in sources), default=0)
    return [f"{source_url(name, ports).ljust(width)}  {_ways(source)}" for name, source in sources.items()]


def _ways(source: Json) -> str:
    return " or ".join(dict.fromkeys(_way(way) for way in ways_of(source)))


def ways_of(source: Json) -> list[JsonObject]:
    auth = source.get("auth") if isinstance(source, dict) else None
    return [way for way in auth if isinstance(way, dict)] if isinstance(auth, list) else []


def _way(way: JsonObject) -> str:
    variable = variable_name(str(way.get("secret", "")))
    match way.get("scheme"):
        case "none":
            return "anybody may send"
        case "basic":
            user = f"user {way['username']}" if way.get("username") else "any user"
            return f"basic auth, {user}, password {variable}"
        case "header":
            return f"header {way.get('header')}: {variable}"
        case "bearer":
            return f"bearer token {variable}"
        case "path":
            return f"/{variable} at the end of the URL"
        case "query":
            return f"?{way.get('parameter')}={variable}"
        case scheme:
            return f"{_SIGNED.get(str(scheme), str(scheme))} made with {variable}"


def trial_line(slices: Mapping[str, JsonObject], ports: Ports, secrets: Mapping[str, str]) -> str | None:
    """A line that works as printed: curl for the first source that takes a password, a token or anybody; else
    `hookchain send`, which can sign. `secrets` are variables. None without sources."""
    sources = slices["receive"].get("sources")
    if not isinstance(sources, dict) or not sources:
        return None
    trials = [(name, way) for name, source in sources.items() for way in ways_of(source)]
    name, way = min(trials, key=lambda trial: trial[1].get("scheme") in _SIGNED)
    routes = slices["transform"].get("routes")
    body = to_json({"event": trial_type(name, routes if isinstance(routes, list) else []), **SAMPLE})
    values = split_values(secrets.get(variable_name(str(way.get("secret", ""))), ""))
    return _command(source_url(name, ports), way, values[0] if values else "", body)


def trial_type(source: str, routes: Sequence[Json]) -> str:
    """A type that a route from this source takes, so that something comes of it."""
    for route in routes:
        if not isinstance(route, dict):
            continue
        sources, types = route.get("from"), route.get("types")
        if (sources is None or (isinstance(sources, list) and source in sources)) and isinstance(types, list) and types:
            return str(types[0]).replace("*", "created")
    return "password_created"


def _command(url: str, way: JsonObject, secret: str, body: str) -> str:
    scheme = str(way.get("scheme"))
    if scheme in _SIGNED:
        return _send_command(url, way, body)
    options: list[str] = []
    match scheme:
        case "basic":
            options = ["-u", f"{way.get('username') or 'anyone'}:{secret}"]
        case "header":
            options = ["-H", f"{way.get('header')}: {secret}"]
        case "bearer":
            options = ["-H", f"Authorization: Bearer {secret}"]
        case "path":
            url = f"{url}/{quote(secret, safe='')}"
        case "query":
            url = f"{url}?{way.get('parameter')}={quote(secret, safe='')}"
    return shlex.join(["curl", *options, "-H", "Content-Type: application/json", "-d", body, url])


def _send_command(url: str, way: JsonObject, body: str) -> str:
    parts = [str(way.get(name, "")) for name in ("header", "algorithm", "encoding", "prefix")]
    proof = ["--hmac", ":".join(parts)] if way.get("scheme") == "hmac" else ["--standard-webhooks"]
    return shlex.join([_program(), "send", url, *proof, "--secret", str(way.get("secret")), "--data", body])


def _program() -> str:
    """As it can be typed here."""
    beside = Path(sys.executable).parent / "hookchain"
    if shutil.which("hookchain") == str(beside):
        return "hookchain"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)
