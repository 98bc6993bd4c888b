"""The secret that a name stands for, looked up as the functions do."""

from collections.abc import Mapping
from pathlib import Path

from shared.secret_values import split_values
from shared.secrets import SECRET_NAME, from_environment, from_folder, variable_name


def secret_named(name: str, environ: Mapping[str, str]) -> str:
    """Its newest value. Raises ValueError, whose text holds nothing that is no name."""
    if not SECRET_NAME.fullmatch(name):
        raise ValueError("--secret takes a secret's name, such as signup-password, and never its value")
    for read in (from_folder(Path(environ.get("SECRETS_DIR") or "/secrets")), from_environment(environ)):
        if (text := read(name)) is not None:
            return newest(text, repr(name))
    raise ValueError(f"there is no secret {name!r}: set {variable_name(name)}, or write it to .env")


def newest(text: str, which: str) -> str:
    values = split_values(text)
    if not values:
        raise ValueError(f"the secret {which} is empty")
    return values[0]
