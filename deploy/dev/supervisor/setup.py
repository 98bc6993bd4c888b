"""All that is settled before the first process starts: settings, configuration, secrets."""

import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.dotenv import DotenvFault, add_to_dotenv, make_dotenv_private, read_dotenv
from deploy.config.ports import Ports, ports_from
from deploy.dev.supervisor.configuration import Configuration, files_to_watch, load_configuration
from deploy.dev.supervisor.options import Options, prefer_config
from deploy.dev.supervisor.plan import FUNCTIONS, Child, Place, base_environ, plan_children
from deploy.requests.fitting_secret import fitting_secrets
from deploy.requests.source_lines import standard_webhooks_secrets
from deploy.secrets.generated import as_variables, find_missing, random_values, signing_secrets
from shared.cloud.local.database import OTHERS
from shared.secrets import from_environment, from_folder, variable_name
from shared.settings import read_settings


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
    found = find_missing(names, readers)
    receive = configuration.slices["receive"]
    fitting = fitting_secrets(found.missing, receive, place.state, secrets.token_bytes)
    signing = standard_webhooks_secrets(receive) | signing_secrets(configuration.slices["transform"])
    made = as_variables({**random_values(found.missing, signing), **fitting})
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
