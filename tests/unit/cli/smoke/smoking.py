"""The configuration and the event of the smoke tests."""

from pathlib import Path
from typing import Final

from deploy.cli.main import main
from tests.stack import Stack

EVENT_ID: Final = "4f2a9c0000000000000000000000abcd"
CONFIG: Final = """
sources:
  signed:
    auth: {scheme: hmac, header: X-Signature, secret: signed-key}
    type: header.X-Event
    id: data.order.id
  in-path: {auth: {scheme: path, secret: path-token}}
  pay: {provider: stripe, secret: pay-key}
  chat: {provider: discord, secret: chat-key}
routes:
  - {name: money, from: pay, types: ["*.payment_failed"], to: crm}
  - {name: orders, from: signed, types: [order.*], to: people}
  - {name: from the path, from: in-path, where: data.plan == 'big', to: [people, crm]}
destinations:
  people: {email: {to: [ann@example.com]}}
  crm: {email: {to: [bob@example.com]}}
"""


def smoke(stack: Stack, folder: Path, *arguments: str) -> int:
    config = ["--config", str(folder / "hookchain.yaml"), "--env-file", str(folder / "env")]
    return main(["smoke", "--state", str(stack.state), *config, *arguments])
