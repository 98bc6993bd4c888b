"""The setup of the supervisor: its settings, before the start and after a change of the configuration."""

import json
import re
import resource
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from deploy.cli.dev import find_warnings
from deploy.cli.main import main
from deploy.config import dotenv
from deploy.config.checkout import EXAMPLE_CONFIG, OWN_CONFIG, OWN_CONFIGS
from deploy.config.config_file import Fault
from deploy.config.dotenv_warnings import dotenv_warnings
from deploy.config.local_ports import PortsTaken, require_free
from deploy.dev.supervisor import start
from deploy.dev.supervisor.banner import banner, changed_lines, trial_without_secret
from deploy.dev.supervisor.options import Options, parse_options
from deploy.dev.supervisor.output import Output, with_secret_note
from deploy.dev.supervisor.processes import Folders
from deploy.dev.supervisor.reloader import changes, snapshot
from deploy.dev.supervisor.runner import ReaperLink
from deploy.dev.supervisor.setup import CAUGHT_FROM, Setup, generated_values, secret_notes, set_up
from deploy.dev.supervisor.supervisor import Supervisor
from deploy.history.local_requests import WHY
from deploy.secrets.local_secrets import WeakSecret, find_gaps
from deploy.terminal.log_view import LogView
from functions.receive.diagnosis.signatures import TOO_LARGE
from shared.jsontext import to_json

CONFIG = """
sources:
  form:
    auth: {scheme: basic, username: web, secret: form-password}
routes:
  - {name: tell, from: all, to: list}
destinations:
  list:
    email: {to: [ann@example.com], subject: New}
"""
SIGNED = CONFIG.replace("routes:", "  payments:\n    auth: {scheme: standard-webhooks, secret: pay-key}\nroutes:")

SetUp = Callable[[Mapping[str, str]], Setup]


@pytest.fixture
def settle(tmp_path: Path) -> SetUp:
    for folder in ("deploy", "state"):
        (tmp_path / folder).mkdir()
    (tmp_path / EXAMPLE_CONFIG).write_text(CONFIG, encoding="utf-8")
    folders = Folders(tmp_path, tmp_path / "state", tmp_path / "sockets")
    return lambda environ: set_up(
        parse_options([], environ, tmp_path, is_terminal=False),
        {"SECRETS_DIR": str(tmp_path / "none"), **environ},
        folders,
    )


@pytest.mark.parametrize("name", OWN_CONFIGS)
def test_a_configuration_that_is_written_later_is_noticed_and_used(settle: SetUp, tmp_path: Path, name: Path) -> None:
    before = settle({})
    seen = snapshot(before.configuration.files)
    (tmp_path / name).write_text(SIGNED, encoding="utf-8")
    assert changes(seen, snapshot(before.configuration.files)) == (tmp_path / name,)
    assert settle({}).configuration.path == tmp_path / name


def test_without_its_configuration_the_example_is_served_until_it_is_back(settle: SetUp, tmp_path: Path) -> None:
    own = tmp_path / OWN_CONFIG
    own.write_text(SIGNED, encoding="utf-8")
    assert own in settle({}).configuration.files
    own.unlink()
    after = settle({})
    assert after.configuration.path == tmp_path / EXAMPLE_CONFIG
    assert own in after.configuration.files


def test_a_new_source_and_a_generated_secret_are_named_without_its_value(settle: SetUp, tmp_path: Path) -> None:
    before = settle({})
    (tmp_path / OWN_CONFIG).write_text(SIGNED, encoding="utf-8")
    after = settle({})
    lines = changed_lines(before, after)
    assert [line for line in lines if not line.startswith("warning: ")] == [
        f"Configuration: {tmp_path / OWN_CONFIG}",
        "Send webhooks to http://127.0.0.1:8080/payments  a Standard Webhooks signature made with PAY_KEY",
        f"Missing secrets were generated into {tmp_path / '.env'}: PAY_KEY",
    ]
    assert after.environ["PAY_KEY"] not in "".join(lines)


LOCAL_ONLY = """
  crm:
    webhook: {url: "http://localhost:9999/in", secret: crm-key, allow_private: true}
  unused:
    email: {to: [bob@example.com]}
"""


def warnings_of(setup: Setup) -> list[Fault]:
    file = setup.configuration.own_file
    return find_warnings(file, setup.environ, setup.options.env_file) if file else []


def test_a_start_counts_the_warnings_of_lint(settle: SetUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert warnings_of(settle({})) == []  # the example is not the operator's own
    config = tmp_path / OWN_CONFIG
    config.write_text(f"{CONFIG.rstrip()}{LOCAL_ONLY}", encoding="utf-8")
    setup = settle({})
    main(["lint", "--config", str(config), "--env-file", str(tmp_path / ".env")])
    printed = capsys.readouterr().err.count("warning: ")
    assert printed > 2
    shown = banner(setup, 1.0, warnings_of(setup))
    assert re.search(rf"\n  The configuration has {printed} warnings\. Run: .*hookchain lint\n", shown)


async def test_a_change_prints_the_warnings_that_are_new(settle: SetUp, tmp_path: Path) -> None:
    config = tmp_path / OWN_CONFIG
    config.write_text(CONFIG, encoding="utf-8")
    before = settle({})
    supervisor = Supervisor(before, ReaperLink(tmp_path / "sockets"), 0.0, find_warnings)
    assert [each.rule for each in await supervisor.new_warnings()]
    config.write_text(f"# moved\n{CONFIG.rstrip()}{LOCAL_ONLY}", encoding="utf-8")
    supervisor.setup = settle({})
    new = await supervisor.new_warnings()
    supervisor.output.close()
    line = f"warning: {config}:13: destination 'unused': no route leads to it"
    assert line in changed_lines(before, supervisor.setup, new)
    assert await supervisor.new_warnings() == []


def with_sources(*sources: str) -> str:
    return CONFIG.replace(
        "  form:\n    auth: {scheme: basic, username: web, secret: form-password}\n", "".join(sources)
    )


FORM = "  form: {auth: {scheme: basic, username: web, secret: form-password}}\n"
GITHUB = "  code: {provider: github, secret: github-secret}\n"
OTHER_GITHUB = "  other: {provider: github, secret: other-secret}\n"
SNS = "  alarms: {provider: aws_sns, params: {topics: ['arn:aws:sns:eu-west-1:1:t']}}\n"
LINK = "  enroll: {auth: {scheme: link, secret: link-key}, methods: [GET]}\n"


@pytest.mark.parametrize(
    ("sources", "command"),
    [
        ([GITHUB], "hookchain trigger github"),
        ([GITHUB, OTHER_GITHUB], "hookchain trigger github --source code"),
        ([LINK], "hookchain link enroll event=password_created"),
    ],
)
def test_the_command_fits_the_configuration(settle: SetUp, tmp_path: Path, sources: list[str], command: str) -> None:
    (tmp_path / OWN_CONFIG).write_text(with_sources(*sources), encoding="utf-8")
    setup = settle({})
    assert trial_without_secret(setup).endswith(command)
    assert f"Try it:\n    {trial_without_secret(setup)}\n" in banner(setup, 1.0)


def test_the_banner_says_why_no_example_can_be_sent_unless_another_source_can_be_tried(
    settle: SetUp, tmp_path: Path
) -> None:
    profiles = "  profiles: {auth: none, body: plist}\n"
    (tmp_path / OWN_CONFIG).write_text(with_sources(profiles), encoding="utf-8")
    setup = settle({})
    shown = banner(setup, 1.0)
    assert "\n  No example can be made for the source 'profiles': its `body` is plist. " in shown
    assert "Try it" not in shown
    assert not trial_without_secret(setup)
    (tmp_path / OWN_CONFIG).write_text(with_sources(profiles, GITHUB), encoding="utf-8")
    assert trial_without_secret(settle({})).endswith("hookchain trigger github")


def test_the_banner_names_generated_and_short_secrets(settle: SetUp, tmp_path: Path) -> None:
    shown = banner(settle({}), 1.0)
    assert f"Missing secrets were generated into {tmp_path / '.env'}, a new file: FORM_PASSWORD" in shown
    assert "Mails are caught and shown on the page, not sent. Press Ctrl-C to stop." in shown
    short = banner(settle({"FORM_PASSWORD": "k7#mQ2!x"}), 1.0)
    assert "These secrets are short enough to guess: FORM_PASSWORD. Use at least 16 random characters, such as" in short


def test_the_banner_says_how_to_make_a_portal_link_and_a_key_for_the_api(settle: SetUp, tmp_path: Path) -> None:
    text = CONFIG.replace(
        "destinations:", "subscribers: {}\ndestinations:\n  customers: {subscribers: {tenant: data.accountId}}"
    )
    (tmp_path / OWN_CONFIG).write_text(text, encoding="utf-8")
    shown = banner(settle({}), 1.0)
    assert "hookchain portal-link TENANT`" in shown
    assert "hookchain api-keys create --scope write --scope portal`" in shown


DELIVERING = CONFIG.replace("to: list", "to: [list, chat, crm]").replace(
    "destinations:",
    """destinations:
  chat: {slack: {secret: slack-webhook}}
  crm: {webhook: {url: "https://crm.example.com/in", secret: crm-signing}}""",
)


def test_a_destinations_credential_is_asked_for_and_its_signing_key_generated(settle: SetUp, tmp_path: Path) -> None:
    (tmp_path / OWN_CONFIG).write_text(DELIVERING, encoding="utf-8")
    before = settle({})

    assert before.generated == ("crm-signing", "form-password")
    assert before.environ["CRM_SIGNING"].startswith("whsec_")
    assert "SLACK_WEBHOOK" not in before.environ
    shown = banner(before, 1.0)
    assert f"These destinations need a secret in {tmp_path / '.env'}." in shown
    assert "hookchain secrets set slack-webhook  # destination chat" in shown
    assert "hookchain resume DESTINATION" in shown

    after = settle({"SLACK_WEBHOOK": "https://hooks.slack.com/services/T/B/x"})
    assert after.unset == ()
    assert "need a secret" not in banner(after, 1.0)


def test_a_missing_secret_that_holds_no_delivery_is_not_said_to_hold_any(settle: SetUp, tmp_path: Path) -> None:
    telemetry = "telemetry: {otlp: https://collector.example.com, headers_secret: collector-headers}\n"
    (tmp_path / OWN_CONFIG).write_text(f"{CONFIG}{telemetry}", encoding="utf-8")
    shown = banner(settle({}), 1.0)
    assert f"Until you set these secrets in {tmp_path / '.env'}, no spans are sent:" in shown
    assert "resume DESTINATION" not in shown


def test_a_start_and_a_change_name_the_destinations_that_get_real_requests(settle: SetUp, tmp_path: Path) -> None:
    before = settle({})
    assert "are sent for real" not in banner(before, 1.0)
    (tmp_path / OWN_CONFIG).write_text(DELIVERING, encoding="utf-8")
    after = settle({})
    line = "Requests to these destinations are sent for real: chat, crm."
    assert line in banner(after, 1.0)
    assert line in changed_lines(before, after)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pasword", "generated, and nothing reads FORM_PASSWORD in .env: one of the two names may be misspelt"),
        ("password", "which overrides FORM_PASSWORD; that has another value. Remove the older one"),
    ],
    ids=["misspelt", "an older file in the folder of mounted secrets"],
)
def test_a_secret_that_may_not_be_the_meant_one_is_named_at_the_start_by_lint_list_and_explain(
    settle: SetUp,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
) -> None:
    shell = {"SECRETS_DIR": str(tmp_path / "mounted")}
    monkeypatch.setenv(*next(iter(shell.items())))
    (tmp_path / ".env").write_text("FORM_PASSWORD=long and random 0123456789\n", encoding="utf-8")
    config = tmp_path / OWN_CONFIG
    config.write_text(CONFIG, encoding="utf-8")
    assert settle(shell).doubts == {}
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "form-password").write_text("long and random 0123456789\n", encoding="utf-8")
    assert settle(shell).doubts == {}, "the file has the same value"
    if name == "password":
        (tmp_path / "mounted" / "form-password").write_text("an older value 0123456789", encoding="utf-8")
    config.write_text(CONFIG.replace("form-password", f"form-{name}"), encoding="utf-8")
    settle(shell)
    setup = settle(shell)  # at the next start, too
    assert text in banner(setup, 1.0)
    places = ["--config", str(config), "--env-file", str(tmp_path / ".env")]
    request = ["--source", "form", "--file", "/dev/null", "-H", "Authorization: Basic eDp5"]
    for command in (["lint"], ["secrets", "list"], ["explain", *request]):
        main([*command, *places])
        assert text in " ".join("".join(capsys.readouterr()).split()), command
    assert text in secret_notes(setup, ())["form"]


def test_what_is_seldom_meant_in_dotenv_is_named_at_the_start_after_a_change_and_by_lint(
    settle: SetUp, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, file = tmp_path / OWN_CONFIG, tmp_path / ".env"
    config.write_text(CONFIG, encoding="utf-8")
    before = settle({})
    file.write_text("FORM_PASSWORD=k7mQ2x9fW4tR8sL1 #rest\n", encoding="utf-8")
    shell = {"FORM_PASSWORD": "of the shell 0123456789", "SECRETS_DIR": str(tmp_path / "none")}
    after = settle(shell)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    assert main(["lint", "--config", str(config), "--env-file", str(file)]) == 0
    printed = capsys.readouterr().err
    changed = "\n".join(changed_lines(before, after))
    for text in (
        f"{file}:1: FORM_PASSWORD: the rest after ` #` is read as a comment",
        "FORM_PASSWORD: the shell's value is used, and .env has another one",
    ):
        assert f"  Warning: {text}" in banner(after, 1.0)
        assert f"warning: {text}" in changed
        assert f"warning: {text}" in printed
    assert changed_lines(after, after) == []
    for values, text in (({}, "the rest after ` #` is read as a comment"), (shell, "the shell's value is used")):
        note = secret_notes(settle(values), ())["form"]
        assert text in note
        cut = "the value as the password has this source's secret in it, and more before or after it"
        for cause in (cut, TOO_LARGE):
            assert with_secret_note(f"no{WHY}{cause}", note, "password_mismatch") == f"no{WHY}{note}"
            # A signature can be wrong for other reasons too.
            kept = with_secret_note(f"no{WHY}{cause}", note, "signature_mismatch")
            assert kept == f"no{WHY}{cause}. Note: {note}"


def test_the_line_to_try_has_the_secret_that_the_functions_read_first(settle: SetUp, tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "form-password").write_text("mounted-secret-0123456789")
    setup = settle({"SECRETS_DIR": str(tmp_path / "mounted"), "FORM_PASSWORD": "another-secret-0123456789"})
    assert "web:mounted-secret-0123456789" in banner(setup, 1.0)


def test_a_secret_that_was_removed_is_named_as_new_until_it_is_set(settle: SetUp, tmp_path: Path) -> None:
    (tmp_path / OWN_CONFIG).write_text(CONFIG, encoding="utf-8")
    before = settle({})
    generated = generated_values({}, before)
    note = secret_notes(before, generated)["form"]
    assert "secret 'form-password' was generated just now" in note
    assert f"({tmp_path / '.env'} did not exist)" in note
    assert generated_values(generated, settle({})) == generated  # another file changed
    assert generated_values(generated, settle({"FORM_PASSWORD": "the-senders-own-password"})) == {}


def test_a_new_secret_is_the_cause_of_a_rejection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(LogView("INFO", colours=False), lambda: None, tmp_path)
    output.notes = {"form": "it is new"}
    line = {"severity": "WARNING", "message": "rejected", "code": "password_mismatch", "source": "form"}
    detail = "no. Why: the sender may use a different secret, such as"
    output.append_lines("receive", [to_json({**line, "detail": detail})])
    output.close()
    assert '"no. Why: it is new"' in " ".join(capsys.readouterr().out.split())
    [logged] = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(logged)["detail"] == "no. Why: it is new"  # what `hookchain logs` prints


def test_a_caught_mail_to_whoever_the_event_names_has_a_sender(settle: SetUp, tmp_path: Path) -> None:
    text = CONFIG.replace("[ann@example.com]", "['{{ data.email }}'], allow_recipients: [example.com]")
    (tmp_path / OWN_CONFIG).write_text(text, encoding="utf-8")
    for environ, is_set in (({}, True), ({"EMAIL_FROM": "own@example.com"}, False)):
        assert (CAUGHT_FROM in to_json(settle(environ).configuration.slices["notify"])) == is_set


# Options


def options(*arguments: str, environ: Mapping[str, str] | None = None, is_terminal: bool = True) -> Options:
    return parse_options(arguments, environ or {}, Path("/root-folder"), is_terminal)


def test_a_platform_that_does_not_exist_is_rejected_also_in_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert options(environ={"PLATFORM": "aws"}).platform == "aws"
    for arguments, environ in ((["--platform", "azure"], {}), ([], {"PLATFORM": "azure"})):
        with pytest.raises(SystemExit) as error:
            options(*arguments, environ=environ)
        assert error.value.code == 2
        assert "must be one of gcp, aws; got 'azure'" in capsys.readouterr().err


def test_the_environment_counts_and_the_command_line_counts_more() -> None:
    environ = {"PORT_BASE": "9000", "HOOKCHAIN_STATE": "/state", "LOG_LEVEL": "debug", "NO_COLOR": "1"}
    environ |= {"PLATFORM": "aws"}
    from_environ = options(environ=environ)
    assert from_environ.platform == "aws"
    assert (from_environ.port_base, from_environ.state) == (9000, Path("/state"))
    assert (from_environ.log_level, from_environ.colours) == ("DEBUG", False)
    assert options("--port-base", "9100", environ=environ).port_base == 9100


@pytest.mark.parametrize(
    "arguments", [["--port-base", "0"], ["--port-base", "65530"], ["--port-base", "x"], ["--log-level", "LOUD"]]
)
def test_an_invalid_option_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(*arguments)
    assert arguments[1] in capsys.readouterr().err


def test_what_the_env_file_sets_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"PORT_BASE=9000\nLOG_LEVEL=ERROR\nHOOKCHAIN_STATE={tmp_path / 'other'}\n", encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    run: list[Options] = []
    monkeypatch.setattr(start, "_run", lambda chosen, *_: run.append(chosen))
    assert start.main(["--env-file", str(env_file)], find_warnings) == 0
    [chosen] = run
    assert (chosen.port_base, chosen.log_level, chosen.state) == (9000, "ERROR", tmp_path / "state")


def test_an_unreadable_env_file_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("PORT BASE=9000\n", encoding="utf-8")
    assert start.main(["--env-file", str(tmp_path / ".env")], find_warnings) == 1
    assert f"{tmp_path / '.env'}:1" in capsys.readouterr().err


# Ports


def test_a_taken_port_is_named_with_a_way_out() -> None:
    with pytest.raises(PortsTaken) as rejection:
        require_free(8080, can_listen=lambda port: port not in {8082, 9080})
    assert str(rejection.value) == (
        "Port 8082 (notify) is in use.\nStop the program that uses it, or move all ports: PORT_BASE=10080 make dev"
    )


# .env


@pytest.mark.parametrize("line", ["no equals sign", "1NAME=x", "NAME='open"])
def test_a_line_that_cannot_be_read_is_named_without_its_value(line: str) -> None:
    with pytest.raises(dotenv.DotenvFault, match=r"\.env:2:") as fault:
        dotenv.parse_dotenv(f"\n{line}\n", ".env")
    assert "open" not in str(fault.value)


def test_a_key_over_several_lines_without_quotes_says_how_to_store_it() -> None:
    with pytest.raises(
        dotenv.DotenvFault, match=r"\.env:2: a value of several lines must be in quotes; or store it with"
    ) as fault:
        dotenv.parse_dotenv("KEY=-----BEGIN PRIVATE KEY-----\nhidden+/\n-----END PRIVATE KEY-----\n", ".env")
    assert "hidden" not in str(fault.value)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("e63-pw=hidden", ". A name has capital letters, digits and underscores: write E63_PW"),
        ("1NAME=hidden", ". A name has capital letters, digits and underscores"),
        ("hidden", ""),
    ],
)
def test_a_faulty_name_is_shown_as_it_has_to_be_written(line: str, advice: str) -> None:
    with pytest.raises(dotenv.DotenvFault) as fault:
        dotenv.parse_dotenv(line, ".env")
    assert str(fault.value) == f".env:1: a line must be NAME=value, or a comment after #{advice}"


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NAME=value\n", encoding="utf-8-sig")
    assert dotenv.read_dotenv(tmp_path / ".env") == {"NAME": "value"}
    assert not list(dotenv_warnings(tmp_path / ".env", {}, set()))


COMMENT = (
    ":1: A_PW: the rest after ` #` is read as a comment. If it belongs to the value, put both in quotes; if not, the "
)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("A_PW=hidden\n\nA_PW=other", ":1: A_PW has another value in line 3: that of line 3 is used"),
        ("A_PW=hidden #rest", f"{COMMENT}value alone"),
        ("A_PW='hidden #rest'", None),
        ("A_PW=hidden # set 2026-11-30", None),
        ("A_PW=A_PW=hidden", ":1: A_PW: the value begins with `A_PW=`: write the name once"),
        ("A_PW=“hidden”", ":1: A_PW: the value begins with a typographic quotation mark."),
        ("A_PW='$HIDDEN_PW'", ":1: A_PW: a variable or command in the value is not replaced"),
        ("A_PW='$(cat hidden)x'", ":1: A_PW: a variable or command in the value is not replaced"),
        ("A_PW='<your hidden one>'", ":1: A_PW: the value is in angle brackets, as a placeholder is."),
        ("A_PW='hidden;'", ":1: A_PW: the value ends in `;`. Remove it, unless it belongs to the value"),
        (
            "A_PW='Bearer hidden'",
            ":1: A_PW: the value begins with `Bearer `. Write only what is after it, unless the secret is a "
            "header's whole value",
        ),
    ],
)
def test_what_is_rare_in_dotenv_is_a_warning_without_the_value(tmp_path: Path, text: str, warning: str | None) -> None:
    path = tmp_path / ".env"
    path.write_text(text, encoding="utf-8")
    found = list(dotenv_warnings(path, {}, set()))
    assert len(found) == (warning is not None)
    assert all(each.text.startswith(f"{path}{warning}") and "hidden" not in each.text for each in found)


def test_a_secret_that_the_shell_overrides_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A_PW=one\nB_PW=one\nPORT=1\n", encoding="utf-8")
    shell = {"A_PW": "other", "B_PW": "one", "PORT": "2", "C_PW": "two"}
    found = list(dotenv_warnings(path, shell, {"A_PW", "B_PW", "C_PW"}))
    assert [each.text for each in found] == ["A_PW: the shell's value is used, and .env has another one"]


def test_a_file_of_secrets_that_others_may_read_becomes_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.touch(0o644)
    dotenv.make_dotenv_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_added_keeps_what_stands_there_and_is_readable_by_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OLD='as it was'")
    dotenv.add_to_dotenv(path, {"NEW": "value"}, "made up")
    assert path.read_text() == "OLD='as it was'\n# made up\nNEW=value\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_a_full_disk_cuts_is_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OLD=1\n", encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
    try:
        with pytest.raises(dotenv.DotenvFault, match=r"\.env cannot be written: "):
            dotenv.add_to_dotenv(path, {"NEW": "a-secret-that-is-cut"}, "made up")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text(encoding="utf-8") == "OLD=1\n"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.just("-----BEGIN\nline\n-----END\n"))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("env") / ".env"
    dotenv.add_to_dotenv(path, {"NAME": value}, "made up")
    assert dotenv.parse_dotenv(path.read_text(), ".env") == {"NAME": value}


PEM = "-----BEGIN PRIVATE KEY-----\nMIIE$(id)`id`\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("value", [PEM, "it's $HOME\nand \\n"])
def test_a_shell_reads_from_dotenv_what_dev_reads(tmp_path: Path, value: str) -> None:
    """The README has people source it."""
    path = tmp_path / ".env"
    dotenv.add_to_dotenv(path, {"NAME": value, "NEXT": "1"}, "made up")
    script = f'set -eu; . {path}; printf %s_ "$NAME"; printf %s "$NEXT"'
    sourced = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert sourced.stdout == f"{value}_1"
    assert dotenv.read_dotenv(path) == {"NAME": value, "NEXT": "1"}


# Secrets


def test_every_weak_secret_is_named_and_none_is_shown() -> None:
    environ = {"ONE": "changeme", "TWO": "", "THREE": "whsec_"}
    with pytest.raises(WeakSecret) as fault:
        find_gaps(["one", "two", "three"], environ)
    assert [line.split()[1] for line in str(fault.value).splitlines()] == ["'one'", "'two'", "'three'"]
    assert "changeme" not in str(fault.value)
