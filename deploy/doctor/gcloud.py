"""gcloud itself: there, new enough, and somebody signed in."""

import json
from typing import Final

from deploy.google.api import NotSignedIn, Token
from deploy.google.gcloud import GcloudMissing, Runner
from deploy.terminal.finding import Finding, ok, problem, unknown
from shared.jsontext import Json

NEEDED_FLAGS: Final = ("--function", "--base-image", "invoker-iam-check")
"""Of `gcloud run deploy`: an old gcloud has them in a beta, or not at all."""
SECONDS: Final = 30.0
MISSING: Final = "install it: https://cloud.google.com/sdk/docs/install, or use Cloud Shell, which has it"


def gcloud(runner: Runner) -> Finding:
    try:
        answer = runner.run(["version", "--format=json"], timeout_seconds=SECONDS)
    except GcloudMissing:
        return problem("not on PATH", MISSING)
    if answer.code:
        return problem(f"does not run: {_line(answer.stderr)}", "gcloud version tells more")
    return ok(version_of(answer.stdout))


def gcloud_flags(runner: Runner) -> Finding:
    """The help is asked rather than a version number compared: it says what this very gcloud can do."""
    answer = runner.run(["run", "deploy", "--help"], timeout_seconds=SECONDS)
    if answer.code or not answer.stdout:
        return unknown(f"`gcloud run deploy --help` does not answer: {_line(answer.stderr)}")
    lacking = [flag for flag in NEEDED_FLAGS if flag not in answer.stdout]
    if lacking:
        return problem(f"too old: `gcloud run deploy` lacks {', '.join(lacking)}", "gcloud components update")
    return ok("knows how to deploy functions to Cloud Run")


def signed_in(runner: Runner, token: Token) -> Finding:
    try:
        token()
    except NotSignedIn as fault:
        said, _, todo = str(fault).partition(": ")
        return problem(said, todo)
    answer = runner.run(["config", "get-value", "account"], timeout_seconds=SECONDS)
    return ok(answer.stdout.strip() or "yes")


def version_of(text: str) -> str:
    try:
        document: Json = json.loads(text)
    except ValueError:
        return "there"
    version = document.get("Google Cloud SDK") if isinstance(document, dict) else None
    return f"version {version}" if isinstance(version, str) else "there"


def _line(text: str) -> str:
    return (text.strip().split("\n") or [""])[0][:200]
