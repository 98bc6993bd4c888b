"""`hookchain send URL`: send an event as a sender would, and print the response in words."""

import argparse
import sqlite3
import sys
import time
import uuid
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.cli.command import DONE, NOT_DONE, TIMEOUT, error_text, parser
from deploy.client.hookchain.formats import FORMATS
from deploy.client.hookchain.outcome import Outcome
from deploy.client.hookchain.sending import send
from deploy.config import checkout, configured, dotenv
from deploy.config.running_dev import start_command
from deploy.history.local import open_local_state, running_ports
from deploy.history.state import StateFault
from deploy.requests import posting, send_options
from deploy.requests.command_lines import program
from shared import errors, jsontext

PUSH_REJECTED: Final[errors.ProblemCode] = "push_identity_mismatch"
"""The code of the rejection by a source of Pub/Sub messages, whose requests need a token of Google."""

DUPLICATE: Final = " (duplicate: its id had already arrived; with the same body, it is delivered once)"
CLOCK_STEP_SECONDS: Final = 0.002
"""How much earlier than its request a new event can be dated, because its time is stored in milliseconds."""

OWN_AUTH: Final = ("--password", "--password-header", "--basic", "--bearer", "--hmac", "--standard-webhooks")
"""The options that authenticate a request without a source of the configuration."""


def main(arguments: list[str]) -> int:
    command = parser("send")
    _add_arguments(command)
    command.reject_ignored(arguments, dict.fromkeys(OWN_AUTH, ("--config",)))
    options = command.parse_intermixed_args(arguments)  # before 3.12, fields after an option are lost otherwise
    try:
        sent_at = time.time()
        outcome, signing_note = _send(options)
    except (ValueError, OSError, errors.HookchainError, dotenv.DotenvFault) as error:
        command.error(error_text(error))
    state = checkout.state_folder()
    is_duplicate = was_known(outcome.event_id, options.url, sent_at, state)
    if options.json:
        fields = {name: getattr(outcome, name) for name in ("ok", "status", "event_id", "code", "message")}
        print(jsontext.to_json({**fields, "duplicate": is_duplicate}))
    else:
        print(f"{outcome.message}{DUPLICATE if is_duplicate else ''}")
    note = _failure_note(options.url, outcome, state) or signing_note
    if note:
        print(note, file=sys.stderr)
    return DONE if outcome.ok else NOT_DONE


def _failure_note(url: str, outcome: Outcome, state: Path) -> str:
    """Return what the operator can do about a failure, if the outcome shows it; otherwise empty."""
    wrong_port = wrong_port_note(url, outcome, state)
    if wrong_port:  # checked first, because transform and notify reject with PUSH_REJECTED too
        return wrong_port
    if outcome.code == PUSH_REJECTED:
        return f"The source's messages come from a bus: `{program()} sources` prints how to publish one."
    if outcome.code == "unreachable" and urlsplit(url).hostname in send_options.THIS_MACHINE:
        return f"Is `{start_command(state)}` running, and is this its port? It prints its URLs when it starts."
    return ""


def _send(options: argparse.Namespace) -> tuple[Outcome, str]:
    """Return the outcome, and a note about how the event was signed. Raises the errors that `main` catches."""
    environ = configured.environ_of(options)
    body, format = send_options.read_body(options, sys.stdin)
    credentials = send_options.choose_credentials(options, environ, sys.stdin)
    extra = None if isinstance(body, bytes) else send_options.parse_fields(options.extra)
    headers = dict(_header(line) for line in options.header)
    delivery_id = options.id or f"evt_{uuid.uuid4().hex}"

    def send_once() -> Outcome:
        return send(
            credentials.url,
            body,
            secret=credentials.secret,
            auth=credentials.auth,
            format=format,
            extra=extra,
            headers=headers,
            delivery_id=delivery_id,
            timeout_seconds=options.timeout,
        )

    return posting.send_until_confirmed(send_once, lambda outcome: outcome), credentials.note


def _header(line: str) -> tuple[str, str]:
    """Return the name and the value of `Name: value`. Raises ValueError."""
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError("--header: must be 'Name: value'")
    return name.strip(), value.strip()


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.usage = "hookchain send URL [FIELD …] [options]"
    command.add_argument("url", metavar="URL", help="send to this URL of a source")
    command.add_argument("field", metavar="FIELD", nargs="*", help="add a field to the body: name=text or name:=JSON")

    add = command.add_argument_group("body [the FIELDs, else standard input]").add_argument
    add("--data", metavar="TEXT", help="send this text")
    add("--file", metavar="FILE", help="send this file; - is standard input")
    add("--format", choices=sorted(FORMATS), help="convert the body to this format [unchanged; FIELDs: json]")
    add("--extra", metavar="FIELD", action="append", default=[], help="add a field to the top level of the body")
    add("-H", "--header", metavar="'K: V'", action="append", default=[], help="add a header")
    add("--id", metavar="ID", help="set the header webhook-id; repeat an ID to send the same event again")

    add = command.add_argument_group("auth [as the source requires]").add_mutually_exclusive_group().add_argument
    add("--password", action="store_true", help="send the secret in X-Webhook-Password")
    add("--password-header", metavar="NAME", help="send the secret in this header")
    add("--basic", metavar="USER", help="use basic authentication, with the secret as password")
    add("--bearer", action="store_true", help="send Authorization: Bearer, with the secret as token")
    hmac_form = "HEADER[:ALGORITHM[:ENCODING[:PREFIX]]]"
    add("--hmac", metavar=hmac_form, help="sign the body with HMAC [sha256, hex, no prefix]")
    add(
        "--standard-webhooks",
        action="store_true",
        help="sign as Standard Webhooks [if the secret is such a key]",
    )
    add("--source", metavar="NAME", help="sign as this source of the configuration requires")

    secret = command.add_argument_group("secret").add_mutually_exclusive_group()
    secret.add_argument("--secret", metavar="NAME", help="use the secret of this name")
    secret.add_argument("--secret-stdin", "--password-stdin", action="store_true", help="read it from standard input")
    command.add_argument(
        "--config", metavar="FILE", help="set the configuration, or `none` for no file [HOOKCHAIN_CONFIG]"
    )
    configured.add_env_file(command)
    command.add_argument("--timeout", metavar="SECONDS", type=TIMEOUT, default=10.0, help="stop after this long [10]")
    command.add_argument(
        "--json", action="store_true", help="print one JSON object: ok, status, event_id, code, message, duplicate"
    )


def was_known(event_id: str | None, url: str, sent_at: float, state: Path) -> bool:
    """Return whether the event had already arrived before this request, as far as this machine's journal shows.

    receive stores no state, so its reply is the same for a duplicate. Only the journal of the `hookchain dev` at `url`
    can show it. Return False for any other receiver.
    """
    ports, target = running_ports(state), urlsplit(url)
    if event_id is None or ports is None:
        return False
    if target.hostname not in {"localhost", "127.0.0.1"} or target.port != ports.receive:
        return False
    try:
        with open_local_state(state) as local:
            record = local.reader.event(event_id)
    except (StateFault, sqlite3.Error):
        return False
    return record is not None and record.summary.received_at < sent_at - CLOCK_STEP_SECONDS


def wrong_port_note(url: str, outcome: Outcome, state: Path) -> str:
    """Return which program of this machine answered instead of receive; empty if receive or another machine did."""
    ports, target = running_ports(state), urlsplit(url)
    if target.hostname not in send_options.THIS_MACHINE or outcome.status is None or outcome.ok:
        return ""
    receive = f": receive is at http://localhost:{ports.receive}" if ports else ""
    names_by_port = {port: name for name, port in ports.named().items()} if ports else {}
    port = target.port or 80
    name = names_by_port.get(port)
    if name is None and outcome.code == "http":  # a rejection by receive always has its own code
        not_running = "" if ports else f", and no `{start_command(state)}` runs with {state}"
        return f"Another program answered on port {port}{not_running}{receive}"
    if name not in (None, "receive"):
        return f"Port {port} is the port of {name}, which accepts no events{receive}"
    return ""
