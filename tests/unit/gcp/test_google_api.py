"""The one retry policy for reads of Google's APIs."""

from collections.abc import Mapping

import pytest

from deploy.cloud_access import gcp
from deploy.cloud_access.gcp import RETRY_WAITS_SECONDS, ApiError, GoogleApi
from shared.jsontext import JsonObject


def answering(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> tuple[GoogleApi, list[float], list[str]]:
    """An API whose requests end with these statuses in turn, the waits before its retries, and its requests."""
    left, waits, urls = list(statuses), list[float](), list[str]()

    def ask(_: str, url: str, __: Mapping[str, str], ___: bytes | None = None) -> JsonObject:
        urls.append(url)
        if (status := left.pop(0)) != 200:
            raise ApiError(status, "REASON", "rejected")
        return {"name": "it"}

    monkeypatch.setattr(gcp, "ask", ask)
    return GoogleApi("my-project", lambda: "token", {}, waits.append), waits, urls


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_read_is_repeated_after_a_transient_error(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    google, waits, urls = answering(monkeypatch, status, 200)
    assert google.get("run", "/v2/x") == {"name": "it"}
    assert (waits, urls) == ([RETRY_WAITS_SECONDS[0]], ["https://run.googleapis.com/v2/x"] * 2)


def test_the_last_transient_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    google, waits, _ = answering(monkeypatch, 503, 503, 503)
    with pytest.raises(ApiError, match="503"):
        google.get("run", "/v2/x")
    assert waits == list(RETRY_WAITS_SECONDS)


@pytest.mark.parametrize("status", [0, 400, 403, 404])
def test_no_other_error_is_repeated(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    google, waits, urls = answering(monkeypatch, status)
    with pytest.raises(ApiError):
        google.get("run", "/v2/x")
    assert (waits, len(urls)) == ([], 1)
