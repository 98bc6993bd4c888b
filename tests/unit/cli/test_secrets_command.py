"""`hookchain secrets` over `.env` and over Google Secret Manager."""

import base64
import datetime
import stat
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from deploy.config.dotenv import read_dotenv
from deploy.secrets import backend
from deploy.secrets.backend import DotenvBackend
from shared.jsontext import JsonObject
from shared.secrets import split_values
from tests.fakes.command import Command, as_objects
from tests.gcloud.flags import faults, known_commands
from tests.gcloud.stub import StubGcloud
from tests.stand_ins.google_apis import StandIn

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
DELIVERING = CONFIG.replace("to: people", "to: [people, chat, crm]").replace("crm-key", "crm-signing") + (
    "  chat: {slack: {secret: slack-webhook}}\n"
)
STRONG = "a-long-and-random-value-1"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
SLACK_URL = "https://hooks.slack.com/services/T/B/x\n"


@pytest.fixture
def env_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECRETS_DIR", str(config.parent / "mounted"))
    return config.parent / ".env"


@pytest.fixture
def secrets(command: Command, env_file: Path) -> Command:
    return command.partial("secrets", after=("--env-file", str(env_file)))


def states(listed: JsonObject) -> dict[object, object]:
    return {each["name"]: each["state"] for each in as_objects(listed["secrets"])}


def test_a_value_from_standard_input_takes_its_place_and_nothing_else_changes(secrets: Command, env_file: Path) -> None:
    env_file.write_text("# mine\nA=1\nexport SHOP_PASSWORD='old\nolder'\n\nB=2\nSHOP_PASSWORD=again\nC=3\n")
    env_file.chmod(0o644)
    assert "its old value is no longer accepted" in secrets("set", "shop-password", stdin=STRONG + "\n")
    lines = env_file.read_text().split("\n")
    assert lines[:4] == ["# mine", "A=1", "", "B=2"]
    assert lines[4].startswith(f"SHOP_PASSWORD={STRONG} # set 20")
    assert lines[5:] == ["C=3", ""]
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert STRONG not in secrets.shown


def test_a_secret_can_have_the_name_of_an_action(secrets: Command, env_file: Path) -> None:
    secrets("set", "list", "--random")
    assert "LIST=" in env_file.read_text()


def test_a_pem_key_and_several_values_come_back_as_they_were(secrets: Command, env_file: Path) -> None:
    secrets("set", "shop-password", stdin=f"{PEM}{STRONG}\n")
    assert split_values(read_dotenv(env_file)["SHOP_PASSWORD"]) == (PEM, STRONG)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("shop-password", "", "is empty"),
        ("shop-password", "changeme", "is a placeholder"),
        ("shop-password", f" {STRONG}", "white space"),
        ("shop-password", "with\ta-tab-in-the-middle", "control character"),
        ("shop-password", f"{STRONG}\nsecret\n", "is a placeholder"),
        ("shop-password", "-----BEGIN KEY-----\nMIIE\n", "an incomplete PEM block"),
        ("shop-password", '{\n  "type": "service_account",\n', "an incomplete JSON object"),
        ("pay-key", "whsec_not base64!", "is not a key for standard-webhooks"),
        ("chat-key", "not a public key at all", "is not a key for ed25519"),
        ("bot-token", "a value with spaces and ü", "is rejected by the provider: it must match [A-Za-z0-9_-]{1,256}"),
        ("bot-token", "x" * 257, "is rejected by the provider"),
        ("hex-key", "this is not hexadecimal", "is not a key for hmac"),
        ("crm-key", "whsk_c2hvcnQ=", "is not a key for standard-webhooks"),
    ],
)
def test_a_value_that_protects_nothing_is_rejected(
    secrets: Command, env_file: Path, name: str, text: str, message: str
) -> None:
    secrets("set", name, code=1, stdin=text)
    assert message in secrets.error
    assert not env_file.exists()


@pytest.mark.parametrize(
    "arguments",
    ["shop-password hunter2hunter2", "shop-password=hunter2hunter2", "shop-password --value hunter2", "Hunter2hunter2"],
)
def test_a_value_is_never_an_argument_and_never_repeated(secrets: Command, env_file: Path, arguments: str) -> None:
    secrets("set", *arguments.split(), code=2)
    assert "hunter2" not in secrets.shown.lower()
    assert "never an argument" in secrets.error or "NAME: must be" in secrets.error
    assert not env_file.exists()


@pytest.mark.parametrize(("variant", "code"), [("", 0), (", variant: token", 0), (", variant: signing_token", 1)])
def test_a_value_that_one_variant_of_the_provider_can_use_is_accepted(
    secrets: Command, config: Path, variant: str, code: int
) -> None:
    config.write_text(CONFIG.replace("provider: discord", f"provider: gitlab{variant}"), encoding="utf-8")
    secrets("set", "chat-key", code=code, stdin="the-secret-token-of-a-webhook")


def test_two_secrets_that_are_set_at_once_are_both_stored(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DotenvBackend(env_file, {}, env_file.parent, datetime.date(2026, 12, 1))
    replace_file = backend._write_atomically
    with ThreadPoolExecutor(1) as pool:

        def replace_late(path: Path, text: str) -> None:
            monkeypatch.setattr(backend, "_write_atomically", replace_file)
            wait([pool.submit(store.write, "second", STRONG, False)], timeout=0.2)
            replace_file(path, text)

        monkeypatch.setattr(backend, "_write_atomically", replace_late)
        store.write("first", STRONG, False)
    assert read_dotenv(env_file) == {"FIRST": STRONG, "SECOND": STRONG}


def test_a_typed_value_is_asked_for_twice(secrets: Command, env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    given = iter([STRONG, "another-one-altogether", STRONG, STRONG])
    monkeypatch.setattr("getpass.getpass", lambda _: next(given))
    secrets("set", "shop-password", code=1)
    assert "the two values differ" in secrets.error
    secrets("set", "shop-password")
    assert read_dotenv(env_file) == {"SHOP_PASSWORD": STRONG}


def test_a_random_key_for_standard_webhooks_can_sign(secrets: Command, env_file: Path) -> None:
    assert f"PAY_KEY in {env_file}" in secrets("set", "pay-key", "--random")
    value = read_dotenv(env_file)["PAY_KEY"]
    assert value.startswith("whsec_")
    assert len(base64.b64decode(value.removeprefix("whsec_"))) == 24
    assert value not in secrets.shown


def test_a_rotation_keeps_the_old_value_until_it_is_ended(secrets: Command, env_file: Path) -> None:
    env_file.write_text("SHOP_PASSWORD='older-value-number-two\nold-value-number-three'\n")
    secrets("rotate", "shop-password", stdin=STRONG)
    assert split_values(read_dotenv(env_file)["SHOP_PASSWORD"]) == (STRONG, "older-value-number-two")
    secrets("rotate", "shop-password", "--drop-old")
    assert read_dotenv(env_file)["SHOP_PASSWORD"] == STRONG
    secrets("rotate", "shop-password", "--drop-old", code=1)


def test_a_key_with_which_endpoints_secrets_may_be_encrypted_is_never_dropped(
    secrets: Command, config: Path, env_file: Path
) -> None:
    config.write_text(
        "sources: {shop: {auth: none}}\nroutes: [{name: all, to: customers}]\n"
        "destinations: {customers: {subscribers: {tenant: data.account}}}\nsubscribers: {}\n"
    )
    for action in ("set", "rotate", "rotate", "set"):
        assert "--drop-old" not in secrets(action, "subscribers-key", "--random")
    secrets("rotate", "subscribers-key", "--drop-old", code=1)
    assert "may be encrypted with it" in secrets.error
    assert len(split_values(read_dotenv(env_file)["SUBSCRIBERS_KEY"])) == 4


def test_a_name_that_the_configuration_has_not_is_accepted_with_a_warning(secrets: Command) -> None:
    secrets("set", "shop-pasword", "--random")
    assert "did you mean 'shop-password'?" in secrets.error


def test_a_variable_in_the_shell_that_counts_before_the_file_is_reported(
    secrets: Command, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "from-the-shell-long-enough")
    output = secrets("set", "shop-password", "--random")
    assert "the shell's SHOP_PASSWORD overrides it" in output
    assert "a running `hookchain dev` reads it within a few seconds" in output
    before = env_file.read_text()
    secrets("set", "shop-password", "--random", code=1)
    assert "has other values, and the shell's SHOP_PASSWORD overrides them; nothing was" in secrets.error
    assert env_file.read_text() == before


def test_a_mounted_file_that_cannot_be_read_is_reported_with_the_reason(secrets: Command, env_file: Path) -> None:
    mounted = env_file.parent / "mounted" / "shop-password"
    mounted.parent.mkdir()
    mounted.write_bytes(b"\xff")
    secrets("list", code=1)
    assert "shop-password: cannot be read: it is not UTF-8\n" in secrets.error
    secrets("rotate", "shop-password", "--random", code=1)
    assert "shop-password cannot be read: it is not UTF-8" in secrets.error
    assert not env_file.exists()


@pytest.mark.parametrize("option", ["--drop-old", "--random"])
def test_a_mounted_secret_is_not_called_rotated(secrets: Command, env_file: Path, option: str) -> None:
    mounted = env_file.parent / "mounted" / "shop-password"
    mounted.parent.mkdir()
    mounted.write_text(f"{STRONG}\nan-older-one-that-is-long")
    secrets("rotate", "shop-password", option, code=1)
    assert f"{mounted} overrides .env, where the command stores values. Change the secret there" in secrets.error
    assert not env_file.exists()
    assert "no longer accepted" not in secrets("set", "shop-password", stdin=f"{STRONG}2\n")


def test_the_list_says_what_is_needed_and_never_a_value(secrets: Command, env_file: Path) -> None:
    env_file.write_text(f"SHOP_PASSWORD='{STRONG}\nan-older-one-that-is-long' # set 2026-01-01\nPAY_KEY=changeme\n")
    listed = secrets.json("list", code=1)
    assert STRONG not in secrets.shown
    found = states(listed)
    assert (found["shop-password"], found["pay-key"], found["sendgrid-api-key"]) == ("present", "weak", "not needed")
    [shop] = [each for each in as_objects(listed["secrets"]) if each["name"] == "shop-password"]
    assert (shop["values"], str(shop["set_at"])[:10]) == (2, "2026-01-01")
    secrets("list", code=1)
    assert STRONG not in secrets.shown
    assert "pay-key: the value is a placeholder" in secrets.error


def test_the_list_names_the_credentials_that_destinations_need_and_the_keys_that_their_receivers_need(
    secrets: Command, config: Path, env_file: Path
) -> None:
    config.write_text(DELIVERING, encoding="utf-8")
    secrets("set", "crm-signing", "--random")
    secrets("list", code=1)
    held = "slack-webhook: deliveries to destination chat are held until you set it: hookchain secrets set slack"
    assert held in secrets.error
    assert f"crm-signing: the receiver of destination crm needs it. To read it: CRM_SIGNING in {env_file}" in (
        secrets.error
    )
    env_file.write_text(f"{env_file.read_text()}SLACK_WEBHOOK={SLACK_URL}")
    secrets("list")


def test_a_credential_that_was_missing_is_set_and_what_is_held_is_resumed(secrets: Command, config: Path) -> None:
    config.write_text(DELIVERING, encoding="utf-8")
    assert "send them now: hookchain resume chat" in secrets("set", "slack-webhook", stdin=SLACK_URL)
    assert "hookchain resume" not in secrets("set", "crm-signing", stdin="whsec_" + "A" * 32 + "\n")


def test_a_random_credential_is_rejected(secrets: Command, config: Path, env_file: Path) -> None:
    config.write_text(DELIVERING, encoding="utf-8")
    secrets("set", "slack-webhook", "--random", code=1)
    assert "destination chat needs the value that the other system issued" in secrets.error
    assert not env_file.exists()


# Google Secret Manager

PROJECT = "acme-hooks"
SECRETS = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-"


@pytest.fixture
def on_gcp(secrets: Command, env_file: Path, signed_in: None, google: StandIn) -> Command:
    target = ("--platform", "gcp", "--project", PROJECT)
    return secrets.partial("secrets", after=("--env-file", str(env_file), *target))


def there(google: StandIn, name: str, *values: str) -> None:
    path = f"{SECRETS}{name}/versions/latest"
    full = f"projects/1/secrets/hookchain-{name}/versions/1"
    google.answers(path, {"name": full, "state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    data = base64.b64encode("\n".join(values).encode()).decode()
    google.answers(f"{path}:access", {"name": full, "payload": {"data": data}})


def command_lines(gcloud: StubGcloud) -> list[str]:
    left_out = {"--quiet", f"--project={PROJECT}"}
    calls = [call.arguments for call in gcloud.calls if call.arguments[0] != "auth"]
    return [" ".join(word for word in arguments if word not in left_out) for arguments in calls]


def test_a_new_secret_is_made_with_its_value_on_standard_input(on_gcp: Command, gcloud: StubGcloud) -> None:
    gcloud.answers("secrets versions add", code=1, stderr="ERROR: NOT_FOUND: Secret [x] not found")
    gcloud.answers("secrets create", code=0)
    on_gcp("set", "shop-password", stdin=STRONG)
    assert command_lines(gcloud)[-1] == (
        "secrets create hookchain-shop-password --labels=hookchain=hookchain --data-file=- "
        "--replication-policy=user-managed --locations=europe-west1"
    )
    assert gcloud.calls[-1].stdin == STRONG
    assert not any(STRONG in word for call in gcloud.calls for word in call.arguments)


def test_a_secret_of_another_bundle_is_left_alone(on_gcp: Command, gcloud: StubGcloud, google: StandIn) -> None:
    google.answers(f"{SECRETS}shop-password", {"name": "x", "labels": {"hookchain": "hookchain-shop"}})
    on_gcp("set", "shop-password", code=1, stdin=STRONG)
    assert "has the label of the deployment 'hookchain-shop'" in on_gcp.error
    assert command_lines(gcloud) == []


def test_a_rotation_on_google_adds_a_version_and_disables_the_old_one(
    on_gcp: Command, gcloud: StubGcloud, google: StandIn
) -> None:
    there(google, "shop-password", "the-value-until-now-1")
    gcloud.answers("secrets versions add")
    versions = [{"name": f"projects/1/secrets/s/versions/{n}", "state": "ENABLED"} for n in (10, 9)]
    gcloud.answers("secrets versions list", [*versions, {"name": "x/versions/8", "state": "DESTROYED"}])
    gcloud.answers("secrets versions disable 9 --secret=hookchain-shop-password")
    output = on_gcp("rotate", "shop-password", stdin=STRONG)
    [added] = [call for call in gcloud.calls if call.arguments[:3] == ("secrets", "versions", "add")]
    assert split_values(added.stdin) == (STRONG, "the-value-until-now-1")
    assert f"hookchain secrets rotate shop-password --drop-old --platform gcp --project {PROJECT}\n" in output
    assert STRONG not in output


def test_gcloud_has_every_command_that_is_run(
    on_gcp: Command, gcloud: StubGcloud, google: StandIn, inputs_folder: Path
) -> None:
    there(google, "shop-password", STRONG, "the-value-until-now-1")
    gcloud.answers("secrets versions add", code=1, stderr="NOT_FOUND")
    gcloud.answers("secrets versions add", code=1, stderr="SERVICE_DISABLED")
    gcloud.answers("secrets versions list", [{"name": f"x/versions/{n}", "state": "ENABLED"} for n in (2, 1)])
    for line in ("versions add", "create", "versions disable", "versions destroy"):
        gcloud.answers(f"secrets {line}")
    gcloud.answers("services enable")
    for action, option in (("set", "--random"), ("rotate", "--random"), ("rotate", "--drop-old")):
        on_gcp(action, "shop-password", option)
    known = known_commands(inputs_folder)
    assert [fault for call in gcloud.calls for fault in faults(call.arguments, known)] == []
    run = {" ".join(call.arguments[:4]) for call in gcloud.calls}
    assert {"secrets versions destroy 1", "secrets versions disable 1"} < run


def test_a_failing_gcloud_is_reported_with_its_command_and_without_a_value(on_gcp: Command, gcloud: StubGcloud) -> None:
    gcloud.answers("secrets versions add", code=1, stderr="ERROR: PERMISSION_DENIED: secretmanager.versions.add")
    on_gcp("set", "shop-password", code=1, stdin=STRONG)
    assert "PERMISSION_DENIED" in on_gcp.error
    assert "gcloud secrets versions add hookchain-shop-password --data-file=-" in on_gcp.error
    assert STRONG not in on_gcp.error


def test_a_secret_that_may_not_be_read_is_not_taken_for_missing(on_gcp: Command, google: StandIn) -> None:
    there(google, "shop-password", STRONG)
    path = f"{SECRETS}pay-key/versions/latest"
    google.answers(path, {"name": "x/versions/1", "state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    google.refuses(f"{path}:access", 403, "IAM_PERMISSION_DENIED")
    found = states(on_gcp.json("list", code=1))
    assert (found["pay-key"], found["shop-password"], found["hex-key"]) == ("unreadable", "present", "missing")
