"""`hookchain explain` for subscribers: which endpoints on this machine would get the event, and why not the others."""

import asyncio
import os
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.jsontext import JsonObject, to_json
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from tests.fakes.command import Command

CONFIG: Final = """\
sources: {shop: {auth: none}}
routes: [{name: all, to: customers}]
destinations: {customers: {subscribers: {tenant: data.account, unknown_tenant: dead_letter}}}
subscribers: {verify: VERIFY, allow_private: true}
"""
ENDPOINTS: Final[tuple[dict[str, object], ...]] = (
    {"types": ["order.*"], "filter": "data.total > `100`"},
    {"types": ["invoice.*", "user.*"]},
    {"filter": "data.total > `1000`"},
    {"filter": "sum(data.name) > `1`"},
    {"disabled_by": "failures", "disabled_reason": "it answered 500"},
    {"is_verified": False},
)
REASONS: Final = (
    "yes",
    "no, it takes the types invoice.*, user.*",
    "no, its filter is not true: data.total > `1000`",
    "no, its filter fails: ",
    "no, it is disabled by failures: it answered 500",
    "no, it has not proven yet that it wants events",
)


def explained(command: Command, event: JsonObject, verify: str) -> str:
    Path("hookchain.yaml").write_text(CONFIG.replace("VERIFY", verify), encoding="utf-8")
    Path("body").write_text(to_json(event), encoding="utf-8")
    known = ("--config", "hookchain.yaml", "--env-file", os.devnull, "--source", "shop", "--file", "body")
    return command("explain", *known, "-H", "content-type: application/json")


async def keep(folder: Path) -> None:
    with closing(LocalDocuments(folder / FILE_NAME)) as documents:
        await documents.write(TENANTS, "acme", Tenant(id="acme").text())
        for number, fields in enumerate(ENDPOINTS):
            known = {"tenant": "acme", "url": f"https://{number}.example.com", "is_verified": True, **fields}
            endpoint = Endpoint.model_validate({"id": f"ep_{number:020}", **known})
            await documents.write(endpoints_of("acme"), endpoint.id, endpoint.text())


def test_each_endpoint_of_this_machine_is_named_with_the_reason_against_it(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deploy.cli.explain.checkout.state_folder", lambda: tmp_path)
    asyncio.run(keep(tmp_path))
    event: JsonObject = {"type": "order.paid", "account": ["acme", "bolt"], "total": 120, "name": "x"}
    text = explained(command, event, "challenge")
    for number, reason in enumerate(REASONS):
        assert f"ep_{number:020} https://{number}.example.com: {reason}" in text
    assert "Tenant 'acme': 1 of 6 endpoints would get it." in text
    assert "Tenant 'bolt' does not exist here: the event ends as the dead letter unknown_tenant." in text
    assert "https://5.example.com: yes" in explained(command, event, "none")
