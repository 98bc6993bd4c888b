"""This checkout: its folder, the settings that count here, and the configuration that does."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from deploy.config.dev_file import is_served_by_name, served_config
from deploy.config.dotenv import DotenvFault, read_dotenv
from shared.settings import DEFAULT_STATE

ROOT: Final = Path(__file__).resolve().parents[2]
OWN_CONFIG: Final = Path("deploy/hookchain.yaml")
EXAMPLE_CONFIG: Final = Path("deploy/hookchain.example.yaml")


def environ_with(env_file: Path) -> dict[str, str]:
    """What the file sets, and over it what the shell does. Raises DotenvFault."""
    return {**read_dotenv(env_file), **os.environ}


def state_folder() -> Path:
    """Where `hookchain dev` keeps what happens, from whichever folder a command is run."""
    try:
        environ: Mapping[str, str] = environ_with(ROOT / ".env")
    except DotenvFault:  # told by whoever needs what is in it
        environ = os.environ
    return Path(environ.get("HOOKCHAIN_STATE") or ROOT / DEFAULT_STATE)


def chosen_config(named: str | None, environ: Mapping[str, str], state: Path | None = None) -> Path | None:
    """As named_config, but that what the `hookchain dev` of this folder serves comes before the checkout's own."""
    is_named = named or environ.get("HOOKCHAIN_CONFIG")
    return named_config(named if is_named else served_config(state or state_folder()), environ)


class CheckedConfig(NamedTuple):
    """The configuration that `lint`, `test` and `doctor` check, and the line that says which and why."""

    path: Path | None
    line: str


def checked_config(
    named: str | None, environ: Mapping[str, str], state: Path | None = None, root: Path = ROOT
) -> CheckedConfig:
    """Return the file that the operator means to be checked.

    It is the one that is named, or that a running `hookchain dev` was started with by name. Otherwise it is chosen as
    `hookchain dev` chooses at its start, so that a faulty deploy/hookchain.yaml is checked while the example is served.
    """
    state = state or state_folder()
    served = served_config(state)
    if named:
        return _checked(choose_config({"HOOKCHAIN_CONFIG": named}, root), "named by --config", served)
    if environ.get("HOOKCHAIN_CONFIG"):
        return _checked(choose_config(environ, root), "named by HOOKCHAIN_CONFIG", served)
    if served and is_served_by_name(state):
        reason = "`hookchain dev` was started with it; name another file with --config"
        return _checked(choose_config({"HOOKCHAIN_CONFIG": served}, root), reason, served)
    path = choose_config(environ, root)
    if path == root / EXAMPLE_CONFIG:
        return _checked(path, f"the example; there is no {OWN_CONFIG}", served)
    return _checked(path, "your configuration" if path else "EMAIL_ADDRESS is set", served)


def _checked(path: Path | None, why: str, served: str | None) -> CheckedConfig:
    is_served = served is None or served == (str(path.absolute()) if path else "none")
    serving = "" if is_served else f". `hookchain dev` serves another: {'no file' if served == 'none' else served}"
    return CheckedConfig(path, f"Checking {path or 'the mode without a file'} ({why}){serving}")


def named_config(named: str | None, environ: Mapping[str, str]) -> Path | None:
    """As choose_config, where a command's --config counts before HOOKCHAIN_CONFIG."""
    return choose_config({**environ, "HOOKCHAIN_CONFIG": named} if named else environ, ROOT)


def deployed_config(named: str | None, environ: Mapping[str, str]) -> Path | None:
    """As named_config, but that the example is deployed only by name: without a file it is the mode without one."""
    path = named_config(named, environ)
    is_named = named or environ.get("HOOKCHAIN_CONFIG")
    return None if path == ROOT / EXAMPLE_CONFIG and not is_named else path


def choose_config(environ: Mapping[str, str], root: Path) -> Path | None:
    """The configuration file that counts; None for the mode without one.

    HOOKCHAIN_CONFIG names it (`none`: no file; any other must exist), else the operator's own where it is there, else
    none where EMAIL_ADDRESS is set, else the example.
    """
    named = environ.get("HOOKCHAIN_CONFIG")
    if named:
        return None if named == "none" else Path(named)
    if (root / OWN_CONFIG).is_file():
        return root / OWN_CONFIG
    return None if environ.get("EMAIL_ADDRESS") else root / EXAMPLE_CONFIG
