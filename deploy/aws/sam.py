"""AWS's tools in .venv/aws: the SAM CLI, which builds and deploys a deployment's folder, and its translator."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from deploy.aws.resources.functions import RUNTIME
from deploy.cloud_access.aws_names import STACK_TAG, StackTarget
from deploy.config.dotenv import PRIVATE_MODE
from deploy.terminal.command_line import CommandError

TOOLS: Final = Path(sys.prefix) / "aws" / "bin"
"""The tools have a virtual environment of their own, inside the one of this interpreter."""
TRANSLATE: Final = Path(__file__).resolve().parent / "translate.py"
TRANSLATE_TIMEOUT_SECONDS: Final = 120
FOLDER_ON_LAMBDA: Final = "/var/task"
"""The folder of a function's code on Lambda, which tracebacks show."""
COMPILE_TIMEOUT_SECONDS: Final = 300
PARAMETERS: Final = "parameters.yaml"
"""The file with the values of the template's parameters, in the folder of the deployment."""
BUILT: Final = "built"
"""The folder for the packages that `sam build` makes, in the folder of the deployment."""
POLL_SECONDS: Final = 1.0
_VARIABLES_FROM_DOTENV: Final = ("AWS_ENDPOINT_URL",)
"""The variables that the SAM CLI gets even if only .env has them."""


def require_tool(name: str) -> Path:
    """Return a program of the environment: `sam`, `cfn-lint`, `python`. Raises CommandError if it is not there."""
    path = TOOLS / name
    if not path.exists():
        raise CommandError(f"{name} is not installed. Run `make sam`, which installs AWS's tools into .venv/aws")
    return path


def tool_environ() -> dict[str, str]:
    """Return the environment of a tool that must not call AWS: no credentials, and a region because SAM needs one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    return kept | {"AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}


def translated(template: str) -> str:
    """Return the template as CloudFormation's JSON. Raises CommandError."""
    command = [str(require_tool("python")), str(TRANSLATE)]
    done = subprocess.run(
        command, input=template, env=tool_environ(), capture_output=True, text=True, timeout=TRANSLATE_TIMEOUT_SECONDS
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise CommandError("the template cannot be translated; see the lines before")
    return done.stdout


def write_bytecode(package: Path, python: Path) -> None:
    """Compile the modules of a built package with `python`, of Lambda's version. A faulty module stays as it is.

    The same modules give the same bytes, so that SAM uploads nothing if nothing has changed.
    """
    paths = ["-s", str(package), "-p", FOLDER_ON_LAMBDA, str(package)]
    command = [str(python), "-I", "-m", "compileall", "-qq", "-f", "--invalidation-mode", "unchecked-hash", *paths]
    subprocess.run(command, check=False, timeout=COMPILE_TIMEOUT_SECONDS)


class SamFailed(Exception):
    """The SAM CLI failed, and has printed why. The text of this error is the command line to try by hand."""


@dataclass(frozen=True, slots=True)
class Sam:
    """The SAM CLI for a stack. It runs in `folder`, which has the template.

    `environ` is the environment of the `hookchain` command, with the variables of .env.
    """

    target: StackTarget
    folder: Path
    environ: Mapping[str, str]

    def build(self, architecture: str) -> None:
        """Install the requirements beside the code, and compile both. Raises CommandError and SamFailed."""
        python = _find_python(self._environ()["PATH"])
        overrides = ("--parameter-overrides", f"Architecture={architecture}")
        self._run("build", "--template", "template.yaml", "--build-dir", BUILT, "--cached", *overrides)
        for package in sorted(each for each in (self.folder / BUILT).iterdir() if each.is_dir()):
            write_bytecode(package, python)

    def deploy(self, parameters: Mapping[str, str]) -> None:
        """Upload the code and create or update the stack. Raises CommandError and SamFailed."""
        self._write_parameters(parameters)
        self._run(
            "deploy",
            *("--template-file", f"{BUILT}/template.yaml"),
            *("--stack-name", self.target.stack, "--region", self.target.region),
            *("--resolve-s3", "--s3-prefix", self.target.stack),
            *("--capabilities", "CAPABILITY_NAMED_IAM"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
            *("--tags", f"{STACK_TAG}={self.target.prefix}"),
            *("--parameter-overrides", f"file://{PARAMETERS}"),
        )

    def delete(self, meanwhile: Callable[[], None]) -> None:
        """Delete the stack, and its code in SAM's bucket. `meanwhile` is called every POLL_SECONDS until then.

        Raises CommandError and SamFailed.
        """
        stack = ("--stack-name", self.target.stack, "--region", self.target.region)
        self._run("delete", "--no-prompts", *stack, meanwhile=meanwhile)

    def _write_parameters(self, parameters: Mapping[str, str]) -> None:
        # In a file, because the command line accepts no empty value.
        text = yaml.safe_dump(dict(parameters), sort_keys=False)
        path = self.folder / PARAMETERS
        path.touch(PRIVATE_MODE)  # private before it has content, such as the name of a mail account
        path.write_text(text, encoding="utf-8")

    def _run(self, *arguments: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Run the SAM CLI until it ends. It prints to the same terminal. Raises CommandError and SamFailed."""
        command = [str(require_tool("sam")), *arguments]
        sys.stdout.flush()  # so that its lines come after ours
        process = subprocess.Popen(command, cwd=self.folder, env=self._environ(), stdin=subprocess.DEVNULL)
        while True:
            try:
                code = process.wait(POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                meanwhile()
        if code:
            raise SamFailed(by_hand(self.folder, arguments))

    def _environ(self) -> dict[str, str]:
        """Return the environment of the SAM CLI. This interpreter comes first on PATH: it may be the functions'."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        from_dotenv = {name: value for name in _VARIABLES_FROM_DOTENV if (value := self.environ.get(name))}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return kept | from_dotenv | {"AWS_DEFAULT_REGION": self.target.region, "SAM_CLI_TELEMETRY": "0", "PATH": path}


def by_hand(folder: Path, arguments: Sequence[str]) -> str:
    """Return the command line of the SAM CLI in the folder, to be pasted."""
    command = shlex.join([os.path.relpath(require_tool("sam"), folder), *arguments])
    return f"(cd {shlex.quote(os.path.relpath(folder))} && {command})"


def _find_python(path: str) -> Path:
    """Return the functions' Python on this machine, with which SAM installs requirements. Raises CommandError."""
    found = shutil.which(RUNTIME, path=path)
    # It is run, because pyenv puts programs on PATH that fail if the version is not installed.
    if found is None or subprocess.run([found, "-c", ""], capture_output=True).returncode:
        raise CommandError(
            f"{RUNTIME} is not on PATH: the functions run on it, and `sam build` installs their requirements with it. "
            f"Install it, for example with `uv python install {RUNTIME.removeprefix('python')}`"
        )
    return Path(found)
