"""The tools for the template, in an environment of their own, because their pins conflict with those of the project."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.terminal.command_line import CommandError

TOOLS: Final = Path(sys.prefix) / "aws" / "bin"
"""The environment is inside that of this interpreter."""
TRANSLATE: Final = Path(__file__).resolve().parent / "translate.py"
TIMEOUT_SECONDS: Final = 120


def tool(name: str) -> Path:
    """Return a program of the environment: `sam`, `cfn-lint`, `python`. Raises CommandError if it is not there."""
    path = TOOLS / name
    if not path.exists():
        raise CommandError(f"{name} is not installed. Run `make sam`, which installs AWS's tools into .venv/aws")
    return path


def tool_environ() -> dict[str, str]:
    """Return the environment of a tool: without credentials it can ask AWS nothing, and SAM needs a region's name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    return kept | {"AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}


def translated(template: str) -> str:
    """Return the template as CloudFormation's JSON. Raises CommandError."""
    command = [str(tool("python")), str(TRANSLATE)]
    done = subprocess.run(
        command, input=template, env=tool_environ(), capture_output=True, text=True, timeout=TIMEOUT_SECONDS
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise CommandError("the template cannot be translated; see the lines before")
    return done.stdout
