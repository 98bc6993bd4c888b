"""Google Cloud, called with the operator's credentials: by gcloud, and for reads by the REST APIs, which answer faster.

gcloud is found on PATH, is run without questions, and always gets a project if one is known.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final, Protocol
from urllib.parse import urlencode, urlsplit

from deploy.cloud_access.gcp_names import Target, find_target
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json, JsonObject, list_at, objects_at, to_json

TIMED_OUT: Final = 124
"""The exit code that the program `timeout` uses."""
PROPAGATION_WAITS_SECONDS: Final = (5.0, 10.0, 20.0, 30.0, 30.0)
"""The waits between the runs of a command that needs an earlier change to be known everywhere at Google: a new account
or role, an API that was just enabled."""


class GcloudMissing(CommandError):
    """An error: gcloud is not on PATH."""


class GcloudFault(CommandError):
    """An error: gcloud failed. `line` can be pasted to try again; `message` is gcloud's own message."""

    def __init__(self, line: str, message: str) -> None:
        super().__init__(f"{message.strip() or 'gcloud failed without a message'}\nTo run it yourself: {line}")
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Answer:
    """The output of gcloud. `code` is its exit code, or TIMED_OUT."""

    code: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """Something that runs gcloud: Gcloud, or a fake in tests."""

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 600.0) -> Answer:
        """Run gcloud with these arguments, and return its output, also if it fails. Raises GcloudMissing."""
        ...


class Gcloud:
    """gcloud. `arguments` are what follows the word gcloud: `["run", "services", "list"]`."""

    def __init__(self, project: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._project = project
        self._environ = environ

    def line(self, arguments: Sequence[str]) -> list[str]:
        """Return the words of the command line, as it is run."""
        return [*command_line(arguments, self._project), "--quiet"]

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 600.0) -> Answer:
        """Run gcloud, which gets no input without `stdin`, so that a question of it ends at once. As in Runner."""
        environ = dict(os.environ if self._environ is None else self._environ)
        program = shutil.which("gcloud", path=environ.get("PATH"))
        if program is None:
            where = "https://cloud.google.com/sdk/docs/install, or use Cloud Shell, which has it"
            raise GcloudMissing(f"gcloud is not on PATH: install it from {where}")
        try:
            done = subprocess.run(
                [program, *self.line(arguments)[1:]],
                env=environ,
                capture_output=True,
                check=False,
                timeout=timeout_seconds,
                input=stdin or b"",
            )
        except subprocess.TimeoutExpired:
            return Answer(TIMED_OUT, "", f"gcloud did not answer within {timeout_seconds:.0f} s")
        return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def command_line(arguments: Sequence[str], project: str | None) -> list[str]:
    """Return the command line as it is printed for people. Flags follow the command, so the project does too."""
    return ["gcloud", *arguments, *([f"--project={project}"] if project else [])]


def shown(arguments: Sequence[str], project: str | None) -> str:
    """Return the command line quoted for a shell."""
    return shlex.join(command_line(arguments, project))


def read_json(runner: Runner, arguments: Sequence[str], project: str | None) -> Json:
    """Return the command's output with --format=json. An error shows the command line with the project.

    Raises GcloudFault and GcloudMissing.
    """
    arguments = [*arguments, "--format=json"]
    answer = runner.run(arguments, timeout_seconds=60)
    if answer.code:
        raise GcloudFault(shown(arguments, project), answer.stderr)
    try:
        found: Json = json.loads(answer.stdout or "null")
    except ValueError as error:
        raise GcloudFault(shown(arguments, project), "gcloud's answer is not JSON") from error
    return found


def configured_project(runner: Runner) -> str | None:
    """Return the project of gcloud's own configuration; None if it has none, or if there is no gcloud."""
    try:
        answer = runner.run(["config", "get-value", "project"], timeout_seconds=10)
    except GcloudMissing:
        return None
    found = answer.stdout.strip()
    return found if answer.code == 0 and found and found != "(unset)" else None


# The REST APIs


CALL_SECONDS: Final = 5.0
"""How long an API may take to connect, and for each part of its answer."""
TOKEN_SECONDS: Final = 30.0
"""How long gcloud may take to return a token: it may have to get a new one."""
MAX_ANSWER_BYTES: Final = 20_000_000
RETRY_WAITS_SECONDS: Final = (0.5, 2.0)
"""The waits before a request is repeated that was answered with a transient error."""
_TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})
"""The statuses after which a read is repeated. 0, which stands for no answer, is not one of them."""
_OVERRIDE: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"  # gcloud's own variables, for private endpoints

Token = Callable[[], str]
"""A function that returns an access token. Raises NotSignedIn and GcloudMissing."""


class NotSignedIn(CommandError):
    """An error: gcloud returns no token. The text says why and what to do."""


class ApiError(Exception):
    """An error of an API, or no answer (`status` 0). `reason` is Google's, such as SERVICE_DISABLED."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({status} {reason})" if status else message)
        self.status = status
        self.reason = reason
        self.message = message


def token_of(gcloud: Runner) -> Token:
    """Return a function that asks gcloud for a token once, from however many threads it is called.

    Later calls return the same token, or raise the same error.
    """
    lock = threading.Lock()
    answers: list[str | NotSignedIn | GcloudMissing] = []

    def token() -> str:
        with lock:
            if not answers:
                answers.append(_request_token(gcloud))
        if isinstance(answers[0], str):
            return answers[0]
        raise answers[0]

    return token


def _request_token(gcloud: Runner) -> str | NotSignedIn | GcloudMissing:
    try:
        answer = gcloud.run(["auth", "print-access-token"], timeout_seconds=TOKEN_SECONDS)
    except GcloudMissing as missing:
        return missing
    if answer.code == TIMED_OUT:
        return NotSignedIn(f"gcloud returned no access token within {TOKEN_SECONDS:.0f} s. Run: gcloud auth list")
    if answer.code or not answer.stdout.strip():
        return NotSignedIn("nobody is signed in to gcloud. Run: gcloud auth login")
    return answer.stdout.strip()


class GoogleApi:
    """Reads of a project's APIs. A read is repeated after a transient error. One without an answer is not: it has
    already taken CALL_SECONDS.

    `environ` may name other endpoints, as gcloud's own variables do.
    """

    def __init__(
        self,
        project: str,
        token: Token,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.project = project
        self._token = token
        self._environ = os.environ if environ is None else environ
        self._sleep = sleep

    def get(self, service: str, path: str, query: Mapping[str, str | list[str]] | None = None) -> JsonObject:
        """Return the answer, as `ask` does. `service` is a name such as `run`.

        Raises ApiError, NotSignedIn and GcloudMissing.
        """
        return self._call("GET", service, f"{path}?{urlencode(query, doseq=True)}" if query else path, None)

    def post(self, service: str, path: str, body: JsonObject) -> JsonObject:
        """Post a read that takes a body, and return the answer. It is repeated, and raises, as `get`."""
        return self._call("POST", service, path, to_json(body).encode())

    def _call(self, method: str, service: str, path: str, body: bytes | None) -> JsonObject:
        override = self._environ.get(f"{_OVERRIDE}{service.upper()}")
        url = (override.rstrip("/") if override else f"https://{service}.googleapis.com") + path
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            return self._repeated(method, url, headers, body)
        except ApiError as fault:
            needs_project = fault.status == 403 and fault.reason in {"SERVICE_DISABLED", "USER_PROJECT_DENIED"}
            if not needs_project:
                raise
        # Some APIs need a project for their quota, and are not enabled in gcloud's own: then it is this one.
        return self._repeated(method, url, {**headers, "X-Goog-User-Project": self.project}, body)

    def _repeated(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> JsonObject:
        for seconds in RETRY_WAITS_SECONDS:
            try:
                return ask(method, url, headers, body)
            except ApiError as fault:
                if fault.status not in _TRANSIENT:
                    raise
            self._sleep(seconds)
        return ask(method, url, headers, body)


def ask(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> JsonObject:
    """Return the answer of any JSON API to one call, as an object.

    Any other value in JSON becomes its field `items`. An answer that is not JSON becomes an empty object, even if the
    API accepted the call. Raises ApiError.
    """
    document, _ = exchange(method, url, headers, body)
    return document


def exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, seconds: float = CALL_SECONDS
) -> tuple[JsonObject, Mapping[str, str]]:
    """Return the answer, as `ask` does, and its headers, with names in lower case. Raises ApiError."""
    request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 ours and Google's URLs
    host = urlsplit(url).hostname
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 as above
            text = answer.read(MAX_ANSWER_BYTES)
            return _object(text), {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            raise _fault(error.code, _object(error.read(MAX_ANSWER_BYTES))) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise ApiError(0, "", f"no answer from {host}: {reason}") from error


def _object(text: bytes) -> JsonObject:
    try:
        document: Json = json.loads(text or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {"items": document}


def _fault(status: int, document: JsonObject) -> ApiError:
    """Return the error that Google describes in the answer: https://google.aip.dev/193"""
    error = document.get("error")
    if not isinstance(error, dict):
        return ApiError(status, "", "rejected")
    reasons = [str(each["reason"]) for each in objects_at(error, "details") if "reason" in each]
    message = str(error.get("message", "rejected")).split("\n")[0]
    return ApiError(status, reasons[0] if reasons else str(error.get("status", "")), message[:300])


# A deployment


@dataclass(frozen=True, slots=True)
class CloudDeployment:
    """A deployment on Google Cloud, and the two ways to call Google about it."""

    target: Target
    gcloud: Gcloud
    api: GoogleApi

    def service(self, function: str) -> JsonObject | None:
        """Return the service as Cloud Run's API v2 describes it; None if it is not deployed. Raises CommandError."""
        name = self.target.name_of(function)
        path = f"/v2/projects/{self.target.project}/locations/{self.target.region}/services/{name}"
        try:
            return self.api.get("run", path)
        except ApiError as fault:
            if fault.status == 404 or fault.reason == "SERVICE_DISABLED":
                return None
            raise CommandError(f"Cloud Run, {name}: {fault}") from fault

    def receive_url(self) -> str:
        """Return the URL that a source's name is added to, after a slash. Raises CommandError."""
        return self.function_url("receive")

    def function_url(self, function: str) -> str:
        """Return the service's URL that the deployment printed, of the several URLs that a service has. Raises
        CommandError."""
        found = self.service(function)
        if found is None or not isinstance(found.get("uri"), str):
            where = f"{self.target.project}, {self.target.region}"
            raise CommandError(f"{self.target.name_of(function)} is not deployed in {where}: make deploy-gcp")
        printed = (url for url in map(str, list_at(found, "urls")) if url.endswith(f".{self.target.region}.run.app"))
        return next(printed, str(found["uri"]))


def target_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Return the deployment that the options name. Raises TargetFault."""
    return find_target(options, environ, lambda: configured_project(Gcloud()))


def cloud_deployment(target: Target) -> CloudDeployment:
    gcloud = Gcloud(target.project)
    return CloudDeployment(target, gcloud, GoogleApi(target.project, token_of(gcloud)))
