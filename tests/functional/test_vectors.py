"""The genuine signed requests in ../shared/vectors, each through the real decision of receive."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.config.sections.catalogue import load_catalogue
from shared.jsontext import Json, JsonObject, mapping_at
from shared.signatures.signed_times import verify_timestamp
from tests.in_process.receiving import URL, Receiving
from tests.running.processes import ROOT

FOLDER = ROOT.parent / "shared" / "vectors"
FILES = sorted(path.stem for path in FOLDER.glob("*.json"))
TIMES = {"paypal-transmission-time": "rfc3339"}

PROVEN = frozenset({"", "malformed_body", "unsupported_content_type"})
"""Some bodies are proven and are no JSON; where the digest could be a longer body's, the content type must be right."""


def cases(folder: Path, name: str) -> list[JsonObject]:
    found: list[JsonObject] = json.loads((folder / "vectors" / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", FILES)
async def test_the_genuine_requests_come_out_as_their_source_says(inputs_folder: Path, name: str) -> None:
    for case in cases(inputs_folder, name):
        receiving = receiving_of(case)
        code = await receiving.code(headers_of(case), body_of(case), str(case["method"]))
        if case["expected_valid"]:
            assert code in PROVEN, case["id"]
        else:
            assert code in {"signature_mismatch", "timestamp_out_of_range", "password_mismatch"}, case["id"]


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(("generic", "cloudevents"))])
async def test_a_genuine_request_without_its_variant_named_is_accepted_too(inputs_folder: Path, name: str) -> None:
    offered = [offered.scheme.variant for offered in load_catalogue()[name].auth if not offered.on_request]
    for case in cases(inputs_folder, name):
        if case["expected_valid"] and case.get("variant", offered[0]) in offered:
            receiving = receiving_of({**case, "variant": None})
            code = await receiving.code(headers_of(case), body_of(case), str(case["method"]))
            assert code in PROVEN, case["id"]


async def test_the_published_answer_to_a_question_about_abuse_is_given(inputs_folder: Path) -> None:
    [case] = [case for case in cases(inputs_folder, "cloudevents_webhook") if "handshake" in case]
    reply = await receiving_of(case).reply("OPTIONS", headers_of(case))
    headers = dict(reply.headers)
    assert reply.status == 200
    assert headers["webhook-allowed-origin"] == "eventemitter.example.com"
    assert headers["webhook-allowed-rate"]


def receiving_of(case: JsonObject) -> Receiving:
    secret = str(case.get("secret") or case.get("public_key") or "unused-by-this-case")
    return Receiving(
        source_of(case, secret),
        {"the-secret": secret.partition(":")[2] if case["provider"] == "generic_basic" else secret},
        now_of(case),
        str(case.get("url", URL)),
        fetched_of(case),
        weak_allowed=True,
    )


def source_of(case: JsonObject, secret: str) -> dict[str, Json]:
    """As an operator writes it."""
    params = case.get("params")
    match case["provider"]:
        case "generic_basic":
            return {"auth": {"scheme": "basic", "username": secret.partition(":")[0], "secret": "the-secret"}}
        case "generic_hmac":
            assert isinstance(params, dict)
            return {"auth": {"scheme": "hmac", "secret": "the-secret", **params}}
        case "generic_token":
            return {"auth": {"scheme": "header", "header": case["header_name"], "secret": "the-secret"}}
        case "paypal":
            return {"provider": "paypal", "params": {"webhook_id": case["webhook_id"]}}
    source: dict[str, Json] = {"provider": case["provider"], "secret": "the-secret", "methods": ["POST", "PUT", "GET"]}
    return {**source, "variant": case["variant"]} if case.get("variant") else source


def now_of(case: JsonObject) -> float:
    """Where the case says no time, the one it was signed at."""
    now = case.get("now")
    if isinstance(now, int):
        return now
    for name, value in headers_of(case):
        if unit := TIMES.get(name.lower()):
            return verify_timestamp(value, 0, 1e12, unit)
    return 1_790_000_000


def fetched_of(case: JsonObject) -> Mapping[str, bytes]:
    headers = {name.lower(): value for name, value in headers_of(case)}
    if "certificate_pem" not in case:
        return {}
    return {headers["paypal-cert-url"]: str(case["certificate_pem"]).encode()}


def headers_of(case: JsonObject) -> list[tuple[str, str]]:
    headers = mapping_at(case["headers"])
    return [(name, str(value)) for name, value in headers.items()]


def body_of(case: JsonObject) -> bytes:
    if "body_base64" in case:
        return base64.b64decode(str(case["body_base64"]))
    return str(case["body"]).encode()
