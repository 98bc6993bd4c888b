"""A complete program that sends an application's events to one source: the templates are in the folder snippets.

The secret comes from the environment, and only a 2xx response counts as success.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from deploy.requests import command_lines, events, sources
from shared.jsontext import JsonObject
from shared.secrets import variable_name

FOLDER: Final = Path(__file__).resolve().parent / "snippets"
_SHELL_ENCODINGS: Final = {
    "hex": "to_hex",
    "base64": "openssl base64 -A",
    "base64url": "openssl base64 -A | tr '+/' '-_' | tr -d '='",
    "base64-of-hex": "to_hex | openssl base64 -A",
}


@dataclass(frozen=True, slots=True)
class Sender:
    """An application that sends to one source.

    url           without a token
    entry         the entry of the source's `auth` to use
    event         an example, with type and id where the source looks for them
    event_type    the example's type
    type_path     where the type stands in the event; empty where it stands in a header or in the URL
    id_header     the header with the event's id, besides webhook-id; empty where there is none
    """

    source: str
    url: str
    entry: JsonObject
    event: events.MadeEvent
    event_type: str
    type_path: tuple[str, ...]
    id_header: str = ""

    @property
    def variable(self) -> str:
        """The environment variable with the secret; empty where the source needs none."""
        return variable_name(str(self.entry["secret"])) if "secret" in self.entry else ""

    @property
    def full_url(self) -> str:
        """The URL, up to the token, which is at its end."""
        if self.entry["scheme"] == "path":
            return f"{self.url}/"
        url = f"{self.url}?{urlencode(self.event.query)}" if self.event.query else self.url
        if self.entry["scheme"] == "query":
            return f"{url}{'&' if self.event.query else '?'}{quote(self.text('parameter'), safe='')}="
        return url

    @property
    def has_token_in_url(self) -> bool:
        return self.entry["scheme"] in {"path", "query"}

    def text(self, setting: str) -> str:
        return str(self.entry.get(setting, ""))

    def export_line(self, start: str) -> str:
        return f"{start}export {self.variable}=...\n" if self.variable else ""


def find_sender(source: str, settings: JsonObject, url: str, transform: JsonObject) -> Sender:
    """Return what a snippet for this source needs; `settings` are its part of receive's slice.

    Raises ValueError where an application cannot send to it.
    """
    entries = sources.auth_entries(settings)
    entry = next(filter(command_lines.can_send, entries), None)
    if not sources.accepts_post(settings):
        raise ValueError(f"the source {source!r} accepts no POST. Make a link with `hookchain link {source}`.")
    if entry is None:
        schemes = " or ".join(dict.fromkeys(str(each["scheme"]) for each in entries))
        raise ValueError(
            f"no snippet can sign for the source {source!r}, which needs {schemes}. Send a test event with `hookchain "
            f"smoke --source {source}`, or give your application a source of its own."
        )
    event_type = events.routed_type(transform, source)
    location = events.first_location(settings.get("type")) or "data.event"
    path = tuple(location.split(".")[1:]) if location.startswith("data.") else ()
    event = events.make_example_event(settings, event_type)
    place, _, id_name = (events.first_location(settings.get("id")) or "").partition(".")
    if place == "query":
        raise ValueError(f"the source {source!r} reads the event's id from the URL, which no snippet writes")
    if place == "header":  # a program sends many events, each with an id of its own
        event.headers.pop(id_name)
    id_header = id_name if place == "header" and id_name.lower() != "webhook-id" else ""
    return Sender(source, url, entry, event, event_type, path, id_header)


def make_snippet(language: str, sender: Sender) -> str:
    """Return the program; `language` is a key of SNIPPETS."""
    text = _read(language)
    for name, value in {**SNIPPETS[language](sender), "NAME": sender.source}.items():
        text = text.replace(f"@{name}@", value)
    return text


def _read(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def _event_data(sender: Sender) -> JsonObject:
    assert isinstance(sender.event.data, dict)
    return sender.event.data


def _python(sender: Sender) -> dict[str, str]:
    standard = [*(["import os"] if sender.variable else []), "import sys", "import uuid"]
    event = json.dumps(_event_data(sender), indent=4, ensure_ascii=False)  # only strings, so it is Python too
    return {**_python_call(sender, standard, [], ["Outcome"], 8, "delivery_id"), "EVENT": event.replace("\n", "\n    ")}


def _sql_worker(sender: Sender) -> dict[str, str]:
    return _python_call(sender, ["import os", "import sys"], ["import psycopg"], [], 12, "str(delivery_id)")


def _python_call(
    sender: Sender, standard: list[str], packages: list[str], names: list[str], indent: int, delivery_id: str
) -> dict[str, str]:
    """Return what both Python programs have: imports, the URL, and the arguments of `send`, one a line."""
    secret, url = f'os.environ["{sender.variable}"]', json.dumps(sender.full_url)
    auth = _python_auth(sender)
    arguments = ["URL", "event"]
    if auth:
        arguments += [f"auth={auth}", f"secret={secret}"]
        names = [*names, auth.partition("(")[0]]
    if sender.has_token_in_url:
        standard = [*standard, "from urllib.parse import quote"]
        url = f'{url} + quote({secret}, safe="")'
    headers = {name: json.dumps(value) for name, value in sender.event.headers.items()}
    headers |= {sender.id_header: delivery_id} if sender.id_header else {}
    if headers:
        arguments.append(f"headers={{{', '.join(f'{json.dumps(name)}: {value}' for name, value in headers.items())}}}")
    arguments.append(f"delivery_id={delivery_id}")
    imported = ", ".join([*sorted(names), "send"])
    return {
        "EXPORT": sender.export_line("    "),
        "IMPORTS": "\n".join([*standard, "", *packages, f"from hookchain import {imported}"]),
        "URL": url,
        "ARGUMENTS": "".join(f"{' ' * indent}{argument},\n" for argument in arguments),
    }


def _python_auth(sender: Sender) -> str:
    match sender.entry["scheme"]:
        case "basic":
            return f"Basic({json.dumps(sender.text('username') or 'hookchain')})"
        case "header":
            return f"Password({json.dumps(sender.text('header'))})"
        case "bearer":
            return "Bearer()"
        case "standard-webhooks":
            return "StandardWebhooks()"
        case "hmac":
            settings = (sender.text(name) for name in ("header", "algorithm", "encoding", "prefix"))
            return f"Hmac({', '.join(map(json.dumps, settings))})"
    return ""


def _typescript(sender: Sender) -> dict[str, str]:
    headers = {name: json.dumps(value) for name, value in sender.event.headers.items()}
    headers |= {sender.id_header: "deliveryId"} if sender.id_header else {}
    sign, url = "", json.dumps(sender.full_url) + (" + encodeURIComponent(secret)" if sender.has_token_in_url else "")
    match sender.entry["scheme"]:
        case "basic":
            user = json.dumps(f"{sender.text('username') or 'hookchain'}:")
            headers["Authorization"] = f'"Basic " + Buffer.from({user} + secret).toString("base64")'
        case "header":
            headers[sender.text("header")] = "secret"
        case "bearer":
            headers["Authorization"] = "`Bearer ${secret}`"
        case "standard-webhooks":
            sign = _read("typescript.standard-webhooks")
        case "hmac":
            header, prefix = json.dumps(sender.text("header")), json.dumps(sender.text("prefix"))
            digest = f"createHmac({json.dumps(sender.text('algorithm'))}, secret).update(body).digest"
            text = f"{digest}({json.dumps(sender.text('encoding'))})"
            if sender.text("encoding") == "base64-of-hex":
                text = f'Buffer.from({digest}("hex")).toString("base64")'
            sign = f"  headers[{header}] = {prefix} + {text};\n"
    secret = f"""\
const secret = process.env.{sender.variable} ?? "";
if (secret === "") {{
  throw new Error("Set {sender.variable} to the secret of the source.");
}}

"""
    imports = [f'import {{ {"createHmac, " if sign else ""}randomUUID }} from "node:crypto";']
    return {
        "EXPORT": sender.export_line("//     "),
        "IMPORTS": "\n".join([*imports, *(['import process from "node:process";'] if sender.variable else [])]),
        "SECRET": secret if sender.variable else "",
        "URL": url,
        "HEADERS": "".join(f"    {json.dumps(name)}: {value},\n" for name, value in headers.items()),
        "SIGN": sign,
        "EVENT": json.dumps(_event_data(sender), indent=2, ensure_ascii=False),
    }


_SHELL_SECRET: Final = "secret=${%s:?set it to the secret of the source}\n"  # noqa: S105 a name
_SHELL_QUOTE: Final = 'quoted=$(printf %s "$secret" | sed \'s/[\\\\"]/\\\\&/g\')\n'
_SHELL_URL: Final = "token=$(printf %s \"$secret\" | od -An -v -tx1 | tr -d '\\n' | sed 's/ /%/g')\n"


def _curl(sender: Sender) -> dict[str, str]:
    """The secret goes to curl in a configuration on standard input: other users can see a program's arguments."""
    lines = {"webhook-id": "$id", **{name: _config_text(value) for name, value in sender.event.headers.items()}}
    lines |= {sender.id_header: "$id"} if sender.id_header else {}
    prepare, user = "", ""
    match sender.entry["scheme"]:
        case "basic":
            prepare, user = _SHELL_QUOTE, f'user = "{_config_text(sender.text("username") or "hookchain")}:$quoted"\n'
        case "header":
            prepare, lines[sender.text("header")] = _SHELL_QUOTE, "$quoted"
        case "bearer":
            prepare, lines["Authorization"] = _SHELL_QUOTE, "Bearer $quoted"
        case "path" | "query":
            prepare = _SHELL_URL
        case "standard-webhooks":
            prepare = _read("curl.standard-webhooks")
            lines |= {"webhook-timestamp": "$timestamp", "webhook-signature": "v1,$signature"}
        case "hmac":
            encoding = _SHELL_ENCODINGS[sender.text("encoding")]
            template = _read("curl.hmac").replace("@ALGORITHM@", sender.text("algorithm"))
            prepare = template.replace("@ENCODING@", encoding)
            lines[sender.text("header")] = f"{_config_text(sender.text('prefix'))}$signature"
    headers = "".join(f'header = "{name}: {value}"\n' for name, value in lines.items())
    token = "$token" if sender.has_token_in_url else ""
    return {
        "EXPORT": sender.export_line("#     "),
        "NEEDS": " and openssl" if "openssl" in prepare else "",
        "EVENT": shlex.quote(json.dumps(_event_data(sender), ensure_ascii=False)),
        "SECRET": _SHELL_SECRET % sender.variable if sender.variable else "",
        "SIGN": prepare,
        "CONFIG": f'{user}{headers}url = "{_config_text(sender.full_url)}{token}"',
    }


def _config_text(text: str) -> str:
    """Escape a text twice: for a quoted string of curl's configuration, and for the shell's here-document."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(f"\\{each}" if each in "\\$`" else each for each in quoted)


def _sql(sender: Sender) -> dict[str, str]:
    return {"EVENT": _sql_event(sender.type_path), "TYPE": _sql_text(sender.event_type)}


def _sql_event(type_path: tuple[str, ...]) -> str:
    if not type_path:
        return "jsonb_build_object('record', to_jsonb(NEW))"
    inner = "TG_ARGV[0]"
    for name in reversed(type_path[1:]):
        inner = f"jsonb_build_object({_sql_text(name)}, {inner})"
    if type_path[0] == "record":
        return f"jsonb_build_object('record', to_jsonb(NEW) || {inner})"
    return f"jsonb_build_object({_sql_text(type_path[0])}, {inner}, 'record', to_jsonb(NEW))"


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


SNIPPETS: Final[Mapping[str, Callable[[Sender], dict[str, str]]]] = {
    "python": _python,
    "typescript": _typescript,
    "curl": _curl,
    "sql": _sql,
    "sql-worker": _sql_worker,
}
