"""A configuration with secrets, and values that are typed or piped."""

import io
import sys
from pathlib import Path

import pytest

from deploy.cli.main import main

CONFIG = """
sources:
  shop: {auth: {scheme: basic, username: web, secret: shop-password}}
  pay: {auth: {scheme: standard-webhooks, secret: pay-key}}
  chat: {provider: discord, secret: chat-key}
  bot: {provider: telegram, secret: bot-token}
  hex: {auth: {scheme: hmac, header: X-S, key: hex, secret: hex-key}}
routes: [{name: all of it, to: people}]
destinations:
  people: {email: {to: ann@example.com}}
  crm: {webhook: {url: https://crm.example.com/in, secret: crm-key}}
  stock: {webhook: {url: https://stock.example.com/in, signature: {header: X-S, key: hex, secret: stock-key}}}
"""
STRONG = "a-long-and-random-value-1"


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def run(env_file: Path, *arguments: str) -> int:
    return main(["secrets", *arguments, "--env-file", str(env_file)])
