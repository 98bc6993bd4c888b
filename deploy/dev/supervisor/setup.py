"""The setup of `hookchain dev` and `hookchain serve`: the served configuration with its secrets and options.

`set_up` is called at the start and after each change of the configuration. On a developer's machine it generates what
is missing; in production it raises CommandError instead, with a line for each reason.
"""

import secrets
import ssl
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.config import checkout, compiler, config_file, dotenv, local_ports, mail_settings, running_dev
from deploy.config.dotenv_warnings import DotenvWarning, dotenv_warnings
from deploy.config.platform_parts import without_google_account
from deploy.dev.supervisor import processes, reaper, served_configuration
from deploy.dev.supervisor.options import Options
from deploy.requests import sender_keys, sources
from deploy.secrets import local_secrets, values
from deploy.secrets.needs import MAIL_SECRETS, Need, needs
from deploy.terminal.command_line import CommandError
from deploy.topology.topology import find_topology
from shared.cloud.local.database import OTHERS
from shared.jsontext import JsonObject, list_at, mapping_at, value_at, values_in
from shared.secrets import variable_name
from shared.signatures.auth_scheme import read_scheme
from shared.templating.template import is_template

CAUGHT_FROM: Final = "sender@example.com"
"""The sender of a caught mail whose destination has no `from`, and whose `to` are only templates, such as `actor`.

Without a sender, a deployment holds the delivery. On this machine it is to be seen.
"""
TIMEOUTS: Final = ("timeout_seconds", "timeout")
"""The longest wait for another system, as the slices of destinations and of steps name it."""
BODY_SECONDS: Final = 10.0
"""How long receive waits for a body: the number in shared/cloud/gcp/serving.py, which is slow to import."""
AWS_STOP_SECONDS: Final = 8.0
"""How long a process of the local AWS may take to end: more than ministack there (local_aws.py)."""
STOP_MARGIN_SECONDS: Final = 5.0
"""For what a function does before and after its longest call to another system."""
SETUP_FAULTS: Final = (config_file.ConfigFaults, dotenv.DotenvFault, local_secrets.WeakSecret, CommandError)
"""The faults that `set_up` raises. Each has a text for the operator."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of the processes, and what the banner and the notes of rejected requests report about them.

    shell            the environment as found
    environ          the environment with .env and every secret
    short_secrets    the names of the secrets that are short enough to guess
    doubts           a sentence for each secret that may not be the one that was meant, by its name
    generated        the names of the secrets that were generated for this setup
    unset            the credentials of destinations that are not set: deliveries to those destinations are held
    env_warnings     the warnings about .env
    is_env_file_new  .env did not exist
    is_paused        the state was restored from a backup: the bus delivers nothing until `hookchain resume --all`
    env_version      the version of .env when it was read: see running_dev
    """

    options: Options
    shell: Mapping[str, str]
    folders: processes.Folders
    configuration: served_configuration.Configuration
    environ: Mapping[str, str]
    short_secrets: tuple[str, ...]
    doubts: Mapping[str, str]
    generated: tuple[str, ...] = ()
    unset: tuple[Need, ...] = ()
    env_warnings: tuple[DotenvWarning, ...] = ()
    is_env_file_new: bool = False
    is_paused: bool = False
    env_version: int | None = None

    @property
    def ports(self) -> local_ports.Ports:
        has_subscribers = "subscribe" in self.configuration.slices
        return local_ports.ports_from(self.options.port_base, has_subscribers=has_subscribers)

    @property
    def settings_files(self) -> tuple[Path, ...]:
        """Return the files whose change needs a new setup."""
        return (*self.configuration.files, self.options.env_file)

    def children(self, sendgrid_key: str) -> tuple[processes.Child, ...]:
        """Return the processes to run. `sendgrid_key` is the key of the local SendGrid, which catches mail."""
        inherited = processes.base_environ(self.environ, self.options.send_mail)
        key = None if self.options.send_mail else sendgrid_key  # what is really sent needs the operator's own key
        secrets_by_function = {name: self._secrets_of(name) for name in self.configuration.slices}
        if self.is_aws:
            needed = find_topology(self.configuration.slices, self.environ)
            timeouts = {each.name: each.timeout_seconds for each in needed.functions}
            mail_key = key if "sendgrid" in needed.mail else None
            return processes.plan_aws_children(
                self.folders, self.ports, inherited, secrets_by_function, timeouts, mail_key
            )
        variables = {name: local_secrets.as_variables(texts) for name, texts in secrets_by_function.items()}
        production = self.options.production
        return processes.plan_children(
            self.folders, self.ports, inherited, variables, key, production, is_paused=self.is_paused
        )

    @property
    def is_aws(self) -> bool:
        return self.options.platform == "aws"

    @property
    def stop_seconds(self) -> float:
        """Return how long a process may take to finish what is under way when it is stopped."""
        if self.options.production:
            return longest_call_seconds(self.configuration.slices) + STOP_MARGIN_SECONDS
        return AWS_STOP_SECONDS if self.is_aws else reaper.GRACE_SECONDS

    @property
    def secret_texts(self) -> dict[str, str]:
        """The values of the secrets by their variables, from the place that the functions read first."""
        names = compiler.secrets_needed(self.configuration.slices)
        found = {name: local_secrets.secret_text(name, self.environ) for name in names}
        return local_secrets.as_variables({name: text for name, text in found.items() if text is not None})

    @property
    def is_env_file_exposed(self) -> bool:
        file = self.options.env_file
        return file.exists() and bool(file.stat().st_mode & OTHERS)

    def _secrets_of(self, function: str) -> dict[str, str]:
        """Return the values of the function's secrets, by name, as far as they are in the environment."""
        mail = MAIL_SECRETS if self.options.production and function == "notify" else ()
        names = {name: variable_name(name) for name in (*self.configuration.secrets_of(function), *mail)}
        return {name: self.environ[variable] for name, variable in names.items() if variable in self.environ}


def set_up(options: Options, shell: Mapping[str, str], folders: processes.Folders) -> Setup:
    """Return the setup of the configuration as it is on disk now.

    Raises ConfigFaults, DotenvFault, WeakSecret and CommandError.
    """
    env_version = running_dev.file_version(options.env_file)  # before the file is read, so that no change is missed
    environ = {**dotenv.read_dotenv(options.env_file), **shell}
    set_up_mode = _set_up_production if options.production else _set_up_development
    setup = set_up_mode(options, shell, environ, folders)
    if setup.generated:  # they were added to the file
        env_version = running_dev.file_version(options.env_file)
    return replace(setup, env_version=env_version, is_paused=running_dev.is_paused(folders.state))


def _set_up_development(
    options: Options, shell: Mapping[str, str], environ: Mapping[str, str], folders: processes.Folders
) -> Setup:
    """Generate every secret that the configuration names and that exists nowhere yet, into `.env`, except the
    credentials of destinations, which other systems issue."""
    is_env_file_new = not options.env_file.exists()
    dotenv.make_dotenv_private(options.env_file)
    configuration = served_configuration.load_configuration(options.with_config(environ), folders.root)
    slices = configuration.slices
    if not options.send_mail and not environ.get("EMAIL_FROM"):
        _set_caught_senders(slices["notify"])
    if options.send_mail and not environ.get("SENDGRID_API_KEY") and not environ.get("SMTP_URL"):
        raise CommandError(
            "--send-mail: needs a mail service; got neither SENDGRID_API_KEY nor SMTP_URL. Set one of them, here or in "
            ".env."
        )
    names = compiler.secrets_needed(slices)
    gaps = local_secrets.find_gaps(names, environ)
    missing = [need for need in needs(slices, environ) if need.name in gaps.missing]
    generated = _generate([need for need in missing if need.origin != "issued"], slices, folders.state)
    variables = local_secrets.as_variables(generated)
    if variables:
        dotenv.add_to_dotenv(options.env_file, variables, local_secrets.COMMENT)
    new_environ = {**environ, **variables}
    return Setup(
        options=options,
        shell=shell,
        folders=folders,
        configuration=configuration,
        environ=new_environ,
        short_secrets=gaps.short,
        doubts=local_secrets.secret_doubts(options.env_file, names, new_environ, generated, configuration.tokens),
        generated=tuple(generated),
        unset=tuple(need for need in missing if need.origin == "issued"),
        env_warnings=tuple(dotenv_warnings(options.env_file, shell, set(map(variable_name, names)))),
        is_env_file_new=is_env_file_new,
    )


def _generate(missing: Sequence[Need], slices: Mapping[str, JsonObject], state: Path) -> dict[str, str]:
    """Return a new value for each missing secret, by name, of the kind that it is used for."""
    step_keys = values.step_keys(slices["transform"])
    generated: dict[str, str] = {}
    for need in missing:
        schemes = [*need.schemes]
        if need.name in step_keys:
            schemes.append(read_scheme({"scheme": "standard-webhooks", "secret": need.name}))
        value = sender_keys.generate_value(need.name, schemes, state, secrets.token_bytes(sender_keys.KEY_BYTES))
        generated[need.name] = value or values.random_value()
    return generated


def _set_caught_senders(notify: JsonObject) -> None:
    """Change the slice so that mails that would have no sender have CAUGHT_FROM."""
    for destination in mapping_at(notify, "destinations").values():
        settings = mapping_at(destination, "settings")
        is_mail = value_at(destination, "kind") == "email"
        has_only_templates = all(is_template(str(each)) for each in list_at(settings, "to"))
        if is_mail and has_only_templates and not settings.get("from"):
            settings["from"] = CAUGHT_FROM


def _set_up_production(
    options: Options, shell: Mapping[str, str], environ: Mapping[str, str], folders: processes.Folders
) -> Setup:
    """Generate and write nothing. Raises ConfigFaults, WeakSecret and CommandError."""
    config_environ = options.with_config(environ)
    if checkout.choose_config(config_environ, folders.root) == folders.root / checkout.EXAMPLE_CONFIG:
        rule = "must be your own; only the example was found"
        raise CommandError(f"configuration: {rule}. Write {checkout.OWN_CONFIG}, or name another file with --config")
    configuration = served_configuration.load_configuration(config_environ, folders.root, is_production=True)
    needed = [need for need in needs(configuration.slices, environ) if not need.is_optional]
    names = [need.name for need in needed]
    # The page's password need not be set, but must not be short.
    has_page_password = local_secrets.secret_text(processes.PAGE_PASSWORD, environ) is not None
    gaps = local_secrets.find_gaps([*names, processes.PAGE_PASSWORD] if has_page_password else names, environ)
    unset = [need for need in needed if need.name in gaps.missing]
    doubts = local_secrets.secret_doubts(options.env_file, names, environ, tokens=configuration.tokens)
    if faults := [*_production_faults(options, configuration.slices, environ, doubts, unset)]:
        raise CommandError("\n".join(faults))
    if processes.PAGE_PASSWORD in gaps.short:
        raise local_secrets.WeakSecret(
            f"Secret {processes.PAGE_PASSWORD!r} is short enough to guess. Use at least 16 random characters."
        )
    return Setup(
        options=options,
        shell=shell,
        folders=folders,
        configuration=configuration,
        environ=environ,
        short_secrets=gaps.short,
        doubts=doubts,
    )


def _production_faults(
    options: Options,
    slices: Mapping[str, JsonObject],
    environ: Mapping[str, str],
    doubts: Mapping[str, str],
    unset: Sequence[Need],
) -> Iterator[str]:
    """Yield why deliveries could not be sent as configured, or requests not be verified."""
    notify = slices["notify"]
    yield from _tls_faults(options)
    for need in unset:
        uses = f" ({need.uses_text})" if need.uses else ""
        advice = doubts.get(need.name) or f"Set {variable_name(need.name)} in {options.env_file}"
        yield f"secret {need.name!r}{uses}: must be set; got nothing. {advice}"
    if fault := mail_settings.mail_settings_fault(environ):
        yield fault
    else:
        yield from mail_settings.without_sender(notify, environ)
    for name, kind in without_google_account(notify):
        yield f"destination {name!r}: {kind} needs a service account's key here. Name it in the destination's `secret`"


def _tls_faults(options: Options) -> Iterator[str]:
    production = options.production
    if production is None or production.listen is None or production.certificate is None:
        return
    try:
        # With an empty password, OpenSSL asks nobody for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(production.certificate, production.key, password="")
    except OSError as error:  # an SSLError is one
        files = f"{production.certificate} and {production.key}"
        rule = "must be a certificate and its key, without a password and readable by this user"
        yield f"TLS: {files} {rule}; got {error.strerror or error}"


def longest_call_seconds(slices: Mapping[str, JsonObject]) -> float:
    """Return the longest `timeout` of a destination or a step, or the time that a request's body may take if that is
    longer."""
    timeouts = [
        float(value)
        for slice_ in slices.values()
        for path, value in values_in(slice_)
        if path and path[-1] in TIMEOUTS and isinstance(value, int | float)
    ]
    return max([BODY_SECONDS, *timeouts])


def generated_values(before: Mapping[str, str], setup: Setup) -> dict[str, str]:
    """Return the values of the secrets that were generated since the start, by name, as long as they are in use.

    `before` are those that were generated until this setup.
    """
    texts = {name: setup.environ.get(variable_name(name), "") for name in (*before, *setup.generated)}
    return {name: text for name, text in texts.items() if before.get(name, text) == text}


def secret_notes(setup: Setup, generated: Collection[str]) -> dict[str, str]:
    """Return for each source what its secret may explain: it is new, it may not be the one that was meant, or
    it is faulty in `.env`.

    `generated` are the secrets that were generated since the start.
    """
    notes: dict[str, str] = {}
    env_warnings = {warning.variable: warning.text for warning in setup.env_warnings}
    for source, settings in sources.compiled_sources(setup.configuration.slices["receive"]).items():
        for secret in sources.auth_secret_names(settings):
            if variable_name(secret) in env_warnings:
                notes[source] = env_warnings[variable_name(secret)]
            elif secret in setup.doubts:
                notes[source] = setup.doubts[secret]
            elif secret in generated:
                rule = f"secret {secret!r} was generated just now, because nothing had set {variable_name(secret)}"
                if setup.is_env_file_new:
                    rule += f" ({setup.options.env_file} did not exist)"
                notes[source] = f"{rule}. Set it to the sender's secret, or set the new one at the sender"
    return notes


def make_folders(options: Options, root: Path) -> processes.Folders:
    """Return the folders, with a new one for sockets, because a socket's path may have about 100 characters."""
    sockets = Path(tempfile.mkdtemp(prefix="hookchain-"))
    for name in (*compiler.FUNCTIONS, *compiler.OPTIONAL, processes.TLS_RECEIVE):
        (sockets / name).mkdir(mode=served_configuration.PRIVATE_MODE)
    return processes.Folders(root, options.state, sockets)
