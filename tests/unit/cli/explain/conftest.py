"""A folder with a configuration and its `.env`."""

from pathlib import Path

import pytest

from tests.unit.cli.explain.explained import LINK_KEY, SECRET

CONFIG = """
sources:
  github: {provider: github, secret: github-secret}
  stripe: {provider: stripe, secret: stripe-secret}
  slack: {provider: slack, secret: slack-secret}
  form: {auth: {scheme: basic, username: web, secret: form-password}, allow: [192.0.2.0/24]}
  behind: {auth: none, allow: [192.0.2.0/24], trusted_proxies: 1}
  go: {methods: [GET], auth: {scheme: link, secret: link-key}}
  open: {auth: none, content_types: [application/json]}
  small: {auth: none, max_body_bytes: 10}
  lost: {auth: {scheme: bearer, secret: nowhere-to-be-found}}
  sns: {provider: aws_sns}
  echo: {auth: none, respond: {content_type: text/plain, body: "thanks, {{ data.name }}"}}
routes:
  - {name: all of it, from: all, to: ops}
destinations:
  ops: {email: {to: [ops@example.com], subject: "{{ type }}"}}
"""
DOTENV = f"""
GITHUB_SECRET={SECRET}
STRIPE_SECRET=whsec_stripes-own-secret
SLACK_SECRET=slacks-own-secret-0123
FORM_PASSWORD=correct-horse-battery
LINK_KEY={LINK_KEY}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hookchain.yaml").write_text(CONFIG)
    (tmp_path / ".env").write_text(DOTENV)
    monkeypatch.chdir(tmp_path)
