"""Configurations as tests write them: compiled, or with their faults and warnings."""

from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, Fault, parse_config
from deploy.config.warnings import configuration_warnings
from shared.jsontext import JsonObject


def compile_text(text: str, folder: Path = Path()) -> dict[str, JsonObject]:
    """Return the slices of the functions."""
    return compile_config(parse_config(text, "hookchain.yaml", folder))


def faults_of_text(text: str, folder: Path = Path()) -> str:
    """Return the faults as they are printed, a line each."""
    with pytest.raises(ConfigFaults) as found:
        compile_text(text, folder)
    return str(found.value)


def warnings_of_text(text: str) -> list[Fault]:
    file = parse_config(text, "hookchain.yaml", Path())
    return list(configuration_warnings(file, compile_config(file)))
