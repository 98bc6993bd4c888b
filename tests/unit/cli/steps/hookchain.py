"""Commands about steps, run in this process."""

import io
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.main import main

CONFIG: Final = """\
sources:
  form: {auth: {scheme: bearer, secret: form-key}, id: data.id}
chains:
  clean: [{drop: [data.password]}, {convert: {to: yaml}}]
routes:
  - name: mail
    from: form
    types: [signup.*]
    steps: [{drop: [data.password]}, {filter: {keep: "data.plan != 'free'", reason: a free plan}}]
    to: people
  - name: details
    types: [card.*]
    steps: [{fetch: {url: "https://api.example.com/{{ data.card }}", into: data.details}}]
    to: people
destinations:
  people: {email: {to: ann@example.com, subject: "New {{ data.name }}"}}
tests:
  - name: a paid sign-up is mailed
    input:
      source: form
      body: {event: signup.created, id: 1, name: Ada, plan: pro, password: hunter2}
    expect:
      - to: people
        route: mail
        data: {event: signup.created, id: 1, name: Ada, plan: pro}
        mail: {to: ann@example.com, subject: New Ada, holds: [Ada], lacks: hunter2}
  - name: a free one is not
    input: {source: form, headers: {content-type: application/x-www-form-urlencoded}, body: "event=signup.x&plan=free"}
    expect: []
  - name: a card is looked up
    input: {source: form, event: {type: card.moved, data: {card: a/b, name: x}}}
    answers: {"https://api.example.com/a%2Fb": {body: {title: Groceries}}}
    expect: [{to: people, data: {card: a/b, name: x, details: {title: Groceries}}}]
"""


class Stdin(io.TextIOWrapper):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


class Hookchain:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[bytes], env_file: Path) -> None:
        self._monkeypatch = monkeypatch
        self._captured = captured
        self._env_file = env_file

    def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        self._monkeypatch.setattr(sys, "stdin", Stdin(stdin))
        code = main([*arguments, "--env-file", str(self._env_file)])
        text = self._captured.readouterr()
        return code, text.out, text.err.decode()
