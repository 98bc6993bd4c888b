"""The checkout: its folder, its environment, and the choice of a configuration file.

Every command has --config, and the variable HOOKCHAIN_CONFIG says the same. The file that a command takes without them
depends on what it is for:

    choose_config     `hookchain dev` and `hookchain serve`: the checkout's own file, or else the example
    config_in_use     a command that looks at what runs: the file of the running `hookchain dev`
    config_to_check   lint, test and doctor: the file that `hookchain dev` would choose now
    config_to_deploy  a deployment and its plan: the checkout's own file, but not the example
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from deploy.config import dotenv, running_dev
from shared.settings import DEFAULT_STATE

ROOT: Final = Path(__file__).resolve().parents[2]
OWN_CONFIG: Final = Path("deploy/hookchain.yaml")
OWN_CONFIGS: Final = (OWN_CONFIG, OWN_CONFIG.with_suffix(".yml"))
"""The first of these files that exists is used."""
EXAMPLE_CONFIG: Final = Path("deploy/hookchain.example.yaml")
LOCAL: Final = "local"
"""The platform that is this machine, as --platform names it."""


def environ_with(env_file: Path) -> dict[str, str]:
    """Return the variables of the file, overridden by the shell's. Raises DotenvFault."""
    return {**dotenv.read_dotenv(env_file), **os.environ}


def own_env_file(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Path:
    """Return the file that HOOKCHAIN_ENV_FILE names, else the checkout's own."""
    return Path(environ.get("HOOKCHAIN_ENV_FILE") or root / ".env")


def state_folder() -> Path:
    """Return the state folder of `hookchain dev`, from whichever folder a command is run."""
    try:
        environ: Mapping[str, str] = environ_with(own_env_file())
    except dotenv.DotenvFault:  # reported by the command that needs the file's variables
        environ = os.environ
    return Path(environ.get("HOOKCHAIN_STATE") or ROOT / DEFAULT_STATE)


def env_file(state: Path | None = None) -> Path:
    """Return the file that HOOKCHAIN_ENV_FILE names, else that of a `hookchain dev` that runs with the state folder.

    Without both, return the checkout's own.
    """
    dev = None if os.environ.get("HOOKCHAIN_ENV_FILE") else running_dev.read_dev_file(state or state_folder())
    return Path(dev.env_file) if dev and dev.env_file else own_env_file()


def choose_config(environ: Mapping[str, str], root: Path = ROOT, named: str | None = None) -> Path | None:
    """Return the configuration file to use; None for the mode without a file.

    1. the file that `named`, the value of --config, or else HOOKCHAIN_CONFIG names; `none` is the mode without a file
    2. deploy/hookchain.yaml or deploy/hookchain.yml, if it exists
    3. no file, if EMAIL_ADDRESS is set
    4. the example
    """
    named = named or environ.get("HOOKCHAIN_CONFIG")
    if named:
        return None if named == running_dev.NO_CONFIG else Path(named)
    for own in OWN_CONFIGS:
        if (root / own).is_file():
            return root / own
    return None if environ.get("EMAIL_ADDRESS") else root / EXAMPLE_CONFIG


def title_of(path: Path | None) -> str:
    """Return what a configuration is called in messages, with the name of another one that is not used."""
    if path is None:
        return "the mode without a file"
    first, second = OWN_CONFIGS
    unused = path.with_name(second.name)
    is_ambiguous = path.name == first.name and unused.is_file()
    return f"{path} ({second.name} beside it is not used)" if is_ambiguous else str(path)


def config_in_use(named: str | None, environ: Mapping[str, str], state: Path | None = None) -> Path | None:
    """Return the named file, else the one that a running `hookchain dev` serves, else what `choose_config` chooses."""
    if not named and not environ.get("HOOKCHAIN_CONFIG"):
        dev = running_dev.read_dev_file(state or state_folder())
        named = dev.config if dev else None
    return choose_config(environ, named=named)


def config_to_deploy(named: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to deploy. The example is deployed only if it is named; None is the mode without a file."""
    path = choose_config(environ, named=named)
    is_named = named or environ.get("HOOKCHAIN_CONFIG")
    return None if path == ROOT / EXAMPLE_CONFIG and not is_named else path


class CheckedConfig(NamedTuple):
    """The configuration that `lint`, `test` and `doctor` check, and a line that names it with the reason."""

    path: Path | None
    line: str


def config_to_check(
    named: str | None, environ: Mapping[str, str], state: Path | None = None, root: Path = ROOT
) -> CheckedConfig:
    """Return the file to check.

    It is the named file, or the one by whose name a running `hookchain dev` was started. Otherwise it is the one that
    `hookchain dev` would choose now, so that a faulty deploy/hookchain.yaml is checked while the example is served.
    """
    state = state or state_folder()
    dev = running_dev.read_dev_file(state)
    if named:
        path, why = choose_config(environ, root, named), "named by --config"
    elif environ.get("HOOKCHAIN_CONFIG"):
        path, why = choose_config(environ, root), "named by HOOKCHAIN_CONFIG"
    elif dev and dev.by_name:
        path = choose_config(environ, root, dev.config)
        why = "`hookchain dev` was started with it; name another file with --config"
    else:
        path = choose_config(environ, root)
        why = "your configuration" if path else "EMAIL_ADDRESS is set"
        if path == root / EXAMPLE_CONFIG:
            why = f"the example; there is no {OWN_CONFIG}"
    line = f"Checking {title_of(path)} ({why})"
    if dev and dev.config != (str(path.absolute()) if path else running_dev.NO_CONFIG):
        served_file = "no file" if dev.config == running_dev.NO_CONFIG else dev.config
        line += f". `hookchain dev` serves another: {served_file}"
    if note := running_dev.outdated(state):
        line += f". {note}"
    return CheckedConfig(path, line)
