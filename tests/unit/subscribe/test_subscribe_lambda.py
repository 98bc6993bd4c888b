"""Subscribe on AWS Lambda: a request to its Function URL in, the platform's response out, and a light start."""

import asyncio
import json
import subprocess
import sys

from functions.subscribe.lambda_handler import handle
from shared.http import Request
from shared.jsontext import JsonObject
from tests.aws.invoked import Context, url_event
from tests.fakes.subscribe_api import Subscribers
from tests.running.processes import ROOT


def invoke(api: Subscribers, request: Request) -> JsonObject:
    return handle(url_event(request), Context(), lambda: api.service)


def test_the_api_and_the_pages_are_behind_one_url() -> None:
    api = Subscribers()
    key = asyncio.run(api.key())
    headers = (("authorization", f"Bearer {key}"), ("content-type", "application/json"))
    made = invoke(api, Request("PUT", "/v1/tenants/acme", "", headers, b'{"name": "Acme"}'))
    assert made["statusCode"] == 200
    assert json.loads(str(made["body"]))["name"] == "Acme"
    listed = invoke(api, Request("GET", "/v1/tenants", "limit=1", headers))
    assert len(json.loads(str(listed["body"]))["items"]) == 1
    page = invoke(api, Request("GET", "/portal"))
    assert (page["statusCode"], page["isBase64Encoded"]) == (200, False)
    assert "content-security-policy" in page["headers"]  # type: ignore[operator] # an object
    assert invoke(api, Request("GET", "/v1/tenants"))["statusCode"] == 401


SCRIPT = """
import functions_framework.aio, sys
framework = set(sys.modules)
import functions.subscribe.main
print(*sys.modules.keys() - framework)
"""
HEAVY = ("cryptography", "jmespath", "jsonschema", "yaml", "ssl", "google", "functions.subscribe.handlers")


def test_the_start_imports_no_handler_and_nothing_for_ciphers_filters_or_schemas() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert not [
        module
        for module in done.stdout.split()
        if any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY)
    ]
