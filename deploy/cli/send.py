"""`hookchain send URL`: post an event as a sender would, and say in words what came of it."""

import argparse
import sys
from pathlib import Path
from typing import Final

from deploy.cli.ending import words_of
from deploy.cli.main import parser
from deploy.client.hookchain import Outcome, send
from deploy.client.hookchain.formats import FORMATS
from deploy.config.checkout import ROOT, environ_with
from deploy.config.dotenv import DotenvFault
from deploy.requests.bodies import parse_fields, read_body
from deploy.requests.credentials import choose_credentials
from shared.errors import HookchainError
from shared.jsontext import to_json

EPILOG: Final = """\
examples:
  hookchain send http://localhost:8080/signup-form event=signup.created customerName=Ann age:=40
  hookchain send http://localhost:8080/signup-form --file event.json --format xml --extra env=staging
  hookchain send https://hooks.example.com/crm --data '{"event": "crm.sold"}' --secret crm-password
  hookchain send https://hooks.example.com/git --file push.json -H 'X-GitHub-Event: push' \\
      --hmac X-Hub-Signature-256:sha256:hex:sha256= --secret github-secret
  hookchain send https://hooks.example.com/pay --standard-webhooks --secret-stdin --data '{}' < key.txt

A secret is never an argument: --secret names it, and it is looked up as the functions do (/secrets/<name>, the
environment variable SIGNUP_PASSWORD for signup-password), and in .env. Without --secret you are asked for it.

Without a way to prove yourself, a URL on this machine is sent to as its source in the configuration asks: --config,
else HOOKCHAIN_CONFIG, else the one that `hookchain dev` runs here, or would take. --secret alone goes the way of the
source in the configuration, where that is known.
What is read from --data, --file or standard input is sent byte for byte, unless --format or --extra change it; the
endings .json, .yaml, .yml, .xml and .form of a file say its format.

exit code: 0 for a 2xx answer, 1 for any other or none, 2 for a command that makes no sense"""


def main(arguments: list[str]) -> int:
    words = parser("send", EPILOG)
    add_arguments(words)
    options = words.parse_intermixed_args(arguments)  # before 3.12, fields after an option are lost otherwise
    try:
        outcome = run(options)
    except (ValueError, OSError, HookchainError, DotenvFault) as error:
        words.error(words_of(error))
    fields = {name: getattr(outcome, name) for name in ("ok", "status", "event_id", "code", "message")}
    print(to_json(fields) if options.json else outcome.message)
    return 0 if outcome.ok else 1


def run(options: argparse.Namespace) -> Outcome:
    """Raises ValueError, OSError, HookchainError and DotenvFault for a command that makes no sense."""
    environ = environ_with(options.env_file)
    body, form = read_body(options, sys.stdin)
    proof = choose_credentials(options, environ, sys.stdin)
    outcome = send(
        proof.url,
        body,
        secret=proof.secret,
        auth=proof.auth,
        format=form,
        extra=None if isinstance(body, bytes) else parse_fields(options.extra),
        headers=dict(_header(line) for line in options.header),
        delivery_id=options.id,
        timeout_seconds=options.timeout,
    )
    if proof.note:  # only now has it been sent
        print(proof.note, file=sys.stderr)
    return outcome


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError("a header is written 'Name: value'")
    return name.strip(), value.strip()


def add_arguments(words: argparse.ArgumentParser) -> None:
    words.usage = "hookchain send URL [FIELD …] [options]"
    words.add_argument("url", metavar="URL", help="where to: a source's URL")
    words.add_argument("field", metavar="FIELD", nargs="*", help="name=text, or name:=JSON, for a body made of these")

    data = words.add_argument_group("what to send (else: FIELDs, else standard input)")
    data.add_argument("--data", metavar="TEXT", help="the body itself")
    data.add_argument("--file", metavar="FILE", help="a file with the body; - for standard input")
    data.add_argument("--format", choices=sorted(FORMATS), help="how to write it (default: as it is; FIELDs as json)")
    data.add_argument("--extra", metavar="FIELD", action="append", default=[], help="put into the body's top level")
    data.add_argument("-H", "--header", metavar="'K: V'", action="append", default=[], help="a header more")
    data.add_argument("--id", metavar="ID", help="header webhook-id; the same again when you send an event again")

    proof = words.add_argument_group("how to prove who you are").add_mutually_exclusive_group()
    proof.add_argument(
        "--password", action="store_true", help="the secret in X-Webhook-Password (else as the source asks)"
    )
    proof.add_argument("--password-header", metavar="NAME", help="the secret in this header")
    proof.add_argument("--basic", metavar="USER", help="basic authentication, the secret as password")
    proof.add_argument("--bearer", action="store_true", help="Authorization: Bearer, the secret as token")
    proof.add_argument(
        "--hmac", metavar="HEADER[:ALGORITHM[:ENCODING[:PREFIX]]]", help="sign the body (sha256, hex, no prefix)"
    )
    proof.add_argument(
        "--standard-webhooks", action="store_true", help="sign as Standard Webhooks (default for whsec_)"
    )
    proof.add_argument("--source", metavar="NAME", help="as the configuration says of this source")

    words.add_argument(
        "--config", metavar="FILE", help="whose sources count (HOOKCHAIN_CONFIG); `none`: without a file"
    )
    secret = words.add_argument_group("with which secret").add_mutually_exclusive_group()
    secret.add_argument("--secret", metavar="NAME", help="the secret of this name")
    secret.add_argument(
        "--secret-stdin", "--password-stdin", action="store_true", help="the secret is on standard input"
    )
    words.add_argument("--env-file", metavar="FILE", type=Path, default=ROOT / ".env", help="secrets (default: .env)")
    words.add_argument("--timeout", metavar="SECONDS", type=float, default=10.0, help="give up after (default: 10)")
    words.add_argument("--json", action="store_true", help="print one JSON object: ok, status, event_id, code, message")
