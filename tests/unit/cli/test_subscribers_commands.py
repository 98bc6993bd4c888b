"""The commands about subscribers, on a state folder of this machine."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from deploy.config.running_dev import PRODUCTION_FILE
from functions.subscribe.credentials import read_api_key
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.subscribers.directory import Directory
from shared.subscribers.model import Endpoint
from tests.fakes.command import Command

CONFIG = """
sources: {shop: {auth: none}}
routes: [{name: all, to: customers}]
destinations: {customers: {subscribers: {tenant: data.account}}}
subscribers:
  portal: {name: Acme}
  limits: {endpoints: 3}
  event_types: {order.paid: {group: orders, description: An order is paid., examples: [{id: 1}]}}
"""
KEY = "0123456789abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def folder(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (config.parent / "state").mkdir()
    monkeypatch.setenv("SUBSCRIBERS_KEY", KEY)
    return config.parent


def stored(folder: Path, tenant: str) -> list[Endpoint]:
    async def read() -> list[Endpoint]:
        documents = LocalDocuments(folder / "state" / FILE_NAME)
        try:
            return list(await Directory(documents).endpoints(tenant))
        finally:
            documents.close()

    return asyncio.run(read())


def test_a_tenant_is_set_changed_shown_listed_and_deleted(command: Command) -> None:
    assert command("tenants", "list") == ""
    assert command.error == "no tenants\n"
    assert command("tenants", "set", "acme", "--name", "Acme", "--metadata", "plan=pro") == "acme: created\n"
    assert command("tenants", "set", "acme", "--email", "ops@acme.example") == "acme: updated\n"
    assert command("tenants", "set", "acme", "--name", "Acme") == "acme: unchanged\n"
    shown = command.json("tenants", "show", "acme")
    assert (shown["name"], shown["email"], shown["metadata"]) == ("Acme", "ops@acme.example", {"plan": "pro"})
    command("tenants", "set", "acme", "--metadata", "plan=")
    assert command.json("tenants", "show", "acme")["metadata"] == {}
    assert "acme    Acme  ops@acme.example" in command("tenants", "list")
    assert "Add --yes" in command("tenants", "delete", "acme")
    assert command.json("tenants", "list")["tenants"]
    assert "is deleted" in command("tenants", "delete", "acme", "--yes")
    command("tenants", "show", "acme", code=1)
    assert "there is no such tenant: acme" in command.error


def test_what_the_api_rejects_the_command_rejects_with_the_place_and_the_rule(command: Command) -> None:
    command("tenants", "set", "Acme Inc.", code=1)
    assert "a tenant's id has letters, digits, '_', '.' and '-'" in command.error
    command("tenants", "set", "acme", "--email", "nobody", code=1)
    assert command.error == "hookchain tenants set: /email: must be an email address, such as ops@example.com\n"


TENANTS = "id,name,email,metadata.plan\nacme,Acme,ops@acme.example,pro\nbeta,Beta,,\n"
ENDPOINTS = (
    "tenant,url,types,rate,header.X-Team,field.region,field.count,auth.kind,enabled\n"
    "acme,https://acme.example/in,order.* user.created,10/s,core,eu,7,,\n"
    "beta,https://beta.example/in,,,,,,bearer,no\n"
)


def test_tenants_and_endpoints_are_imported_after_a_dry_run_and_only_once(folder: Path, command: Command) -> None:
    (folder / "tenants.csv").write_text("\ufeff" + TENANTS, encoding="utf-8")
    (folder / "endpoints.csv").write_text(ENDPOINTS)
    printed = command("tenants", "import", str(folder / "tenants.csv"))
    assert "2 tenants: 2 would be created, 0 would be updated, 0 unchanged\nNothing was changed." in printed
    assert command.json("tenants", "list")["tenants"] == []
    assert command.json("tenants", "import", str(folder / "tenants.csv"), "--yes")["created"] == 2
    assert command.json("tenants", "import", str(folder / "tenants.csv"), "--yes")["unchanged"] == 2

    again = "acme,https://acme.example/in,user.*,,,,,,\n"
    (folder / "endpoints.csv").write_text(ENDPOINTS + again)
    printed = command("endpoints", "import", str(folder / "endpoints.csv"))
    assert "acme https://acme.example/in  would be created" in printed
    assert "acme https://acme.example/in  would be updated" in printed
    assert stored(folder, "acme") == []
    (folder / "endpoints.csv").write_text(ENDPOINTS)
    assert "2 created" in command("endpoints", "import", str(folder / "endpoints.csv"), "--yes")
    [endpoint] = stored(folder, "acme")
    assert (endpoint.types, endpoint.rate, endpoint.headers) == (
        ("order.*", "user.created"),
        "10/s",
        {"X-Team": "core"},
    )
    assert endpoint.fields == {"region": "eu", "count": 7}
    assert endpoint.secrets
    [other] = stored(folder, "beta")
    assert (other.auth.kind, other.disabled_by) == ("bearer", "operator")

    (folder / "endpoints.csv").write_text("tenant,url,rate,header.X-More\nacme,https://acme.example/in,5/s,yes\n")
    assert "1 updated" in command("endpoints", "import", str(folder / "endpoints.csv"), "--yes")
    [changed] = stored(folder, "acme")
    assert (changed.id, changed.rate, changed.types) == (endpoint.id, "5/s", endpoint.types)
    assert changed.headers == {"X-Team": "core", "X-More": "yes"}
    assert changed.secrets == endpoint.secrets
    assert "1 unchanged" in command("endpoints", "import", str(folder / "endpoints.csv"), "--yes")


def test_a_file_with_a_fault_changes_nothing_and_each_fault_has_its_line(folder: Path, command: Command) -> None:
    command("tenants", "set", "acme")
    rows = [
        "tenant,url,filter,header.Host",
        "acme,https://acme.example/in,,",
        "acme,ftp://acme.example/in,,",
        "nobody,https://acme.example/3,,",
        "acme,https://acme.example/4,,evil",
    ]
    (folder / "endpoints.csv").write_text("\n".join(rows) + "\n")
    command("endpoints", "import", str(folder / "endpoints.csv"), "--yes", code=1)
    found = re.findall(r"line (\d+): (\S+)", command.error)
    assert found == [("3", "/url:"), ("4", "there"), ("5", "/headers/Host:")]
    assert command.error.endswith("Nothing was imported.\n")
    assert stored(folder, "acme") == []


@pytest.mark.parametrize("tenant", ["..", "Not an id"])
def test_an_import_ends_after_twenty_faults_of_either_kind(folder: Path, command: Command, tenant: str) -> None:
    (folder / "tenants.csv").write_text("id\n" + f"{tenant}\n" * 30)
    command("tenants", "import", str(folder / "tenants.csv"), code=1)
    assert re.findall(r"line (\d+): ", command.error)[-1] == "21"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"name\nAcme\n", "line 1: must name a column 'id'; got name"),
        (b"id,mail\n", "line 1: there is no column 'mail'; did you mean 'email'?"),
        (b"id\n\xff\n", "must be UTF-8; byte 3 is not"),
        (b'id\n"acme', "is not CSV"),
        (b"id,id\n", "line 1: the column 'id' occurs twice"),
        (b"id,name\nacme\n", "line 2: must have 2 cells, as line 1 has; got 1"),
        (b"id,name\n,Acme\n", "line 2: id is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_why(folder: Path, command: Command, content: bytes, fault: str) -> None:
    (folder / "tenants.csv").write_bytes(content)
    command("tenants", "import", str(folder / "tenants.csv"), code=1)
    assert fault in command.error


def test_endpoints_are_listed_shown_disabled_and_enabled(folder: Path, command: Command) -> None:
    (folder / "tenants.csv").write_text(TENANTS)
    (folder / "endpoints.csv").write_text(ENDPOINTS)
    command("tenants", "import", str(folder / "tenants.csv"), "--yes")
    command("endpoints", "import", str(folder / "endpoints.csv"), "--yes")
    [endpoint] = stored(folder, "acme")
    name = f"acme:{endpoint.id}"
    assert f"{name}  enabled" in command("endpoints", "list", "acme")
    assert "disabled by operator" in command("endpoints", "list", "--disabled")
    assert command("endpoints", "disable", name) == f"{name}: disabled\n"
    assert "state        disabled by operator" in command("endpoints", "show", f"customers:{name}")
    command("endpoints", "show", endpoint.id, code=2)
    assert command("endpoints", "enable", name) == f"{name}: enabled\n"
    shown = command.json("endpoints", "show", name)
    assert (shown["enabled"], shown["tenant"]) == (True, "acme")


def test_event_types_are_imported_exported_and_documented(folder: Path, command: Command) -> None:
    types = folder / "types.yaml"
    types.write_text("order.sent: {group: orders, schema: {type: object}, examples: [{id: 2}]}\n")
    assert ": 1 would be created, 0 would be updated, 0 unchanged" in command("event-types", "import", str(types))
    assert command.json("event-types", "import", str(types), "--yes")["created"] == ["order.sent"]
    assert command.json("event-types", "import", str(types), "--yes")["unchanged"] == ["order.sent"]
    assert "order.paid  orders  configuration  An order is paid." in command("event-types", "list")
    assert '"id": 2' in command("event-types", "show", "order.sent")
    assert list(command.json("event-types", "export")["webhooks"]) == ["order.paid", "order.sent"]  # type: ignore[arg-type]
    command("event-types", "export", "--format", "json-schema", "--out", str(folder / "out.json"))
    assert "$defs" in json.loads((folder / "out.json").read_text())
    command("event-types", "docs", "--out", str(folder / "docs"))
    assert "<h1>Acme</h1>" in (folder / "docs" / "index.html").read_text()


def test_a_catalogue_with_faults_or_a_type_of_the_configuration_changes_nothing(folder: Path, command: Command) -> None:
    types = folder / "types.json"
    types.write_text('{"a": {"schema": {"type": "text"}}, "b c": {}}')
    command("event-types", "import", str(types), "--yes", code=1)
    assert "/a/schema: is not a JSON Schema" in command.error
    types.write_text('{"order.paid": {}, "order.sent": {}}')
    command("event-types", "import", str(types), "--yes", code=1)
    assert "is in the configuration" in command.error
    assert len(command.json("event-types", "list")["event_types"]) == 1  # type: ignore[arg-type]


def test_an_api_key_is_printed_once_and_only_its_hash_is_stored(folder: Path, command: Command) -> None:
    key = command("api-keys", "create", "--scope", "write", "--description", "the shop").strip()
    parts = read_api_key(key)
    assert parts
    assert key.encode() not in (folder / "state" / FILE_NAME).read_bytes()
    assert f"{parts.id}  write" in command("api-keys", "list")
    assert command("api-keys", "rotate", parts.id).strip() != key
    assert "would be deleted: the shop" in command("api-keys", "delete", parts.id)
    command("api-keys", "delete", parts.id, "--yes")
    command("api-keys", "delete", parts.id, "--yes", code=1)
    assert "there is no API key" in command.error


def test_a_portal_link_is_of_the_running_portal_and_can_be_revoked(command: Command) -> None:
    command("tenants", "set", "acme")
    link = command("portal-link", "acme", "--capabilities", "view,reveal-secret", "--expires", "1d").strip()
    assert link.startswith("http://127.0.0.1:8083/portal#token=hpt_")
    assert "invalid" in command("portal-link", "acme", "--revoke")
    command("portal-link", "nobody", code=1)
    assert "there is no such tenant" in command.error
    for arguments in (["--capabilities", "all"], ["--expires", "30d"], ["--expires", "never"]):
        command("portal-link", "acme", *arguments, code=2)


def test_beside_serve_the_commands_reject_what_the_api_rejects_and_links_have_the_public_url(
    command: Command, folder: Path, config: Path
) -> None:
    (folder / "state" / PRODUCTION_FILE).touch()
    config.write_text(CONFIG + "  public_url: https://hooks.acme.example\n")
    command("tenants", "set", "acme")
    assert "https://hooks.acme.example/portal#token=" in command("portal-link", "acme")
    (folder / "endpoints.csv").write_text("tenant,url\nacme,http://192.168.7.7/hook\n")
    command("endpoints", "import", str(folder / "endpoints.csv"), "--yes", code=1)
    assert stored(folder, "acme") == []
