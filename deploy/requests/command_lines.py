"""Command lines that send one event to a source: curl where it can, else `hookchain send`, which can sign."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from deploy.config.local_ports import Ports
from deploy.requests import events
from deploy.requests.accepted_bodies import with_accepted_body
from deploy.requests.events import CONTENT_TYPES, MadeEvent
from deploy.requests.sources import accepts_post, auth_entries, compiled_sources, is_plain_hmac, source_url
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json, JsonObject
from shared.secrets import split_values, variable_name

CURL_SCHEMES: Final = frozenset({"none", "basic", "header", "bearer", "path", "query"})
"""The auth schemes that need no signature, so that curl alone can send."""

_RECOGNIZED: Final[Mapping[str, tuple[str, ...]]] = {"json": ("{", "["), "xml": ("<",), "form": (), "yaml": ()}
"""By format: the first characters by which `hookchain send` recognizes it."""


@dataclass(frozen=True, slots=True)
class CurlSecret:
    """The secret in a line of curl: its value, or with `is_expression` a shell expression for it, such as `$TOKEN`."""

    text: str
    is_expression: bool = False

    def word(self, before: str, *, in_url: bool = False) -> str:
        """Return a shell word: the text before the secret, and the secret. In a URL, its value is percent-encoded.

        A shell cannot encode what it puts in place of an expression, so such a line needs a secret that a URL can hold.
        """
        if self.is_expression:
            escaped = "".join(f"\\{each}" if each in '\\"$`' else each for each in before)
            return f'"{escaped}{self.text}"'
        return shlex.quote(before + (quote(self.text, safe="") if in_url else self.text))


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One event to send to one source.

    source     the source's name
    url        the source's URL, without a token
    auth       the entry of the source's `auth` to use
    content    the body; with `is_file`, the path of a file that holds it
    format     the body's format, one of CONTENT_TYPES
    headers    the headers besides those of `auth`. A Content-Type replaces the format's
    query      the parameters of the URL, besides a token
    """

    source: str
    url: str
    auth: JsonObject
    content: str
    format: str = "json"
    is_file: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def curl(self, secret: CurlSecret) -> str:
        """Return a line of curl. The scheme of `auth` must be one of CURL_SCHEMES; `none` ignores the secret."""
        auth = self.auth
        options: list[str] = []
        query = self._query_text
        url = shlex.quote(f"{self.url}{query}")
        match auth.get("scheme"):
            case "basic":
                options = ["-u", secret.word(f"{auth.get('username') or 'anyone'}:")]
            case "header":
                options = ["-H", secret.word(f"{auth.get('header')}: ")]
            case "bearer":
                options = ["-H", secret.word("Authorization: Bearer ")]
            case "path":
                url = secret.word(f"{self.url}/", in_url=True) + (shlex.quote(query) if query else "")
            case "query":
                begin = f"{query}&" if query else "?"
                parameter = quote(str(auth.get("parameter")), safe="")
                url = secret.word(f"{self.url}{begin}{parameter}=", in_url=True)
        data = ["--data-binary", f"@{self.content}"] if self.is_file else ["-d", self.content]
        headers = {"Content-Type": CONTENT_TYPES[self.format], **self.headers}
        rest = [*_header_options(headers), *data]
        return " ".join(["curl", *options, shlex.join(rest), url])

    def send(self, *, is_secret_piped: bool = False) -> str:
        """Return a line of `hookchain send`, which looks the secret up by its name, or reads it from standard input."""
        secret = ["--secret-stdin"] if is_secret_piped else ["--secret", str(self.auth.get("secret"))]
        data = ["--file" if self.is_file else "--data", self.content]
        if not self.is_file and not self.content.startswith(_RECOGNIZED[self.format]):
            data = ["--format", self.format, *data]
        url = f"{self.url}{self._query_text}"
        return shlex.join([program(), "send", url, *self._auth_options(secret), *_header_options(self.headers), *data])

    @property
    def _query_text(self) -> str:
        return f"?{urlencode(self.query)}" if self.query else ""

    def _auth_options(self, secret: Sequence[str]) -> list[str]:
        auth = self.auth
        match auth.get("scheme"):
            case "basic":
                return ["--basic", str(auth.get("username") or "anyone"), *secret]
            case "header":
                return ["--password-header", str(auth.get("header")), *secret]
            case "bearer":
                return ["--bearer", *secret]
            case "hmac":
                parts = [str(auth.get(name, "")) for name in ("header", "algorithm", "encoding", "prefix")]
                return ["--hmac", ":".join(parts), *secret]
            case "standard-webhooks":
                return ["--standard-webhooks", *secret]
            case _:  # `send` puts a token into the URL as the source's configuration says
                return ["--source", self.source, *secret]


def _header_options(headers: Mapping[str, str]) -> list[str]:
    return [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]


def can_send(auth: JsonObject) -> bool:
    """Return whether `hookchain send` can authenticate by this entry of an `auth`."""
    is_standard = auth.get("scheme") == "standard-webhooks" and auth.get("key", "base64") == "base64"
    return auth.get("scheme") in CURL_SCHEMES or is_standard or is_plain_hmac(auth)


def first_event_line(
    slices: Mapping[str, JsonObject], ports: Ports, secrets: Mapping[str, str], sample: Path | None = None
) -> str | None:
    """Return a line that works as printed, on this machine; None if no source can be sent to.

    It is curl with the secret in it where a source accepts that, else `hookchain send`. `secrets` are the values of
    secrets, by the names of their variables. Raises CommandError if sources can be sent to, but an example can be made
    for none of them.
    """
    line = _first_event(slices, ports, sample)
    if line is None:
        return None
    if line.auth.get("scheme") not in CURL_SCHEMES:
        return line.send()
    values = split_values(secrets.get(variable_name(str(line.auth.get("secret", ""))), ""))
    return line.curl(CurlSecret(values[0] if values else ""))


def first_event_line_without_secret(
    slices: Mapping[str, JsonObject], ports: Ports, sample: Path | None = None
) -> str | None:
    """Return a line for the same event that anybody may read: `hookchain send` looks the secret up by its name.

    Raises CommandError as first_event_line.
    """
    line = _first_event(slices, ports, sample)
    if line is None:
        return None
    if line.auth.get("secret"):
        return line.send()
    return line.curl(CurlSecret(""))  # the source needs none


def _first_event(slices: Mapping[str, JsonObject], ports: Ports, sample: Path | None) -> CommandLine | None:
    """Return an event for the first source that curl can send to, else for the first that `hookchain send` can.

    Its body is `sample`, else an example that the configuration declares, else generated. None if no source is left.
    Raises CommandError if sources are left, but an example can be made for none of them.
    """
    sources = compiled_sources(slices["receive"])
    posted = {name: source for name, source in sources.items() if accepts_post(source)}
    found = [(name, auth) for name, source in posted.items() for auth in auth_entries(source) if can_send(auth)]
    fault: CommandError | None = None
    by_curl = [(name, auth) for name, auth in found if auth.get("scheme") in CURL_SCHEMES]
    others = [(name, auth) for name, auth in found if auth.get("scheme") not in CURL_SCHEMES]
    for name, auth in (*by_curl, *others):
        try:
            return _event_for(slices, name, auth, ports, sample)
        except CommandError as error:
            fault = fault or error
    if fault:
        raise fault
    return None


def _event_for(
    slices: Mapping[str, JsonObject], name: str, auth: JsonObject, ports: Ports, sample: Path | None
) -> CommandLine:
    """Return an event for this source, by this entry of its `auth`. Raises CommandError if no example can be made."""
    source = compiled_sources(slices["receive"])[name]
    url = source_url(name, ports)
    transform = slices["transform"]
    event_types = slices.get("subscribe", {}).get("event_types")
    example: tuple[str, Json] | None = events.declared_example(transform, name, event_types)
    if example is None:
        routed_type = events.routed_type(transform, name)
        example = (routed_type, events.fitting_data(slices, name, routed_type))
    event_type, data = example
    event = events.make_event_without_id(source, event_type, data)
    if sample:
        body_format = sample.suffix.removeprefix(".")
        headers = {**event.headers, **events.format_headers(source, body_format)}
        return CommandLine(
            name, url, auth, relative_path(sample), body_format, is_file=True, headers=headers, query=event.query
        )
    made = with_accepted_body(name, source, event)
    return CommandLine(name, url, auth, made.to_body().decode(), made.format, headers=made.headers, query=made.query)


def accepted_example(slices: Mapping[str, JsonObject], name: str) -> MadeEvent:
    """Return an example for the source, of a type that a route takes. Raises CommandError if none can be made."""
    source = compiled_sources(slices["receive"])[name]
    event_type = events.routed_type(slices["transform"], name)
    event = events.make_example_event(source, event_type, events.fitting_data(slices, name, event_type))
    return with_accepted_body(name, source, event)


def example_line(url: str, auth: JsonObject, event: MadeEvent, secret_command: Callable[[str], str] | None) -> str:
    """Return a line without a secret, to be pasted into a shell: it reads the secret itself.

    `secret_command` returns a command that prints the secret of a name; without it, the secret is a variable of the
    shell. `url` is without a token. Empty for a signature that only `hookchain trigger` can make.
    """
    name = str(auth.get("secret"))
    command = secret_command(name) if secret_command else None
    content = event.data.decode() if isinstance(event.data, bytes) else json.dumps(event.data)
    line = CommandLine("", url, auth, content, event.format, headers=event.headers, query=event.query)
    if auth["scheme"] in CURL_SCHEMES:
        expression = f"${variable_name(name)}" if command is None else f"$({command} | head -n 1)"
        return line.curl(CurlSecret(expression, is_expression=True))
    if not can_send(auth):
        return ""
    return line.send() if command is None else f"{command} | {line.send(is_secret_piped=True)}"


def program() -> str:
    """Return the command's path: the terminal that a line is pasted into may not have it on PATH."""
    return relative_path(Path(sys.executable).parent / "hookchain")


def relative_path(path: Path) -> str:
    """Return the path from the current folder, if it is below it. Links are not resolved."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)
