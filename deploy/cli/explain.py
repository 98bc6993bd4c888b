"""`hookchain explain`: explain offline how a request would be handled, check by check."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.cli.command import USAGE, number_option, parser, run_command, time_option
from deploy.config import checkout, compiler, running_dev
from deploy.config.configured import LoadedConfig, add_configuration, configured
from deploy.config.dotenv_warnings import dotenv_warnings
from deploy.explain import deliveries, fan_out, offline, receive_stage, request_options, transform_stage
from deploy.explain.report import Check, Report, report_document, report_text
from deploy.history.local import open_local_documents, open_local_ledger, running_aws
from deploy.history.state import configured_destinations
from deploy.requests.sources import auth_secret_names, compiled_sources
from deploy.secrets.local_secrets import generated_causes, secret_doubts
from deploy.secrets.needs import token_names
from deploy.terminal.output import print_json, stdout_screen
from functions.receive.diagnosis.diagnose import SECRET_CODES, leaves_secret_open
from shared import errors, http, jsontext, secrets
from shared.cloud.local.documents import FILE_NAME as DOCUMENTS_FILE, KnownOwners
from shared.cloud.local.ledger import FILE_NAME as LEDGER_FILE
from shared.ledger import DestinationState
from shared.subscribers.model import Endpoint

_UNIX_TIME: Final = number_option(0, 4e9, " of seconds")
"""The type of a time in Unix seconds, until the year 2096."""
_SKIPPED: Final = {
    "secret": "not checked (--unsigned)",
    "signature": "assumed valid, like all authentication (--unsigned)",
    "time": "not checked (--unsigned)",
}
"""By the name of a check: what is printed of it with --unsigned."""
_ID_OF_SIGNED: Final = "not checked (--unsigned): the signed bytes decide which requests are one event"
"""What is printed of the check of the id with --unsigned, if the signature would decide on it."""


def main(arguments: list[str]) -> int:
    command = parser("explain")
    add_configuration(command)
    request_options.add_request_options(command)
    command.add_argument("--unsigned", action="store_true", help="assume valid authentication and show the rest")
    command.add_argument("--now", metavar="TIME", type=_time, help="set the time of arrival, RFC 3339 or Unix [now]")
    command.add_argument("--json", action="store_true", help="print one JSON object: status, code, checks, events …")
    command.reject_ignored(arguments, {"--curl": ("--method", "--url", "-H", "--file")})
    options = command.parse_args(arguments)
    return run_command("explain", lambda: _run(options), ValueError, error_code=USAGE)


def _time(text: str) -> float:
    """Return Unix seconds. Raises ArgumentTypeError."""
    return _UNIX_TIME(text) if text.replace(".", "", 1).isdecimal() else time_option(text)


def _run(options: argparse.Namespace) -> int:
    """Print the report. Return its exit code, which says whether the request is accepted and delivered.

    Raises ValueError, OSError, and the faults of a configuration.
    """
    if note := running_dev.outdated(checkout.state_folder()):
        print(f"note: {note}", file=sys.stderr)
    report = explained_request(
        request_options.request_from_options(options),
        configured(options),
        checkout.state_folder(),
        options.env_file,
        now=time.time() if options.now is None else options.now,
        is_unsigned=options.unsigned,
    )
    if options.json:
        print_json(report_document(report))
    else:
        print("\n".join(report_text(report, stdout_screen())))
    return report.exit_code


def explained_request(
    request: http.Request, found: LoadedConfig, state: Path | None, env_file: Path, *, now: float, is_unsigned: bool
) -> Report:
    """Return the report on a request that arrives at `now` (Unix seconds), by the configuration `found`.

    The folder `state` has the events, pauses and tenants of this machine. None: nothing is known of these. `env_file`
    is read for what may be wrong with a secret. With `is_unsigned`, valid authentication is assumed.
    """
    receive = found.slices["receive"]
    if is_unsigned:
        report = receive_stage.explain_receive(
            request, offline.without_authentication(receive, keeps_requests=True), found.environ, now
        )
        report = _mark_skipped(report, receive)
    else:
        report = receive_stage.explain_receive(request, receive, found.environ, now)
    if report.code in SECRET_CODES and report.source is not None:
        report = _with_secret_causes(report, _secret_causes(env_file, found, report.source))
    known_owners = None if state is None else KnownOwners(state / "owners.db")
    states = asyncio.run(_states(state, found.slices["notify"])) if state is not None and report.events else {}
    situation = deliveries.Situation(now, states, None if state is None else _local_endpoints(state))
    later = tuple(
        stage
        for event in report.events
        for stage in transform_stage.transform_stages(event, found.slices, found.environ, situation, known_owners)
    )
    return replace(report, stages=(*report.stages, *later))


def _with_secret_causes(report: Report, causes: tuple[str, ...]) -> Report:
    """Return the report with these causes, unless its own advice already settles why the secret does not match.

    They replace its advice, except that of a wrong signature, which can have reasons other than the secret.
    """
    is_settled = report.advice and not any(map(leaves_secret_open, report.advice))
    if not causes or is_settled:
        return report
    kept = report.advice if report.code == "signature_mismatch" else ()
    return replace(report, advice=(*kept, *causes))


def _secret_causes(env_file: Path, found: LoadedConfig, source: str) -> tuple[str, ...]:
    """Return a sentence for each secret of the source that was generated, is faulty in `.env`, or may not be the one
    that was meant."""
    names = auth_secret_names(compiled_sources(found.slices["receive"])[source])
    causes = generated_causes(env_file, names)
    needed = compiler.secrets_needed(found.slices)
    causes |= secret_doubts(env_file, needed, found.environ, tokens=token_names(found.document))
    variables = {secrets.variable_name(name): name for name in names}
    for warning in dotenv_warnings(env_file, os.environ, set(variables)):
        if warning.variable in variables:
            causes[variables[warning.variable]] = warning.text
    return tuple(causes[name] for name in names if name in causes)


async def _states(folder: Path, notify: jsontext.JsonObject) -> dict[str, DestinationState]:
    """Return the states of the destinations on this machine; none if the state folder has no ledger to read."""
    if not (folder / LEDGER_FILE).is_file():
        return {}
    try:
        async with open_local_ledger(folder) as ledger:
            return {name: await ledger.destination_state(name) for name in configured_destinations(notify)}
    except errors.Temporary:
        return {}


def _local_endpoints(folder: Path) -> fan_out.ReadEndpoints | None:
    """Return a function that reads the endpoints of a tenant on this machine; None if no tenants are stored."""
    if not (folder / DOCUMENTS_FILE).is_file() and running_aws(folder) is None:
        return None

    async def read(tenant: str) -> Sequence[Endpoint] | None:
        async with open_local_documents(folder) as documents:
            return await fan_out.known_endpoints(documents, tenant)

    return lambda tenant: asyncio.run(read(tenant))


def _mark_skipped(report: Report, receive: jsontext.JsonObject) -> Report:
    """Mark the checks that were skipped: receive ran as if the source had `auth: none`. `receive` is its slice."""
    skipped = {**_SKIPPED, "id": _ID_OF_SIGNED} if _signs_content(receive, report.source) else _SKIPPED
    stages = [
        replace(stage, checks=tuple(_mark_skipped_check(check, skipped) for check in stage.checks))
        for stage in report.stages
    ]
    return replace(report, stages=tuple(stages))


def _signs_content(receive: jsontext.JsonObject, source: str | None) -> bool:
    """Return whether a scheme of the source signs the request, so that the event's id may come from what is signed."""
    settings = jsontext.mapping_at(receive, "sources", source or "")
    return bool(settings) and any(auth.signs_content for auth in receive_stage.auth_schemes(settings))


def _mark_skipped_check(check: Check, skipped: Mapping[str, str]) -> Check:
    shown = skipped.get(check.name)
    return Check(check.name, "skipped", shown) if shown else check
