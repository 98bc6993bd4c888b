"""A line that sends one event to a source, to be pasted into a shell. It holds no secret: it fetches it."""

import json
import shlex
from typing import Final
from urllib.parse import quote

from deploy.google.gcloud import shown
from deploy.google.names import secret_id
from deploy.google.target import Target
from deploy.requests.command_lines import program
from deploy.requests.events import TestEvent
from deploy.requests.source_lines import SIGNED
from shared.jsontext import JsonObject
from shared.secrets import variable_name

_JSON: Final = "Content-Type: application/json"
_PLAIN: Final = "{body}"


def example_line(url: str, way: JsonObject, event: TestEvent, target: Target | None) -> str:
    """`url` is without a token. curl where a password or a token is enough, else `hookchain send`, which signs; empty
    for a signature that only `hookchain trigger` can make."""
    body = event.data.decode() if isinstance(event.data, bytes) else json.dumps(event.data)
    headers = [word for name, value in event.headers.items() for word in ("-H", shlex.quote(f"{name}: {value}"))]
    if way["scheme"] in SIGNED:
        return " ".join([_signed(url, way, body, target), *headers]) if can_sign(way) else ""
    words = ["curl"]
    value = _value(str(way.get("secret")), target)
    match way["scheme"]:
        case "none":
            pass
        case "basic":
            words += ["-u", _with(f"{way.get('username') or 'anyone'}:", value)]
        case "header":
            words += ["-H", _with(f"{way['header']}: ", value)]
        case "bearer":
            words += ["-H", _with("Authorization: Bearer ", value)]
        case "path":
            url = _with(f"{url}/", value)
        case "query":
            url = _with(f"{url}?{quote(str(way['parameter']), safe='')}=", value)
        case _:
            return ""
    words += ["-H", shlex.quote(_JSON), *headers, "-d", shlex.quote(body)]
    return " ".join([*words, url if url.startswith('"') else shlex.quote(url)])


def can_sign(way: JsonObject) -> bool:
    """Whether `hookchain send` can: an HMAC of the body alone, or Standard Webhooks."""
    if way["scheme"] == "standard-webhooks":
        return True
    return (
        way["scheme"] == "hmac"
        and way.get("content", _PLAIN) == _PLAIN
        and way.get("layout", "plain") == "plain"
        and way.get("key", "utf8") == "utf8"
        and isinstance(way.get("header"), str)
    )


def _signed(url: str, way: JsonObject, body: str, target: Target | None) -> str:
    parts = [str(way.get(name, "")) for name in ("header", "algorithm", "encoding", "prefix")]
    proof = ["--hmac", ":".join(parts)] if way["scheme"] == "hmac" else ["--standard-webhooks"]
    words = [program(), "send", url, *proof]
    if target is None:
        return shlex.join([*words, "--secret", str(way["secret"]), "--data", body])
    return f"{_access(str(way['secret']), target)} | {shlex.join([*words, '--secret-stdin', '--data', body])}"


def _value(name: str, target: Target | None) -> str:
    """As a shell gets it, for use within double quotes: the newest of a secret's values."""
    return f"${variable_name(name)}" if target is None else f"$({_access(name, target)} | head -n 1)"


def _access(name: str, target: Target) -> str:
    arguments = ["secrets", "versions", "access", "latest", f"--secret={secret_id(target, name)}"]
    return shown(arguments, target.project)


def _with(text: str, value: str) -> str:
    """In double quotes, in which the shell puts the value, and nothing of the text means anything else."""
    escaped = "".join(f"\\{each}" if each in '\\"$`' else each for each in text)
    return f'"{escaped}{value}"'
