"""`hookchain lint`: list every fault of a configuration, and what is allowed but seldom intended."""

import argparse
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from deploy.aws.prepare import measured as limits_of_aws
from deploy.aws.template import template
from deploy.cli.command import parser, run_command
from deploy.config import checkout, compiler, configured, dotenv, mail_settings
from deploy.config.config_file import ConfigFaults, ConfigFile, Fault
from deploy.config.databases import database_warnings
from deploy.config.dotenv_warnings import dotenv_warnings
from deploy.config.platform_parts import aws_only, google_only, local_only
from deploy.config.sections.own_files import own_kind_warnings, own_step_warnings
from deploy.config.warnings import configuration_notes, configuration_warnings
from deploy.explain.event_types import EventTypeFindings, event_type_findings
from deploy.gcp.costs import resources
from deploy.gcp.limits import measured as limits_of_google
from deploy.secrets import forms, local_secrets, needs
from deploy.terminal.output import count_of, print_json
from deploy.topology.buses import loop_warnings
from deploy.topology.limits import over_limits
from deploy.topology.topology import find_topology
from shared.did_you_mean import nearest
from shared.jsontext import Json, JsonObject
from shared.secrets import is_short, split_values, variable_name, weakness

NO_LINE: Final = 0
"""The line of a fault in the whole file, or in something outside of it, such as a secret."""


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    return run_command("lint", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    """Print the faults, warnings and notes. Return 1 if there is a fault, or with --strict a warning.

    Faults of the configuration, or of its examples of event types, are printed without warnings, which assume that
    there are none. Faults of secrets are printed with them, because a warning may name the cause.
    """
    try:
        environ = configured.checked_environ(options)
        chosen = checkout.config_to_check(options.config, environ)
        if not options.json:
            print(chosen.line, flush=True)
        file = compiler.read_config(chosen.path, environ)
        slices = compiler.compile_config(file)
    except ConfigFaults as error:
        _print(error.file, error.faults, as_json=options.json)
        return 1
    faults = list(_checked_secrets(options, slices, environ)) if options.secrets else []
    types = event_type_findings(file, slices)
    if types.faults:
        _print(file.file, sorted({*faults, *types.faults}), as_json=options.json)
        return 1
    warnings = {*all_warnings(file, slices, types, environ, options.env_file)}
    warnings |= {*_variable_warnings(options.env_file, slices)}
    if options.secrets:
        warnings |= {*_secret_warnings(options.env_file, file, slices, environ)}
    _print(file.file, faults, sorted(warnings), configuration_notes(file), as_json=options.json)
    if faults:
        return 1
    if not options.json:
        print(f"{file.file}: {_summary(slices)}; no faults")
    return 1 if warnings and options.strict else 0


def all_warnings(
    file: ConfigFile,
    slices: Mapping[str, JsonObject],
    types: EventTypeFindings,
    environ: Mapping[str, str],
    env_file: Path,
) -> list[Fault]:
    """Return the warnings that `hookchain lint` prints and `hookchain dev` counts, sorted by line, each one once.

    `file` has no faults and compiles to `slices`; `types` are the findings about its event types.
    """
    found = {*configuration_warnings(file, slices), *own_step_warnings(file), *own_kind_warnings(file)}
    found |= {*_sender_warnings(file, slices["notify"], environ.get("EMAIL_FROM"))}
    found |= {*types.warnings, *loop_warnings(file, slices)}
    found |= {*_database_warnings(file, slices["notify"]), *_local_only_warnings(file, slices)}
    found |= {*_limit_warnings(slices, environ)}
    found |= {Fault(NO_LINE, "", text) for text in mail_settings.mail_settings_warnings(environ)}
    names, tokens = compiler.secrets_needed(slices), needs.token_names(file.document)
    doubts = local_secrets.secret_doubts(env_file, names, environ, tokens=tokens)
    found |= {_secret_fault(name, sentence) for name, sentence in doubts.items()}
    return sorted(found)


def _sender_warnings(file: ConfigFile, notify: JsonObject, email_from: str | None) -> Iterator[Fault]:
    """Yield the destinations whose mails would be held, because they have no sender."""
    for name, sender in mail_settings.senders(notify, email_from).items():
        if isinstance(sender, str):
            yield Fault(file.line(("destinations", name)), f"destination {name!r}", sender)


def _database_warnings(file: ConfigFile, notify: JsonObject) -> Iterator[Fault]:
    for name, rule in database_warnings(notify):
        yield Fault(file.line(("destinations", name)), f"destination {name!r}", rule)


def _local_only_warnings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> Iterator[Fault]:
    """Yield the parts that a deployment on a cloud cannot use as `make dev` does."""
    for place, where, rule in (*local_only(slices), *google_only(slices["notify"]), *aws_only(slices["notify"])):
        yield Fault(file.line(place), where, rule)


def _limit_warnings(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the limits of each cloud that the configuration breaks. A deployment there rejects it."""
    topology = find_topology(slices, environ)
    text = template(topology, dict.fromkeys(slices, ""))
    for each in over_limits(limits_of_aws(text, topology)):
        yield Fault(NO_LINE, "on AWS", each.text)
    for each in over_limits(limits_of_google(resources(slices, environ), topology)):
        yield Fault(NO_LINE, "on Google Cloud", each.text)


# Secrets


def _secret_fault(name: str, sentence: str) -> Fault:
    """Return the fault, or the warning, that a sentence about the secret tells. Most sentences begin with its name."""
    subject = f"secret {name!r}"
    return Fault(NO_LINE, subject, sentence.removeprefix(subject).lstrip(": "))


def _checked_secrets(
    options: argparse.Namespace, slices: Mapping[str, JsonObject], environ: Mapping[str, str]
) -> Iterator[Fault]:
    """Yield the missing and the weak secrets, and the file of secrets if it is missing and was named."""
    faults = list(secret_faults(compiler.secrets_needed(slices), environ))
    yield from faults
    if faults and not options.env_file.exists() and options.env_file != checkout.own_env_file({}):
        yield Fault(NO_LINE, str(options.env_file), "does not exist, although HOOKCHAIN_ENV_FILE names it")


def secret_faults(names: list[str], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Yield a fault for each secret that is missing, and for each value that is too weak."""
    for name in names:
        text = local_secrets.secret_text(name, environ)
        if text is None:
            yield _secret_fault(name, f"is missing: set {variable_name(name)}, or create it in your cloud")
            continue
        values = split_values(text)
        weak = [fault for value in values if (fault := weakness(value))] if values else ["is empty"]
        yield from (_secret_fault(name, f"SECRET_WEAK: its value {fault}") for fault in weak)


def _variable_warnings(env_file: Path, slices: Mapping[str, JsonObject]) -> Iterator[Fault]:
    """Yield the lines of .env that are seldom intended, and the secrets in it that the shell overrides."""
    variables = set(map(variable_name, compiler.secrets_needed(slices)))
    for warning in dotenv_warnings(env_file, os.environ, variables):
        yield Fault(NO_LINE, "", warning.text)


def _secret_warnings(
    env_file: Path, file: ConfigFile, slices: Mapping[str, JsonObject], environ: Mapping[str, str]
) -> Iterator[Fault]:
    """Yield the secrets that are short or that their user cannot use, and the variables in .env that nothing reads."""

    def read_values(name: str) -> Sequence[str]:
        return split_values(local_secrets.secret_text(name, environ) or "")

    names = compiler.secrets_needed(slices)
    for name in names:
        if any(is_short(value) and not weakness(value) for value in read_values(name)):
            yield _secret_fault(name, "has fewer than 16 characters: a long random value cannot be guessed")
    for unusable in forms.unusable_secrets(slices, read_values):
        yield _secret_fault(unusable.name, unusable.text)
    used = [*names, *needs.token_names(file.document)]
    yield from unused_secrets(str(env_file), dotenv.read_dotenv(env_file), used)


def unused_secrets(env_file: str, variables: Collection[str], secrets: Collection[str]) -> Iterator[Fault]:
    """Yield a warning for each variable in .env that nothing reads, such as a mistyped secret.

    `variables` are those of the file, `secrets` the names of the secrets that are read.
    """
    secret_variables = sorted(map(variable_name, secrets))
    for variable in local_secrets.unused_variables(variables, secrets):
        near = nearest(variable, secret_variables)
        hint = f"; did you mean {near!r}?" if near else ""
        yield Fault(NO_LINE, f"{env_file}: {variable}", f"no needed secret and no setting has this name{hint}")


def _options(arguments: list[str]) -> argparse.Namespace:
    command = parser("lint")
    configured.add_configuration(command)
    command.add_argument("--secrets", action="store_true", help="also check the secrets: missing, weak or unused")
    command.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings, for example in CI")
    command.add_argument("--json", action="store_true", help="print one JSON object: file, faults, warnings, notes")
    return command.parse_args(arguments)


def _print(
    file: str, faults: Sequence[Fault], warnings: Sequence[Fault] = (), notes: Sequence[Fault] = (), *, as_json: bool
) -> None:
    """Print the notes, the warnings and then the faults to standard error; as JSON, one document to standard output."""
    if as_json:
        print_json(lint_document(file, faults, warnings, notes))
        return
    for note in notes:
        print(f"note: {note.text(file)}", file=sys.stderr)
    for warning in warnings:
        print(f"warning: {warning.text(file)}", file=sys.stderr)
    for fault in faults:
        print(fault.text(file), file=sys.stderr)
    if faults:
        print(count_of(len(faults), "fault"), file=sys.stderr)


def lint_document(
    file: str, faults: Sequence[Fault] = (), warnings: Sequence[Fault] = (), notes: Sequence[Fault] = ()
) -> JsonObject:
    """Return what --json prints."""
    return {"file": file, "faults": _listed(faults), "warnings": _listed(warnings), "notes": _listed(notes)}


def _listed(faults: Sequence[Fault]) -> list[Json]:
    return [*map(asdict, faults)]


def _summary(slices: Mapping[str, JsonObject]) -> str:
    counts = [
        (slices["receive"]["sources"], "source"),
        (slices["transform"]["routes"], "route"),
        (slices["notify"]["destinations"], "destination"),
    ]
    return ", ".join(count_of(len(things), word) for things, word in counts if isinstance(things, list | dict))
