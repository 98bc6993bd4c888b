"""`hookchain dev`: run everything on this machine. It counts the warnings that `hookchain lint` prints."""

from collections.abc import Mapping
from pathlib import Path

from deploy.config.config_file import ConfigFile, Fault
from deploy.dev.supervisor import start


def main(arguments: list[str]) -> int:
    return start.main(arguments, find_warnings)


def find_warnings(file: ConfigFile, environ: Mapping[str, str], env_file: Path) -> list[Fault]:
    # Imported here, because it is slow to import, which is done while the processes start.
    from deploy.cli.lint import all_warnings
    from deploy.config.compiler import compile_config
    from deploy.explain.event_types import event_type_findings

    slices = compile_config(file)
    return all_warnings(file, slices, event_type_findings(file, slices), environ, env_file)
