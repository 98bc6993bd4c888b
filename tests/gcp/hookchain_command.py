"""`hookchain` in a process of its own, with a gcloud that keeps what it makes."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.processes import PATIENCE_SECONDS
from tests.stub_gcloud import WorldGcloud

PROJECT = "my-project"
NOBODY = "http://127.0.0.1:9"
"""Where nothing listens: no policy can be asked for."""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


def environ(gcloud: WorldGcloud | None, more: Mapping[str, str]) -> dict[str, str]:
    path = gcloud.path if gcloud else str(Path(sys.executable).parent)
    own = {"PATH": path, "CLOUDSDK_API_ENDPOINT_OVERRIDES_ORGPOLICY": NOBODY, "HOOKCHAIN_CONFIG": "none"}
    return {**os.environ, **own, **more}


def hookchain(
    root: Path, folder: Path, arguments: Sequence[str], gcloud: WorldGcloud | None = None, **more: str
) -> Ran:
    """`folder` takes the bundles; no .env of a developer is read."""
    out = [] if arguments[0] == "destroy-gcp" else ["--out", str(folder / "build")]
    is_there = arguments[0] == "deploy-gcp" or (folder / "env").exists()
    env_file = str(folder / "env") if is_there else os.devnull
    command = [sys.executable, "-m", "deploy.cli", *arguments, *out, "--env-file", env_file]
    output = environ(gcloud, more)
    ran = subprocess.run(
        command,
        cwd=root,
        env=output,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)
