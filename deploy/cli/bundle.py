"""`hookchain bundle`: each function as a folder of its own, ready to deploy."""

import argparse
import sys
from pathlib import Path

from deploy.bundle.bundle import NotABundle, contents, write
from deploy.bundle.requirements import PinsFault
from deploy.cli.main import parser
from deploy.config.checkout import ROOT, named_config
from deploy.config.compiler import FUNCTIONS, compile_file
from deploy.config.configured import add_configuration, environ_of
from deploy.config.dotenv import DotenvFault
from deploy.config.faults import ConfigFaults


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    try:
        environ = environ_of(options)
        config = named_config(options.config, environ)
        slices = compile_file(config, environ)
        for name in FUNCTIONS:
            files = contents(ROOT, name, slices[name], options.platform)
            write(options.out / name, files)
            print(f"{_shown(options.out / name)}: {len(files)} files, {sum(map(len, files.values())) // 1024} KiB")
    except (ConfigFaults, DotenvFault, PinsFault, NotABundle) as fault:
        print(fault, file=sys.stderr)
        return 1
    print(f"configuration: {_shown(config) if config else 'none but the environment'}")
    return 0


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _options(arguments: list[str]) -> argparse.Namespace:
    words = parser("bundle", "exit code: 0, or 1 where the configuration has faults")
    add_configuration(words)
    words.add_argument("--out", metavar="FOLDER", type=Path, default=ROOT / "build", help="where to (default: build)")
    words.add_argument(
        "--platform", default="gcp", help="the extra of pyproject.toml with what the platform needs (default: gcp)"
    )
    return words.parse_args(arguments)
