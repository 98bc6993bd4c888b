"""`hookchain secrets` over `.env` and over Google Secret Manager."""

import base64
import io
import json
import stat
import sys
from pathlib import Path

import pytest

from deploy.config.dotenv import read_dotenv
from shared.secrets import split_values
from tests.gcloud_flags import faults, known_commands
from tests.google_stand_in import StandIn
from tests.stub_gcloud import StubGcloud
from tests.unit.cli.secrets.typed import CONFIG, STRONG, run, typed

PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"


def test_a_value_from_standard_input_takes_its_place_and_nothing_else_changes(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env_file.write_text("# mine\nA=1\nexport SHOP_PASSWORD='old\nolder'\n\nB=2\nSHOP_PASSWORD=again\nC=3\n")
    env_file.chmod(0o644)
    typed(monkeypatch, STRONG + "\n")
    assert run(env_file, "set", "shop-password") == 0
    lines = env_file.read_text().split("\n")
    assert lines[:4] == ["# mine", "A=1", "", "B=2"]
    assert lines[4].startswith(f"SHOP_PASSWORD={STRONG} # set 20")
    assert lines[5:] == ["C=3", ""]
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    output = capsys.readouterr()
    assert STRONG not in output.out + output.err
    assert "its old value is no longer accepted" in output.out


def test_a_pem_key_and_several_values_come_back_as_they_were(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, f"{PEM}{STRONG}\n")
    assert run(env_file, "set", "shop-password") == 0
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
    env_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    message: str,
) -> None:
    typed(monkeypatch, text)
    assert run(env_file, "set", name) == 1
    assert message in capsys.readouterr().err
    assert not env_file.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "shop-password", "hunter2hunter2"),
        ("set", "shop-password=hunter2hunter2"),
        ("set", "shop-password", "--value", "hunter2hunter2"),
        ("set", "Hunter2hunter2"),
    ],
)
def test_a_value_is_never_an_argument_and_never_repeated(
    env_file: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(env_file, *arguments)
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert "hunter2" not in (output.out + output.err).lower()
    assert "never an argument" in output.err or "NAME: must be" in output.err
    assert not env_file.exists()


def test_a_typed_value_is_asked_for_twice(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    given = iter([STRONG, "another-one-altogether", STRONG, STRONG])
    monkeypatch.setattr("getpass.getpass", lambda _: next(given))
    assert run(env_file, "set", "shop-password") == 1
    assert "the two values differ" in capsys.readouterr().err
    assert run(env_file, "set", "shop-password") == 0
    assert read_dotenv(env_file) == {"SHOP_PASSWORD": STRONG}


def test_a_random_key_for_standard_webhooks_can_sign(env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(env_file, "set", "pay-key", "--random") == 0
    value = read_dotenv(env_file)["PAY_KEY"]
    assert value.startswith("whsec_")
    assert len(base64.b64decode(value.removeprefix("whsec_"))) == 24
    output = capsys.readouterr()
    assert value not in output.out + output.err
    assert f"PAY_KEY in {env_file}" in output.out


def test_a_rotation_keeps_the_old_value_until_it_is_ended(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("SHOP_PASSWORD='older-value-number-two\nold-value-number-three'\n")
    typed(monkeypatch, STRONG)
    assert run(env_file, "rotate", "shop-password") == 0
    assert split_values(read_dotenv(env_file)["SHOP_PASSWORD"]) == (STRONG, "older-value-number-two")
    assert run(env_file, "rotate", "shop-password", "--drop-old") == 0
    assert read_dotenv(env_file)["SHOP_PASSWORD"] == STRONG
    assert run(env_file, "rotate", "shop-password", "--drop-old") == 1


def test_a_name_that_the_configuration_has_not_is_accepted_with_a_warning(
    env_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(env_file, "set", "shop-pasword", "--random") == 0
    assert "did you mean 'shop-password'?" in capsys.readouterr().err


def test_a_variable_in_the_shell_that_counts_before_the_file_is_reported(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "from-the-shell-long-enough")
    assert run(env_file, "set", "shop-password", "--random") == 0
    output = capsys.readouterr().out
    assert "the shell's SHOP_PASSWORD overrides it" in output
    assert "a running `hookchain dev` reads it within a few seconds" in output
    before = env_file.read_text()
    assert run(env_file, "set", "shop-password", "--random") == 1
    assert "has other values, and the shell's SHOP_PASSWORD overrides them; nothing was" in capsys.readouterr().err
    assert env_file.read_text() == before


def test_a_mounted_file_that_cannot_be_read_is_reported_with_the_reason(
    env_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "shop-password").write_bytes(b"\xff")
    assert run(env_file, "list") == 1
    assert "shop-password: cannot be read: it is not UTF-8\n" in capsys.readouterr().err
    assert run(env_file, "rotate", "shop-password", "--random") == 1
    assert "shop-password cannot be read: it is not UTF-8" in capsys.readouterr().err
    assert not env_file.exists()


def test_the_list_says_what_is_needed_and_never_a_value(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env_file.write_text(f"SHOP_PASSWORD='{STRONG}\nan-older-one-that-is-long' # set 2026-01-01\nPAY_KEY=changeme\n")
    assert run(env_file, "list", "--json") == 1
    text = capsys.readouterr().out
    assert STRONG not in text
    listed = {each["name"]: each for each in json.loads(text)["secrets"]}
    assert (listed["shop-password"]["state"], listed["shop-password"]["values"]) == ("present", 2)
    assert listed["shop-password"]["set_at"].startswith("2026-01-01")
    assert listed["pay-key"]["state"] == "weak"
    assert listed["sendgrid-api-key"]["state"] == "not needed"
    assert run(env_file, "list") == 1
    output = capsys.readouterr()
    assert STRONG not in output.out + output.err
    assert "pay-key: the value is a placeholder" in output.err


DELIVERING = CONFIG.replace("to: people", "to: [people, chat, crm]").replace("crm-key", "crm-signing") + (
    "  chat: {slack: {secret: slack-webhook}}\n"
)


def test_the_list_names_the_credentials_that_destinations_need_and_the_keys_that_their_receivers_need(
    env_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (env_file.parent / "hookchain.yaml").write_text(DELIVERING, encoding="utf-8")
    assert run(env_file, "set", "crm-signing", "--random") == 0
    capsys.readouterr()
    assert run(env_file, "list") == 1
    shown = capsys.readouterr().err
    assert (
        "slack-webhook: deliveries to destination chat are held until you set it: hookchain secrets set slack" in shown
    )
    assert f"crm-signing: the receiver of destination crm needs it. To read it: CRM_SIGNING in {env_file}" in shown
    env_file.write_text(f"{env_file.read_text()}SLACK_WEBHOOK=https://hooks.slack.com/services/T/B/x\n")
    assert run(env_file, "list") == 0


def test_a_credential_that_was_missing_is_set_and_what_is_held_is_resumed(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (env_file.parent / "hookchain.yaml").write_text(DELIVERING, encoding="utf-8")
    for name, is_named in (("slack-webhook", True), ("crm-signing", False)):
        typed(monkeypatch, "https://hooks.slack.com/services/T/B/x\n" if is_named else "whsec_" + "A" * 32 + "\n")
        assert run(env_file, "set", name) == 0
        assert ("send them now: hookchain resume chat" in capsys.readouterr().out) is is_named


def test_a_random_credential_is_rejected(env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (env_file.parent / "hookchain.yaml").write_text(DELIVERING, encoding="utf-8")
    assert run(env_file, "set", "slack-webhook", "--random") == 1
    assert "destination chat needs the value that the other system issued" in capsys.readouterr().err
    assert not env_file.exists()


# Google Secret Manager

PROJECT = "acme-hooks"
SECRETS = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-"


# Google Secret Manager


@pytest.fixture
def gcloud(gcloud: StubGcloud) -> StubGcloud:
    gcloud.answers("auth print-access-token", "ya29.token\n")
    return gcloud


def there(google: StandIn, name: str, *values: str, version: int = 1) -> None:
    path = f"{SECRETS}{name}/versions/latest"
    full = f"projects/1/secrets/hookchain-{name}/versions/{version}"
    google.answers(path, {"name": full, "state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    data = base64.b64encode("\n".join(values).encode()).decode()
    google.answers(f"{path}:access", {"name": full, "payload": {"data": data}})


def on_gcp(env_file: Path, *arguments: str) -> int:
    return run(env_file, *arguments, "--platform", "gcp", "--project", PROJECT)


def command_lines(gcloud: StubGcloud) -> list[str]:
    kept = [call.arguments for call in gcloud.calls if call.arguments[0] != "auth"]
    return [
        " ".join(word for word in arguments if word not in {"--quiet", f"--project={PROJECT}"}) for arguments in kept
    ]


def test_a_new_secret_is_made_with_its_value_on_standard_input(
    env_file: Path, gcloud: StubGcloud, google: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcloud.answers("secrets versions add", code=1, stderr="ERROR: NOT_FOUND: Secret [x] not found")
    gcloud.answers("secrets create", code=0)
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "set", "shop-password") == 0
    assert command_lines(gcloud)[-1] == (
        "secrets create hookchain-shop-password --labels=hookchain=hookchain --data-file=- "
        "--replication-policy=user-managed --locations=europe-west1"
    )
    assert gcloud.calls[-1].stdin == STRONG
    assert not any(STRONG in word for call in gcloud.calls for word in call.arguments)


def test_a_secret_of_another_bundle_is_left_alone(
    env_file: Path,
    gcloud: StubGcloud,
    google: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    google.answers(f"{SECRETS}shop-password", {"name": "x", "labels": {"hookchain": "hookchain-shop"}})
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "set", "shop-password") == 1
    assert "has the label of the deployment 'hookchain-shop'" in capsys.readouterr().err
    assert command_lines(gcloud) == []


def test_a_rotation_on_google_adds_a_version_and_disables_the_old_one(
    env_file: Path,
    gcloud: StubGcloud,
    google: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there(google, "shop-password", "the-value-until-now-1")
    gcloud.answers("secrets versions add")
    versions = [{"name": f"projects/1/secrets/s/versions/{n}", "state": "ENABLED"} for n in (10, 9)]
    gcloud.answers("secrets versions list", [*versions, {"name": "x/versions/8", "state": "DESTROYED"}])
    gcloud.answers("secrets versions disable 9 --secret=hookchain-shop-password")
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "rotate", "shop-password") == 0
    [added] = [call for call in gcloud.calls if call.arguments[:3] == ("secrets", "versions", "add")]
    assert split_values(added.stdin) == (STRONG, "the-value-until-now-1")
    output = capsys.readouterr().out
    assert f"hookchain secrets rotate shop-password --drop-old --platform gcp --project {PROJECT}\n" in output
    assert STRONG not in output


def test_gcloud_has_every_command_that_is_run(
    env_file: Path, gcloud: StubGcloud, google: StandIn, inputs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(google, "shop-password", STRONG, "the-value-until-now-1")
    gcloud.answers("secrets versions add", code=1, stderr="NOT_FOUND")
    gcloud.answers("secrets versions add", code=1, stderr="SERVICE_DISABLED")
    gcloud.answers("secrets versions add")
    gcloud.answers("secrets create")
    gcloud.answers("services enable")
    gcloud.answers("secrets versions list", [{"name": f"x/versions/{n}", "state": "ENABLED"} for n in (2, 1)])
    gcloud.answers("secrets versions disable")
    gcloud.answers("secrets versions destroy")
    for arguments in (["set", "--random"], ["rotate", "--random"], ["rotate", "--drop-old"]):
        assert on_gcp(env_file, arguments[0], "shop-password", arguments[1]) == 0
    known = known_commands(inputs_folder)
    assert [fault for call in gcloud.calls for fault in faults(call.arguments, known)] == []
    run = {" ".join(call.arguments[:4]) for call in gcloud.calls}
    assert {"secrets versions destroy 1", "secrets versions disable 1"} < run


def test_a_failing_gcloud_is_reported_with_the_command_and_without_the_value(
    env_file: Path,
    gcloud: StubGcloud,
    google: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gcloud.answers("secrets versions add", code=1, stderr="ERROR: PERMISSION_DENIED: secretmanager.versions.add")
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "set", "shop-password") == 1
    output = capsys.readouterr().err
    assert "PERMISSION_DENIED" in output
    assert "gcloud secrets versions add hookchain-shop-password --data-file=-" in output
    assert STRONG not in output


def test_a_secret_that_may_not_be_read_is_not_taken_for_missing(
    env_file: Path, gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    there(google, "shop-password", STRONG)
    path = f"{SECRETS}pay-key/versions/latest"
    google.answers(path, {"name": "x/versions/1", "state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    google.refuses(f"{path}:access", 403, "IAM_PERMISSION_DENIED")
    assert on_gcp(env_file, "list", "--json") == 1
    states = {each["name"]: each["state"] for each in json.loads(capsys.readouterr().out)["secrets"]}
    assert (states["pay-key"], states["shop-password"], states["hex-key"]) == ("unreadable", "present", "missing")
