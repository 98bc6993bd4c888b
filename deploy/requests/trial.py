"""A line to try: a command that sends a first event, as it can be typed."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.config.ports import Ports
from deploy.requests.send_source import is_plain
from deploy.requests.source_lines import SIGNED, page_headers, source_url, sources_of, takes_post, ways_of
from shared.jsontext import Json, JsonObject, to_json
from shared.secret_values import split_values
from shared.secrets import variable_name
from shared.signatures.scheme import IN_HEAD

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


@dataclass(frozen=True, slots=True)
class Trial:
    """A first request: to which source, authenticated by which of its ways, with which body and further headers."""

    source: str
    url: str
    way: JsonObject
    body: Body
    headers: Mapping[str, str]

    @property
    def header_options(self) -> list[str]:
        return [word for name, value in self.headers.items() for word in ("-H", f"{name}: {value}")]


def trial_line(
    slices: Mapping[str, JsonObject], ports: Ports, secrets: Mapping[str, str], sample: Path | None = None
) -> str | None:
    """A line that works as printed: curl for the first source that takes a password, a token or anybody; else
    `hookchain send`, which can sign. `secrets` are variables. None without a source that takes either."""
    trial = _trial(slices, ports, sample)
    if trial is None:
        return None
    values = split_values(secrets.get(variable_name(str(trial.way.get("secret", ""))), ""))
    return _command(trial, values[0] if values else "")


def trial_line_without_secret(slices: Mapping[str, JsonObject], ports: Ports, sample: Path | None = None) -> str | None:
    """Return the same request as a line that anybody may read: `hookchain send` looks a secret up by its name."""
    trial = _trial(slices, ports, sample)
    if trial is None:
        return None
    return _send_command(trial) if trial.way.get("secret") else _command(trial, "")


def _trial(slices: Mapping[str, JsonObject], ports: Ports, sample: Path | None) -> "Trial | None":
    sources = sources_of(slices["receive"])
    posted = {name: source for name, source in sources.items() if takes_post(source)}
    trials = [(name, way) for name, source in posted.items() for way in ways_of(source) if _can_be_tried(way)]
    if not trials:
        return None
    name, way = min(trials, key=lambda trial: trial[1].get("scheme") in SIGNED)
    body = _sample_body(sample) if sample else _made_body(name, slices["transform"].get("routes"))
    return Trial(name, source_url(name, ports), way, body, page_headers(sources[name]))


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


def _command(trial: Trial, secret: str) -> str:
    url, way, body = trial.url, trial.way, trial.body
    scheme = str(way.get("scheme"))
    if scheme in SIGNED:
        return _send_command(trial)
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
    return shlex.join(
        ["curl", *options, "-H", f"Content-Type: {CONTENT_TYPES[body.form]}", *trial.header_options, *data, url]
    )


def _send_command(trial: Trial) -> str:
    data = ["--file" if trial.body.is_file else "--data", trial.body.content]
    return shlex.join([program(), "send", trial.url, *_proof_options(trial), *trial.header_options, *data])


def _proof_options(trial: Trial) -> list[str]:
    """A token in the URL is put there by the source's configuration."""
    way, secret = trial.way, ["--secret", str(trial.way.get("secret"))]
    match way.get("scheme"):
        case "basic":
            return ["--basic", str(way.get("username") or "anyone"), *secret]
        case "header":
            return ["--password-header", str(way.get("header")), *secret]
        case "bearer":
            return ["--bearer", *secret]
        case "hmac":
            parts = [str(way.get(name, "")) for name in ("header", "algorithm", "encoding", "prefix")]
            return ["--hmac", ":".join(parts), *secret]
        case "standard-webhooks":
            return ["--standard-webhooks", *secret]
        case _:
            return ["--source", trial.source, *secret]


def program() -> str:
    """By its path: the terminal that it is pasted into may not have it on PATH."""
    return as_typed_here(Path(sys.executable).parent / "hookchain")


def as_typed_here(path: Path) -> str:
    absolute = path.absolute()  # not resolved: a link stays as it was named
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)
