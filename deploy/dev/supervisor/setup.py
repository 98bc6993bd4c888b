"""Everything that is settled before the first process starts: settings, configuration, secrets."""

import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.checkout import OWN_CONFIG, choose_config
from deploy.config.compiler import compile_config, read_config, secrets_needed
from deploy.config.dotenv import DotenvFault, add_to_dotenv, make_dotenv_private, read_dotenv
from deploy.config.faults import ConfigFaults
from deploy.config.ports import Ports, ports_from
from deploy.dev.supervisor.options import Options, prefer_config
from deploy.dev.supervisor.plan import FUNCTIONS, Child, Place, base_environ, plan_children
from deploy.dev.supervisor.reload import SUFFIXES
from deploy.requests.fitting_secret import fitting_secrets
from deploy.requests.source_lines import standard_webhooks_secrets
from deploy.secrets.made_secrets import as_variables, look_up, make
from deploy.secrets.signing_secrets import signing_secrets
from shared.cloud.local.database import OTHERS
from shared.jsontext import Json, JsonObject, to_json
from shared.secrets import from_environment, from_folder, variable_name
from shared.settings import read_settings

PRIVATE_MODE = 0o700


@dataclass(frozen=True, slots=True)
class Configuration:
    """`path` is None in the mode without a file. `files`: what to watch, the file and all that it names,
    and the operator's own, which may yet be written."""

    path: Path | None
    slices: Mapping[str, JsonObject]
    files: tuple[Path, ...]

    @property
    def title(self) -> str:
        return str(self.path) if self.path else "no file: webhooks are mailed to EMAIL_ADDRESS"

    def secrets_of(self, function: str) -> list[str]:
        return secrets_needed({function: self.slices[function]})


def load_configuration(environ: Mapping[str, str], root: Path) -> Configuration:
    """Raises ConfigFaults."""
    path = choose_config(environ, root)
    return Configuration(path, compile_config(read_config(path, environ)), files_to_watch(environ, root))


def files_to_watch(environ: Mapping[str, str], root: Path) -> tuple[Path, ...]:
    """Of a configuration with faults too: what mends it may be in any of them, or be one that is not there yet."""
    path = choose_config(environ, root)
    own = () if environ.get("HOOKCHAIN_CONFIG") else (root / OWN_CONFIG,)
    try:
        file = read_config(path, environ)
    except ConfigFaults:
        named: tuple[Path, ...] = ()
    else:
        named = tuple(_named_files(file.document, file.folder)) if path else ()
    return (*((path,) if path else ()), *named, *own)


def _named_files(value: Json, folder: Path) -> Iterator[Path]:
    """Templates, schemas: every text in the configuration that could be the name of a file."""
    if isinstance(value, str):
        if (
            len(value) < 256
            and value.isprintable()
            and Path(value).suffix in SUFFIXES
            and not (folder / value).is_dir()
        ):
            yield folder / value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _named_files(each, folder)


def write_slices(slices: Mapping[str, JsonObject], place: Place) -> tuple[str, ...]:
    """Answers the functions whose slice is another than the one on disk."""
    changed = []
    for function, document in slices.items():
        path, text = place.slice_file(function), to_json(document)
        path.parent.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            written = path.with_suffix(".new")
            written.write_text(text, encoding="utf-8")
            written.replace(path)
            changed.append(function)
    return tuple(changed)


class CannotSend(Exception):
    """--send-mail, and no way to."""


@dataclass(frozen=True, slots=True)
class Setup:
    """`shell` is the environment as it was found, `environ` the same with what .env adds, every secret included.
    `made` and `short` are secrets' names."""

    options: Options
    shell: Mapping[str, str]
    place: Place
    ports: Ports
    configuration: Configuration
    environ: Mapping[str, str]
    made: tuple[str, ...]
    short: tuple[str, ...]

    def children(self, sendgrid_key: str) -> tuple[Child, ...]:
        secrets = {name: self._secrets_of(name) for name in FUNCTIONS}
        inherited = base_environ(self.environ, self.options.send_mail)
        key = None if self.options.send_mail else sendgrid_key
        return plan_children(self.place, self.ports, inherited, secrets, key)

    @property
    def is_env_file_exposed(self) -> bool:
        file = self.options.env_file
        return file.exists() and bool(file.stat().st_mode & OTHERS)

    def _secrets_of(self, function: str) -> dict[str, str]:
        names = [variable_name(name) for name in self.configuration.secrets_of(function)]
        return {name: self.environ[name] for name in names if name in self.environ}


def set_up(options: Options, shell: Mapping[str, str], place: Place) -> Setup:
    """Raises ConfigFaults, DotenvFault, WeakSecret and CannotSend. Makes the secrets that are missing."""
    environ = {**read_dotenv(options.env_file), **shell}
    make_dotenv_private(options.env_file)
    configuration = load_configuration(prefer_config(options, environ), place.root)
    if options.send_mail and not environ.get("SENDGRID_API_KEY") and not environ.get("SMTP_URL"):
        raise CannotSend("--send-mail needs a way to send: set SENDGRID_API_KEY or SMTP_URL, here or in .env.")
    names = sorted({name for function in FUNCTIONS for name in configuration.secrets_of(function)})
    readers = (from_folder(read_settings(environ).secrets_folder), from_environment(environ))
    found = look_up(names, readers)
    receive = configuration.slices["receive"]
    fitting = fitting_secrets(found.missing, receive, place.state, secrets.token_bytes)
    signing = standard_webhooks_secrets(receive) | signing_secrets(configuration.slices["transform"])
    made = as_variables({**make(found.missing, signing), **fitting})
    if made:
        add_to_dotenv(options.env_file, made, "made up by hookchain dev, for this machine only")
    return Setup(
        options=options,
        shell=shell,
        place=place,
        ports=ports_from(options.port_base),
        configuration=configuration,
        environ={**environ, **made},
        made=found.missing,
        short=found.short,
    )


def files_named(setup: Setup) -> tuple[Path, ...]:
    """By the configuration as it is on disk now, whether or not it is at fault: what changes or mends it is in them."""
    try:
        environ = {**read_dotenv(setup.options.env_file), **setup.shell}
    except DotenvFault:  # that file itself is to mend
        return (setup.options.env_file,)
    return files_to_watch(prefer_config(setup.options, environ), setup.place.root)


def make_place(options: Options, root: Path) -> Place:
    """Sockets have a folder of their own, for their paths may have about a hundred characters and no more."""
    sockets = Path(tempfile.mkdtemp(prefix="hookchain-"))
    for name in FUNCTIONS:
        (sockets / name).mkdir(mode=0o700)
    return Place(root, options.state, sockets)
