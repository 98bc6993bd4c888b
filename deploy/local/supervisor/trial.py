"""A line to try: a command that sends a first event, as it can be typed."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.commands.send.source import is_plain
from deploy.local.supervisor.ports import Ports
from deploy.local.supervisor.sources import SIGNED, page_headers, source_url, sources_of, takes_post, ways_of
from shared.jsontext import Json, JsonObject, to_json
from shared.secret_values import split_values
from shared.secrets import variable_name
from shared.signatures.way import IN_HEAD

EVENT: Final[Mapping[str, Json]] = {
    "customerName": "Chuck U Farley",
    "customerEmail": "chuckufarley@example.com",
    "plan": "free",
}
CONTENT_TYPES: Final = {
    "json": "application/json",
    "yaml": "application/yaml",
    "xml": "application/xml",
    "form": "application/x-www-form-urlencoded",
}


@dataclass(frozen=True, slots=True)
class Body:
    """`form` is a key of CONTENT_TYPES; `content` is a file's path where `is_file`, else the body itself."""

    form: str
    content: str
    is_file: bool = False


def trial_line(
    slices: Mapping[str, JsonObject], ports: Ports, secrets: Mapping[str, str], sample: Path | None = None
) -> str | None:
    """A line that works as printed: curl for the first source that takes a password, a token or anybody; else
    `hookchain send`, which can sign. `secrets` are variables. None without a source that takes either."""
    sources = sources_of(slices["receive"])
    posted = {name: source for name, source in sources.items() if takes_post(source)}
    trials = [(name, way) for name, source in posted.items() for way in ways_of(source) if _can_be_tried(way)]
    if not trials:
        return None
    name, way = min(trials, key=lambda trial: trial[1].get("scheme") in SIGNED)
    values = split_values(secrets.get(variable_name(str(way.get("secret", ""))), ""))
    body = _sample_body(sample) if sample else _made_body(name, slices["transform"].get("routes"))
    return _command(source_url(name, ports), way, values[0] if values else "", body, page_headers(sources[name]))


def _can_be_tried(way: JsonObject) -> bool:
    scheme = way.get("scheme")
    return scheme in {*IN_HEAD, "standard-webhooks"} - {"link"} or (scheme == "hmac" and is_plain(way))


def sample_beside(config: Path | None) -> Path | None:
    """`sample.json` or of another format, where one lies beside the configuration, as in deploy/recipes."""
    paths = [config.parent / f"sample.{form}" for form in CONTENT_TYPES] if config else []
    return next((path for path in paths if path.is_file()), None)


def _sample_body(sample: Path) -> Body:
    return Body(sample.suffix.removeprefix("."), as_typed_here(sample), is_file=True)


def _made_body(source: str, routes: Json) -> Body:
    event = trial_type(source, routes if isinstance(routes, list) else [])
    return Body("json", to_json({"event": event, **EVENT}))


def trial_type(source: str, routes: Sequence[Json]) -> str:
    """A type that a route from this source takes, so that something comes of it."""
    for route in routes:
        if not isinstance(route, dict):
            continue
        sources, types = route.get("from"), route.get("types")
        if (sources is None or (isinstance(sources, list) and source in sources)) and isinstance(types, list) and types:
            return str(types[0]).replace("*", "created")
    return "password_created"


def _command(url: str, way: JsonObject, secret: str, body: Body, headers: Mapping[str, str]) -> str:
    scheme = str(way.get("scheme"))
    told = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    if scheme in SIGNED:
        return _send_command(url, way, body, told)
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
    data = ["--data-binary", f"@{body.content}"] if body.is_file else ["-d", body.content]
    return shlex.join(["curl", *options, "-H", f"Content-Type: {CONTENT_TYPES[body.form]}", *told, *data, url])


def _send_command(url: str, way: JsonObject, body: Body, told: Sequence[str]) -> str:
    parts = [str(way.get(name, "")) for name in ("header", "algorithm", "encoding", "prefix")]
    proof = ["--hmac", ":".join(parts)] if way.get("scheme") == "hmac" else ["--standard-webhooks"]
    data = ["--file" if body.is_file else "--data", body.content]
    return shlex.join([program(), "send", url, *proof, "--secret", str(way.get("secret")), *told, *data])


def program() -> str:
    """By its path: the terminal that it is pasted into may not have it on PATH."""
    return as_typed_here(Path(sys.executable).parent / "hookchain")


def as_typed_here(path: Path) -> str:
    absolute = path.absolute()  # not resolved: a link stays as it was named
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)
