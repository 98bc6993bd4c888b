"""Google Cloud's REST APIs, read and asked in the operator's own name."""

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Final, TypeVar
from urllib.parse import urlencode, urlsplit

from deploy.google.gcloud import TIMED_OUT, GcloudMissing, Runner
from shared.jsontext import Json, JsonObject, to_json

CALL_SECONDS: Final = 5.0
TOKEN_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 20_000_000
_OVERRIDE: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"  # gcloud's own variables, for private endpoints

Token = Callable[[], str]
"""Answers an access token. Raises NotSignedIn and GcloudMissing."""


class NotSignedIn(Exception):
    """Its text says what to do."""


class ApiFault(Exception):
    """An API's refusal, or no answer, for which `status` is 0. `reason` is Google's, such as SERVICE_DISABLED."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({status} {reason})" if status else message)
        self.status = status
        self.reason = reason
        self.message = message


def token_of(gcloud: Runner) -> Token:
    """gcloud is asked once, however many threads want it, and whatever it answers."""
    lock = threading.Lock()
    answers: list[str | NotSignedIn | GcloudMissing] = []

    def token() -> str:
        with lock:
            if not answers:
                answers.append(_asked_token(gcloud))
        if isinstance(answers[0], str):
            return answers[0]
        raise answers[0]

    return token


def _asked_token(gcloud: Runner) -> str | NotSignedIn | GcloudMissing:
    try:
        answer = gcloud.run(["auth", "print-access-token"], timeout_seconds=TOKEN_SECONDS)
    except GcloudMissing as missing:
        return missing
    if answer.code == TIMED_OUT:
        return NotSignedIn(f"gcloud did not say within {TOKEN_SECONDS:.0f} s who is signed in: gcloud auth list")
    if answer.code or not answer.stdout.strip():
        return NotSignedIn("gcloud has nobody signed in: gcloud auth login")
    return answer.stdout.strip()


class GoogleApi:
    def __init__(self, project: str, token: Token, environ: Mapping[str, str] | None = None) -> None:
        self.project = project
        self._token = token
        self._environ = os.environ if environ is None else environ

    def get(self, service: str, path: str, query: Mapping[str, str | list[str]] | None = None) -> JsonObject:
        """`service` is such as `run`, `path` begins with a slash. Raises ApiFault, NotSignedIn and GcloudMissing."""
        return self._call("GET", service, f"{path}?{urlencode(query, doseq=True)}" if query else path, None)

    def post(self, service: str, path: str, body: JsonObject) -> JsonObject:
        return self._call("POST", service, path, to_json(body).encode())

    def _call(self, method: str, service: str, path: str, body: bytes | None) -> JsonObject:
        override = self._environ.get(f"{_OVERRIDE}{service.upper()}")
        url = (override.rstrip("/") if override else f"https://{service}.googleapis.com") + path
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            return ask(method, url, headers, body)
        except ApiFault as fault:
            # Some APIs want to know on whose quota; on ours, where gcloud's own has them not.
            if fault.status != 403 or fault.reason not in {"SERVICE_DISABLED", "USER_PROJECT_DENIED"}:
                raise
        return ask(method, url, {**headers, "X-Goog-User-Project": self.project}, body)


def ask(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> JsonObject:
    """Any JSON API. Raises ApiFault."""
    document, _ = exchange(method, url, headers, body)
    return document


def exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, seconds: float = CALL_SECONDS
) -> tuple[JsonObject, Mapping[str, str]]:
    """The document that was answered and its headers, in lower case. Raises ApiFault."""
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
        raise ApiFault(0, "", f"no answer from {host}: {reason}") from error


def _object(text: bytes) -> JsonObject:
    try:
        document: Json = json.loads(text or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {"items": document}


def _fault(status: int, document: JsonObject) -> ApiFault:
    error = document.get("error")
    if not isinstance(error, dict):
        return ApiFault(status, "", "refused")
    details = error.get("details")
    reasons = (
        [str(each["reason"]) for each in details if isinstance(each, dict) and "reason" in each]
        if isinstance(details, list)
        else []
    )
    message = str(error.get("message", "refused")).split("\n")[0]
    return ApiFault(status, reasons[0] if reasons else str(error.get("status", "")), message[:300])


Item = TypeVar("Item")
Answer = TypeVar("Answer")


def side_by_side(work: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """The answers in the order of `items`. Raises what `work` raises, of the first for which it does.

    An executor's threads would be waited for at the end of the process: a name that does not resolve takes its time.
    """
    found: dict[int, Answer] = {}
    failed: dict[int, BaseException] = {}

    def run(number: int) -> None:
        try:
            found[number] = work(items[number])
        except BaseException as error:  # raised again below, in the caller's thread
            failed[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[min(failed)]
    return [found[number] for number in range(len(items))]
