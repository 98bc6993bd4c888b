"""`hookchain send` to a receiver that does not confirm the event."""

import os
from pathlib import Path

import pytest

from deploy.cli.send import main
from tests.fakes.receiver import http_answer, receiver, unavailable


@pytest.fixture(autouse=True)
def a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SECRET", "a long random value")


def test_an_event_that_is_not_confirmed_is_sent_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with receiver(unavailable(), http_answer(200, b'{"id":"3f2a9c"}')) as hook:
        assert main([hook.url, "a=1", "--env-file", os.devnull, "--bearer", "--secret", "git-secret"]) == 0
    assert len({head.partition("webhook-id: ")[2].split()[0] for head in hook.heads}) == 1
    assert hook.bodies == [b'{"a":"1"}'] * 2
    output = capsys.readouterr()
    assert output.out == "accepted as event 3f2a9c\n"
    assert output.err == "not confirmed (503 unavailable): sending it again in 0 s (2 of 3)\n"


@pytest.mark.parametrize(("retry_after", "sent"), [(0, 3), (3600, 1)])
def test_an_event_is_not_sent_again_for_ever(retry_after: int, sent: int, tmp_path: Path) -> None:
    with receiver(unavailable(retry_after)) as hook:
        assert main([hook.url, "a=1", "--env-file", os.devnull, "--bearer", "--secret", "git-secret"]) == 1
    assert len(hook.heads) == sent
