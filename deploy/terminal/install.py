"""The line that installs a package which a command needs."""

from pathlib import Path
from typing import Final

_EXTRAS: Final = {"boto3": "aws-tools", "botocore": "aws-tools"}
"""The packages that only some commands need, and the extra that has each."""


def how_to_install(folder: Path, package: str = "") -> str:
    """Return what to run for the package. `folder` is the checkout."""
    extra = _EXTRAS.get(package.partition(".")[0])
    if extra:
        return f"In the checkout, run: pip install --editable '{folder}[{extra}]'"
    return f"In the checkout, run: pip install --editable '{folder}[local]' (or `make dev`, which does it)"
