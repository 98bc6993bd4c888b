"""What an endpoint of a subscriber gets, verified by the library of Standard Webhooks for Node."""

import json
import shutil
import subprocess
import time
from base64 import b64encode
from pathlib import Path
from typing import Final

import pytest

from shared.event import Event
from shared.subscribers.model import Endpoint
from shared.subscribers.payload import endpoint_request

pytestmark = pytest.mark.slow

VENDORS: Final = Path(__file__).resolve().parent.parent / "vendors"
PROGRAM: Final = """
const { Webhook } = require("standardwebhooks");
const { headers, body, secrets } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const verify = (secret) => { try { new Webhook(secret).verify(body, headers); return true; } catch { return false; } };
console.log(JSON.stringify(secrets.map(verify)));
"""
NEW, OLD, OTHER = (f"whsec_{b64encode(bytes([number]) * 24).decode()}" for number in range(3))


def test_the_library_for_node_verifies_a_delivery_with_both_secrets_of_a_rotation_and_with_no_other() -> None:
    if not shutil.which("node") or not (VENDORS / "node_modules" / "standardwebhooks").is_dir():
        pytest.skip("standardwebhooks is not here: npm install --prefix tests/vendors")
    event = Event("e1", "/sources/app", "order.paid", "2026-01-01T00:00:00Z", "00", {"customer": "Zoë ☃", "n": 1.5})
    endpoint = Endpoint(id="ep_1", tenant="acme", url="https://acme.example.com/in", fields={"account": "a-1"})
    sent = endpoint_request(endpoint, (NEW, OLD), event, "standard", "d" * 64, int(time.time()))
    given = {"headers": dict(sent.headers), "body": sent.body.decode(), "secrets": [NEW, OLD, OTHER]}
    ran = subprocess.run(
        ["node", "-e", PROGRAM], input=json.dumps(given), capture_output=True, text=True, check=True, cwd=VENDORS
    )
    assert json.loads(ran.stdout) == [True, True, False]
