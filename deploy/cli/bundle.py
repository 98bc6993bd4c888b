"""`hookchain bundle`: write each function as a folder that is ready to deploy."""

import argparse
from pathlib import Path

from deploy.bundle import bundle
from deploy.cli import deployment_command
from deploy.cli.command import DONE, parser, run_command
from deploy.config import checkout, compiler, configured


def main(arguments: list[str]) -> int:
    command = parser("bundle")
    configured.add_configuration(command)
    deployment_command.add_out(command, "build", "write to FOLDER")
    command.add_argument(
        "--platform", choices=tuple(bundle.PLATFORMS), default="gcp", help="write bundles for this platform [gcp]"
    )
    options = command.parse_args(arguments)
    return run_command("bundle", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    environ = configured.environ_of(options)
    config = checkout.choose_config(environ, named=options.config)
    slices = compiler.compile_file(config, environ)
    for name, compiled in slices.items():
        files = bundle.contents(checkout.ROOT, name, compiled, options.platform)
        bundle.write(options.out / name, files)
        print(f"{_relative(options.out / name)}: {len(files)} files, {sum(map(len, files.values())) // 1024} KiB")
    print(f"configuration: {_relative(config) if config else 'no file, the environment only'}")
    return DONE


def _relative(path: Path) -> Path:
    return path.relative_to(checkout.ROOT) if path.is_relative_to(checkout.ROOT) else path
