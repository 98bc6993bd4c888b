"""The start of `hookchain dev`: its options, the configuration that it serves, and its secrets."""

import argparse
import secrets
import ssl
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from deploy.config import checkout, config_file, dotenv, mail_settings, running_dev
from deploy.config.compiler import FUNCTIONS, OPTIONAL, compile_config, read_config, secrets_needed
from deploy.config.sections.subscribers import event_type_files
from deploy.config.slices import without_google_account
from deploy.dev.supervisor import processes
from deploy.dev.supervisor.reaper import GRACE_SECONDS
from deploy.requests.signing import generate_secrets
from deploy.requests.sources import auth_entries, compiled_sources, standard_webhooks_secrets
from deploy.secrets.needs import MAIL_SECRETS, Need, needs
from deploy.secrets.values import (
    COMMENT,
    WeakSecret,
    as_variables,
    find_missing,
    random_text,
    random_values,
    secret_doubts,
    secret_text,
    signing_secrets,
)
from deploy.terminal.command_line import CommandParser, HelpText
from deploy.topology.topology import find_topology
from shared.cloud.local.database import OTHERS
from shared.jsontext import Json, JsonObject, list_at, mapping_at, to_json, value_at, values_in
from shared.logs import SEVERITIES
from shared.secrets import variable_name
from shared.settings import DEFAULT_STATE
from shared.templating.template import is_template

_DESCRIPTION: Final = """\
Run all of Hookchain on this machine, without a cloud account: the functions, an emulated cloud (Pub/Sub and
SendGrid, or Lambda and the other services of AWS), and a page that shows what happens. No mail leaves the machine
without --send-mail: it is kept and shown on the page. What you post is stored until you delete the state folder."""
_EPILOG: Final = """\
Without --config or HOOKCHAIN_CONFIG it uses deploy/hookchain.yaml if that exists. Otherwise, if EMAIL_ADDRESS is set,
it mails every event of /webhook to it; if not, it uses the example, deploy/hookchain.example.yaml.

Missing secrets are generated into .env, readable by you only. Press Ctrl-C to stop everything.

exit codes: 0 stopped, 1 it cannot start, 2 usage error

example:
  hookchain dev --config deploy/recipes/password-created/hookchain.yaml"""
PLATFORMS: Final = ("gcp", "aws")
FindWarnings: TypeAlias = Callable[[config_file.ConfigFile, Mapping[str, str], Path], Sequence[config_file.Fault]]
"""Takes the operator's file, the environment and the env file; returns the warnings that `hookchain lint` prints."""
PRIVATE_MODE: Final = 0o700
SUFFIXES: Final = frozenset({".py", ".yaml", ".yml", ".json", ".csv", ".html", ".txt", ".css", ".js", ".pem"})
"""Of the files whose change can matter to a process."""
MAX_PATH_CHARACTERS: Final = 255
CAUGHT_FROM: Final = "sender@example.com"
"""The sender of a caught mail whose destination has none, such as `to: actor`: a deployment holds it."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `hookchain dev`; with `production`, those of `hookchain serve`."""

    platform: str
    config: str | None
    port_base: int
    state: Path
    env_file: Path
    reload: bool
    send_mail: bool
    log_level: str
    colours: bool
    production: processes.Production | None = None

    @property
    def command(self) -> str:
        return "hookchain serve" if self.production else "make dev"


def parse_options(arguments: Sequence[str], environ: Mapping[str, str], root: Path, is_terminal: bool) -> Options:
    """Return the options. Exits with argparse's message and status on a usage error."""
    parsed = _parser(environ, root).parse_args(arguments)
    return Options(
        platform=parsed.platform,
        config=parsed.config,
        port_base=parsed.port_base,
        state=parsed.state.absolute(),
        env_file=parsed.env_file,
        reload=not parsed.no_reload,
        send_mail=parsed.send_mail,
        log_level=parsed.log_level,
        colours=is_terminal and not parsed.no_color and not environ.get("NO_COLOR"),
    )


def env_file_in(arguments: Sequence[str], environ: Mapping[str, str], root: Path) -> Path:
    """Return the file of --env-file, which is read before the other options: its settings are their defaults."""
    parser = CommandParser("hookchain dev", add_help=False)
    _add_env_file(parser, environ, root)
    path: Path = parser.parse_known_args(arguments)[0].env_file
    return path


def _parser(environ: Mapping[str, str], root: Path) -> argparse.ArgumentParser:
    parser = CommandParser("hookchain dev", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=HelpText)
    add = parser.add_argument
    add(
        "--platform",
        metavar="PLATFORM",
        type=_platform,
        default=environ.get("PLATFORM") or PLATFORMS[0],
        help="choose an emulated Google Cloud (gcp), or Lambda's own runtime on a local AWS (aws) [PLATFORM, else gcp]",
    )
    add_common_options(parser, environ, root)
    add("--no-reload", action="store_true", help="do not restart when the configuration or the code changes")
    add("--send-mail", action="store_true", help="send real mail, through SENDGRID_API_KEY or SMTP_URL")
    add("--no-color", action="store_true", help="print no colours [NO_COLOR]")
    return parser


def add_common_options(parser: argparse.ArgumentParser, environ: Mapping[str, str], root: Path) -> None:
    """Add the options of both `hookchain dev` and `hookchain serve`."""
    add = parser.add_argument
    add("--config", metavar="FILE", help="set the configuration, or `none` for no file [HOOKCHAIN_CONFIG]")
    add(
        "--port-base",
        metavar="N",
        type=_port_base,
        default=environ.get("PORT_BASE") or running_dev.DEFAULT_BASE,
        help="set receive's port; transform has N+1, notify N+2, subscribe N+3, the APIs N+5, the page N+10 "
        "[PORT_BASE, else 8080]",
    )
    add(
        "--state",
        metavar="FOLDER",
        type=Path,
        default=Path(environ.get("HOOKCHAIN_STATE") or root / DEFAULT_STATE),
        help="store events, deliveries and mails in FOLDER [HOOKCHAIN_STATE, else .hookchain]",
    )
    _add_env_file(parser, environ, root)
    add(
        "--log-level",
        metavar="LEVEL",
        type=_log_level,
        default=environ.get("LOG_LEVEL") or "INFO",
        help=f"print this severity and above: {', '.join(SEVERITIES)} [LOG_LEVEL, else INFO]",
    )


def _add_env_file(parser: argparse.ArgumentParser, environ: Mapping[str, str], root: Path) -> None:
    text = "read settings and secrets [HOOKCHAIN_ENV_FILE, else .env]"
    parser.add_argument(
        "--env-file", metavar="FILE", type=Path, default=checkout.own_env_file(environ, root), help=text
    )


def _platform(text: str) -> str:
    """A type, because argparse compares no default with its choices, and this one may come from the environment."""
    if text not in PLATFORMS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(PLATFORMS)}; got {text!r}")
    return text


def _port_base(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= running_dev.HIGHEST_BASE:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {running_dev.HIGHEST_BASE}; got {text!r}")
    return int(text)


def _log_level(text: str) -> str:
    level = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(text.upper(), text.upper())
    if level not in SEVERITIES:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(SEVERITIES)}; got {text!r}")
    return level


def prefer_config(options: Options, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with --config as HOOKCHAIN_CONFIG, if it is given."""
    return {**environ, "HOOKCHAIN_CONFIG": options.config} if options.config else dict(environ)


class MailNotConfigured(Exception):
    """--send-mail is given, and no mail service is configured."""


class NotReady(Exception):
    """`hookchain serve` cannot use the configuration with these secrets. The text has one line for each reason."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration that is served.

    `path` is None in the mode without a file. `files` are to be watched: the file, all that it names, and the
    operator's own, which may still be written. `providers` are the catalogue's, by source. `own_file` is the file if it
    is the operator's own: its warnings are reported.
    """

    path: Path | None
    slices: Mapping[str, JsonObject]
    files: tuple[Path, ...]
    providers: Mapping[str, str]
    own_file: config_file.ConfigFile | None = None

    @property
    def title(self) -> str:
        return str(self.path) if self.path else "no file; webhooks are mailed to EMAIL_ADDRESS"

    def secrets_of(self, function: str) -> list[str]:
        return secrets_needed({function: self.slices[function]})


@dataclass(frozen=True, slots=True)
class Setup:
    """All settings. `shell` is the environment as found; `environ` adds .env and every secret.

    `generated` and `short_secrets` are secrets' names: those that were generated, and those worth a warning. `unset`
    are the credentials of destinations that are not set: the deliveries to those destinations are held. `doubts`
    has a sentence for each secret that may not be the one that was meant. `env_warnings` are those about .env, which
    did not exist where `is_env_file_new`.
    """

    options: Options
    shell: Mapping[str, str]
    folders: processes.Folders
    ports: running_dev.Ports
    configuration: Configuration
    environ: Mapping[str, str]
    generated: tuple[str, ...]
    short_secrets: tuple[str, ...]
    unset: tuple[Need, ...] = ()
    doubts: Mapping[str, str] = field(default_factory=dict)
    env_warnings: tuple[dotenv.DotenvWarning, ...] = ()
    is_env_file_new: bool = False
    is_paused: bool = False

    def children(self, sendgrid_key: str) -> tuple[processes.Child, ...]:
        inherited = processes.base_environ(self.environ, self.options.send_mail)
        key = None if self.options.send_mail else sendgrid_key
        if self.is_aws:
            found = {name: self._secrets_of(name) for name in self.configuration.slices}
            needed = find_topology(self.configuration.slices, self.environ)
            timeouts = {each.name: each.timeout_seconds for each in needed.functions}
            mail_key = key if "sendgrid" in needed.mail else None
            return processes.plan_aws_children(self.folders, self.ports, inherited, found, timeouts, mail_key)
        secrets = {name: as_variables(self._secrets_of(name)) for name in self.configuration.slices}
        production = self.options.production
        return processes.plan_children(
            self.folders, self.ports, inherited, secrets, key, production, is_paused=self.is_paused
        )

    @property
    def is_aws(self) -> bool:
        return self.options.platform == "aws"

    @property
    def stop_seconds(self) -> float:
        """Return how long a process may take to finish what is under way when it is stopped."""
        return stop_seconds(self.configuration.slices) if self.options.production else GRACE_SECONDS

    @property
    def secret_texts(self) -> dict[str, str]:
        """The values of the secrets by their variables, from the place that the functions read first."""
        names = secrets_needed(self.configuration.slices)
        found = {name: secret_text(name, self.environ) for name in names}
        return as_variables({name: text for name, text in found.items() if text is not None})

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
    """Return the setup. Generate every secret that the configuration names and that exists nowhere yet, into `.env`,
    except the credentials of destinations, which other systems issue.

    Raises ConfigFaults, DotenvFault, WeakSecret and MailNotConfigured. With `production`, nothing is generated or
    written: raises NotReady too.
    """
    environ = {**dotenv.read_dotenv(options.env_file), **shell}
    if options.production:
        return _set_up_production(options, shell, environ, folders)
    is_env_file_new = not options.env_file.exists()
    dotenv.make_dotenv_private(options.env_file)
    configuration = load_configuration(prefer_config(options, environ), folders.root)
    if not options.send_mail and not environ.get("EMAIL_FROM"):
        _set_caught_senders(configuration.slices["notify"])
    if options.send_mail and not environ.get("SENDGRID_API_KEY") and not environ.get("SMTP_URL"):
        raise MailNotConfigured(
            "--send-mail: needs a mail service; got neither SENDGRID_API_KEY nor SMTP_URL. Set one of them, here or in "
            ".env."
        )
    names = secrets_needed(configuration.slices)
    found = find_missing(names, environ)
    needed = [need for need in needs(configuration.slices, environ) if need.name in found.missing]
    ours = [need.name for need in needed if not need.is_credential]
    fitting = {need.name: random_text(need.schemes) for need in needed if need.is_signing_key}
    receive = configuration.slices["receive"]
    fitting |= generate_secrets(ours, receive, folders.state, secrets.token_bytes)
    slices = configuration.slices
    signing = standard_webhooks_secrets(receive) | signing_secrets(slices["transform"], slices["notify"])
    generated = as_variables({**random_values(ours, signing), **fitting})
    if generated:
        dotenv.add_to_dotenv(options.env_file, generated, COMMENT)
    return Setup(
        options=options,
        shell=shell,
        folders=folders,
        ports=running_dev.ports_from(options.port_base, has_subscribers="subscribe" in slices),
        configuration=configuration,
        environ={**environ, **generated},
        generated=tuple(ours),
        short_secrets=found.short,
        unset=tuple(need for need in needed if need.is_credential),
        doubts=secret_doubts(options.env_file, names, {**environ, **generated}, ours),
        env_warnings=tuple(dotenv.dotenv_warnings(options.env_file, shell, set(map(variable_name, names)))),
        is_env_file_new=is_env_file_new,
        is_paused=running_dev.is_paused(folders.state),
    )


def _set_up_production(
    options: Options, shell: Mapping[str, str], environ: Mapping[str, str], folders: processes.Folders
) -> Setup:
    """Raises ConfigFaults, WeakSecret and NotReady."""
    chosen = prefer_config(options, environ)
    if checkout.choose_config(chosen, folders.root) == folders.root / checkout.EXAMPLE_CONFIG:
        rule = "must be your own; only the example was found"
        raise NotReady(f"configuration: {rule}. Write {checkout.OWN_CONFIG}, or name another file with --config")
    configuration = load_configuration(chosen, folders.root, is_production=True)
    needed = [need for need in needs(configuration.slices, environ) if not need.is_optional]
    names = [need.name for need in needed]
    has_page = secret_text(processes.PAGE_PASSWORD, environ) is not None
    found = find_missing([*names, processes.PAGE_PASSWORD] if has_page else names, environ)
    unset = [need for need in needed if need.name in found.missing]
    doubts = secret_doubts(options.env_file, names, environ)
    if faults := [*_production_faults(options, configuration.slices, environ, doubts, unset)]:
        raise NotReady("\n".join(faults))
    if processes.PAGE_PASSWORD in found.short:
        raise WeakSecret(
            f"Secret {processes.PAGE_PASSWORD!r} is short enough to guess. Use at least 16 random characters."
        )
    return Setup(
        options=options,
        shell=shell,
        folders=folders,
        ports=running_dev.ports_from(options.port_base, has_subscribers="subscribe" in configuration.slices),
        configuration=configuration,
        environ=environ,
        generated=(),
        short_secrets=found.short,
        doubts=doubts,
        is_paused=running_dev.is_paused(folders.state),
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
        uses = f" ({', '.join(need.uses)})" if need.uses else ""
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


TIMEOUTS: Final = ("timeout_seconds", "timeout")
"""The longest wait for another system, as the slices of destinations and of steps name it."""
BODY_SECONDS: Final = 10.0
"""How long receive waits for a body: the number in shared/cloud/gcp/serving.py, which is slow to import."""
STOP_MARGIN_SECONDS: Final = 5.0
"""For what a function does before and after its longest call to another system."""


def stop_seconds(slices: Mapping[str, JsonObject]) -> float:
    """Return the longest `timeout` of a destination or a step, or the time that a request's body may take, and the
    margin."""
    timeouts = [
        float(value)
        for slice_ in slices.values()
        for path, value in values_in(slice_)
        if path and path[-1] in TIMEOUTS and isinstance(value, int | float)
    ]
    return max([BODY_SECONDS, *timeouts]) + STOP_MARGIN_SECONDS


def generated_values(before: Mapping[str, str], setup: Setup) -> dict[str, str]:
    """Return the values of the secrets that were generated since the start, by name, as long as they are in use.

    `before` are those that were generated until this setup.
    """
    values = {name: setup.environ.get(variable_name(name), "") for name in (*before, *setup.generated)}
    return {name: value for name, value in values.items() if before.get(name, value) == value}


def secret_notes(setup: Setup, generated: Collection[str]) -> dict[str, str]:
    """Return for each source what its secret may explain: it is new, it may not be the one that was meant, or
    it is faulty in `.env`.

    `generated` are the secrets that were generated since the start.
    """
    notes: dict[str, str] = {}
    env_warnings = {warning.variable: warning.text for warning in setup.env_warnings}
    for source, settings in compiled_sources(setup.configuration.slices["receive"]).items():
        for secret in [str(entry.get("secret")) for entry in auth_entries(settings)]:
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


def load_configuration(environ: Mapping[str, str], root: Path, *, is_production: bool = False) -> Configuration:
    """Raises ConfigFaults."""
    path = checkout.choose_config(environ, root)
    file = read_config(path, environ)
    files = (*_files_to_watch(path, file.document, file.folder, environ, root), *event_type_files(file))
    slices = compile_config(file)
    is_own = path is not None and path != root / checkout.EXAMPLE_CONFIG
    served = slices if is_production else _for_this_machine(slices)
    return Configuration(path, served, files, _providers(file.document), file if is_own else None)


def _set_caught_senders(notify: JsonObject) -> None:
    for destination in mapping_at(notify, "destinations").values():
        settings = mapping_at(destination, "settings")
        if value_at(destination, "kind") == "email":
            has_address = not all(is_template(str(each)) for each in list_at(settings, "to"))
            if not settings.get("from") and not has_address:
                settings["from"] = CAUGHT_FROM


def _for_this_machine(slices: dict[str, JsonObject]) -> dict[str, JsonObject]:
    """Let endpoints of subscribers be on this machine, and links lead to it."""
    for function in ("notify", "subscribe"):
        section = slices.get(function, {}).get("subscribers")
        if isinstance(section, dict):
            section |= {"allow_http": True, "allow_private": True}
            section |= {"public_url": None} if "public_url" in section else {}
    return slices


def files_named(setup: Setup) -> tuple[Path, ...]:
    """Return the files to watch of the configuration as it is on disk now, with or without faults.

    A fault may be fixed in any of them, or by one that does not exist yet.
    """
    try:
        environ = {**dotenv.read_dotenv(setup.options.env_file), **setup.shell}
    except dotenv.DotenvFault:  # that file itself has to be fixed
        return (setup.options.env_file,)
    environ, root = prefer_config(setup.options, environ), setup.folders.root
    path = checkout.choose_config(environ, root)
    try:
        file = read_config(path, environ)
    except config_file.ConfigFaults:
        return _files_to_watch(path, None, root, environ, root)
    return (*_files_to_watch(path, file.document, file.folder, environ, root), *event_type_files(file))


def _files_to_watch(
    path: Path | None, document: Json, folder: Path, environ: Mapping[str, str], root: Path
) -> tuple[Path, ...]:
    own = () if environ.get("HOOKCHAIN_CONFIG") else tuple(root / each for each in checkout.OWN_CONFIGS)
    named = tuple(_named_files(document, folder)) if path else ()
    return (*((path,) if path else ()), *named, *own)


def _named_files(document: Json, folder: Path) -> Iterator[Path]:
    """Yield each text in the configuration that could be the name of a file: a template, a schema."""
    for text in config_file.texts_in(document):
        is_name = len(text) <= MAX_PATH_CHARACTERS and text.isprintable() and Path(text).suffix in SUFFIXES
        if is_name and not (folder / text).is_dir():
            yield folder / text


def _providers(document: Json) -> dict[str, str]:
    return {
        name: str(source["provider"])
        for name, source in mapping_at(document, "sources").items()
        if isinstance(source, dict) and "provider" in source
    }


def write_slices(slices: Mapping[str, JsonObject], folders: processes.Folders) -> tuple[str, ...]:
    """Write the slices that changed; return their functions. One that is not needed any more is removed."""
    changed = []
    for function in OPTIONAL:
        if function not in slices:
            folders.slice_file(function).unlink(missing_ok=True)
    for function, document in slices.items():
        path, text = folders.slice_file(function), to_json(document)
        path.parent.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            written = path.with_suffix(".new")
            written.write_text(text, encoding="utf-8")
            written.replace(path)
            changed.append(function)
    return tuple(changed)


def make_folders(options: Options, root: Path) -> processes.Folders:
    """Return the folders, with a new one for sockets, because a socket's path may have about 100 characters."""
    sockets = Path(tempfile.mkdtemp(prefix="hookchain-"))
    for name in (*FUNCTIONS, *OPTIONAL, processes.TLS_RECEIVE):
        (sockets / name).mkdir(mode=PRIVATE_MODE)
    return processes.Folders(root, options.state, sockets)
