"""`hookchain lint`: list every fault of a configuration, and what is allowed but seldom intended."""

import argparse
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from deploy.aws.prepare import measured as limits_of_aws
from deploy.aws.template import template
from deploy.cli.command import parser, run_command
from deploy.config import checkout, compiler, configured, dotenv, mail_settings, warnings
from deploy.config.config_file import ConfigFaults, ConfigFile, Fault
from deploy.config.sections.own_files import own_kind_warnings, own_step_warnings
from deploy.config.slices import aws_only, database_warnings, google_only, local_only
from deploy.explain.event_types import event_type_findings
from deploy.gcp.costs import resources
from deploy.gcp.deployment import measured as limits_of_google
from deploy.secrets import forms, needs, values
from deploy.terminal.output import count_of, print_json
from deploy.topology.buses import loop_warnings
from deploy.topology.topology import find_topology, over_limits
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject
from shared.secrets import is_short, split_values, variable_name, weakness


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    return run_command("lint", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    """Print the faults, warnings and notes. Return 1 if there is a fault, or with --strict a warning."""
    try:
        environ = configured.checked_environ(options)
        chosen = checkout.checked_config(options.config, environ)
        if not options.json:
            print(chosen.line, flush=True)
        file = compiler.read_config(chosen.path, environ)
        slices = compiler.compile_config(file)
        faults = list(secret_faults(compiler.secrets_needed(slices), environ)) if options.secrets else []
        if faults and not options.env_file.exists() and options.env_file != checkout.own_env_file({}):
            rule = "does not exist, although HOOKCHAIN_ENV_FILE names it"
            faults.append(Fault(0, str(options.env_file), rule))
        types = event_type_findings(file, slices)
        if types.faults:
            raise ConfigFaults(file.file, [*faults, *types.faults])
    except ConfigFaults as error:
        _print(error.file, error.faults, [], [], options.json)
        return 1
    found = {*all_warnings(file, environ, options.env_file), *secret_warnings(options, file, slices, environ)}
    variables = set(map(variable_name, compiler.secrets_needed(slices)))
    found |= {Fault(0, "", warning.text) for warning in dotenv.dotenv_warnings(options.env_file, os.environ, variables)}
    notes = warnings.configuration_notes(file)
    _print(file.file, faults, sorted(found), notes, options.json)  # a warning may be the cause of a missing secret
    if faults:
        return 1
    if not options.json:
        print(f"{file.file}: {_summary(slices)}; no faults")
    return 1 if found and options.strict else 0


def all_warnings(file: ConfigFile, environ: Mapping[str, str], env_file: Path) -> list[Fault]:
    """Return the warnings that `hookchain lint` prints and `hookchain dev` counts, by line. `file` has no faults."""
    slices = compiler.compile_config(file)
    found = {*warnings.configuration_warnings(file, slices), *own_step_warnings(file), *own_kind_warnings(file)}
    found |= {*_sender_warnings(file, slices["notify"], environ.get("EMAIL_FROM"))}
    found |= {*event_type_findings(file, slices).warnings, *loop_warnings(file, slices)}
    found |= {*_database_warnings(file, slices["notify"]), *_local_only_warnings(file, slices)}
    found |= {*_limit_warnings(slices, environ)}
    found |= {Fault(0, "", text) for text in mail_settings.mail_settings_warnings(environ)}
    tokens = needs.token_names(file.document)
    for name, text in values.secret_doubts(env_file, compiler.secrets_needed(slices), environ, tokens=tokens).items():
        found.add(Fault(0, f"secret {name!r}", text.removeprefix(f"secret {name!r} ")))
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
        yield Fault(0, "on AWS", each.text)
    for each in over_limits(limits_of_google(resources(slices, environ), topology)):
        yield Fault(0, "on Google Cloud", each.text)


def secret_warnings(
    options: argparse.Namespace, file: ConfigFile, slices: Mapping[str, JsonObject], environ: Mapping[str, str]
) -> Iterator[Fault]:
    """Yield the warnings that `--secrets` adds. `slices` are those of the file."""
    if options.secrets:
        yield from short_secrets(slices, environ)
        yield from unusable_secrets(slices, environ)
        used = [*compiler.secrets_needed(slices), *needs.token_names(file.document)]
        yield from unused_secrets(str(options.env_file), dotenv.read_dotenv(options.env_file), used)


def secret_faults(names: list[str], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Yield a fault for each secret that is missing, and for each value that is too weak. No line: 0."""
    for name in names:
        text = values.secret_text(name, environ)
        if text is None:
            yield Fault(0, f"secret {name!r}", f"is missing: set {variable_name(name)}, or create it in your cloud")
        for value in split_values(text or ""):
            if fault := weakness(value):
                yield Fault(0, f"secret {name!r}", f"SECRET_WEAK: its value {fault}")
        if text is not None and not split_values(text):
            yield Fault(0, f"secret {name!r}", "SECRET_WEAK: its value is empty")


def unusable_secrets(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the secrets that a destination or step cannot use, and API keys where a signing secret is needed."""

    def read_values(name: str) -> Sequence[str]:
        return split_values(values.secret_text(name, environ) or "")

    for name, text in forms.unusable_secrets(slices, read_values):
        yield Fault(0, f"secret {name!r}", text.removeprefix(f"secret {name!r}").lstrip(": "))


def short_secrets(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Yield a warning for each secret with a value that is short, but not so weak that it is a fault."""
    for name in compiler.secrets_needed(slices):
        values_ = split_values(values.secret_text(name, environ) or "")
        if any(is_short(value) and not weakness(value) for value in values_):
            yield Fault(0, f"secret {name!r}", "has fewer than 16 characters: a long random value cannot be guessed")


def unused_secrets(env_file: str, variables: Collection[str], secrets: Collection[str]) -> Iterator[Fault]:
    """Yield a warning for each variable in .env that nothing reads, such as a mistyped secret.

    `variables` are those of the file, `secrets` the names of the secrets that are read.
    """
    for variable in values.unused_variables(variables, secrets):
        hint = did_you_mean(variable, map(variable_name, secrets))
        near = hint if hint.startswith("; did") else ""
        yield Fault(0, f"{env_file}: {variable}", f"no needed secret and no setting has this name{near}")


def _options(arguments: list[str]) -> argparse.Namespace:
    command = parser("lint")
    configured.add_configuration(command)
    command.add_argument("--secrets", action="store_true", help="also check the secrets: missing, weak or unused")
    command.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings, for example in CI")
    command.add_argument("--json", action="store_true", help="print one JSON object: file, faults, warnings, notes")
    return command.parse_args(arguments)


def _print(
    file: str, faults: Sequence[Fault], warnings_: Sequence[Fault], notes: Sequence[Fault], as_json: bool
) -> None:
    """Print all of them to standard error, the faults last; with --json one document to standard output."""
    if as_json:
        print_json(lint_document(file, faults, warnings_, notes))
        return
    for note in notes:
        print(f"note: {note.text(file)}", file=sys.stderr)
    for warning in warnings_:
        print(f"warning: {warning.text(file)}", file=sys.stderr)
    for fault in faults:
        print(fault.text(file), file=sys.stderr)
    if faults:
        print(count_of(len(faults), "fault"), file=sys.stderr)


def lint_document(
    file: str, faults: Sequence[Fault] = (), warnings_: Sequence[Fault] = (), notes: Sequence[Fault] = ()
) -> JsonObject:
    """Return what --json prints. A line of 0 stands for the whole file, or for something outside of it."""
    return {"file": file, "faults": _listed(faults), "warnings": _listed(warnings_), "notes": _listed(notes)}


def _listed(faults: Sequence[Fault]) -> list[Json]:
    return [*map(asdict, faults)]


def _summary(slices: Mapping[str, JsonObject]) -> str:
    counts = [
        (slices["receive"]["sources"], "source"),
        (slices["transform"]["routes"], "route"),
        (slices["notify"]["destinations"], "destination"),
    ]
    return ", ".join(count_of(len(things), word) for things, word in counts if isinstance(things, list | dict))
