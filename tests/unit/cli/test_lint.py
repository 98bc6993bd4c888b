import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.aws import prepare
from deploy.cli.command import help_texts
from deploy.cli.init import recipes, sends_mail
from deploy.config.checkout import OWN_CONFIG
from deploy.config.compiler import compile_file
from deploy.config.local_ports import ports_from
from deploy.config.running_dev import DevFile, write_dev_file
from deploy.gcp.deployment import warnings
from shared.jsontext import to_json
from shared.secrets import variable_name
from tests.fakes.command import Command, as_objects
from tests.fakes.configurations import compile_text

GOOD = """\
sources:
  form: {auth: {scheme: bearer, secret: form-key}, id: data.id}
routes: [{name: mail, to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""


class Lint:
    """`hookchain lint` of a configuration. Each call returns what it printed to standard error."""

    def __init__(self, command: Command, file: Path) -> None:
        self.command = command.partial("lint", "--config", str(file))
        self.file = file

    def __call__(self, config: str = GOOD, *arguments: str, code: int = 0) -> str:
        self.file.write_text(config, encoding="utf-8")
        self.command(*arguments, code=code)
        return self.command.error

    def secrets(self, dotenv: str, config: str = GOOD, code: int = 0) -> str:
        """Look at the secrets of a .env too."""
        path = self.file.parent / ".env"
        path.write_text(dotenv, encoding="utf-8")
        return self(config, "--secrets", "--env-file", str(path), code=code)


@pytest.fixture
def lint(command: Command, tmp_path: Path) -> Lint:
    return Lint(command, tmp_path / "hookchain.yaml")


def test_a_configuration_without_faults_exits_0_and_says_what_it_holds(lint: Lint) -> None:
    assert lint() == ""
    assert "1 source, 1 route, 1 destination; no faults" in lint.command.shown


def test_faults_are_data_for_a_program(lint: Lint) -> None:
    lint(GOOD.replace("bearer", "bear"), code=1)
    [fault] = as_objects(lint.command.json(code=1)["faults"])
    assert (fault["line"], fault["where"]) == (2, "source 'form': auth")


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (("scheme: bearer", "scheme: query"), "a token in the query"),
        (("id: data.id", "id: data.id, public_url: 'http://localhost:8080/form'"), "`public_url` is at localhost"),
        ((", id: data.id", ""), "may be delivered twice"),
        (("{scheme: bearer, secret: form-key}", "none"), "accepts events from anyone"),
        (("routes: [{name: mail, to: people}]", ""), "no route leads to it"),
        (("name: mail, to", "name: mail, from: form, to"), ""),
        (("example.com}}", "example.com}, expires_after: 5m, retry: [5m]}"), "no retry comes within 5 min"),
        (("to: people", "steps: [{set: {data.x: 'No. {{ data.n }}'}}], to: people"), "use the step `template`"),
        (
            ("to: people", "steps: [{set: {data.x: '{{ data.a }} {{ data.b }}'}}], to: people"),
            "use the step `template`",
        ),
        (
            ("id: data.id", "schema: {properties: {requird: {typ: string}}}"),
            ":2: source 'form': the schema's 'typ' is not a keyword and has no effect; did you mean 'type'?",
        ),
        (
            ("name: mail, to", "name: mail, steps: [{lint: {schema: {allOf: [{requird: [a]}]}}}], to"),
            ":3: route 'mail': step 1 'lint': the schema's 'requird' is not a keyword and has no effect; did you mean",
        ),
    ],
)
def test_what_is_seldom_meant_is_a_warning_and_no_fault(lint: Lint, change: tuple[str, str], warning: str) -> None:
    assert warning in lint(GOOD.replace(*change))


def test_a_strict_check_fails_if_there_is_a_warning(lint: Lint) -> None:
    lint(GOOD, "--strict")
    assert "may be delivered twice" in lint(GOOD.replace(", id: data.id", ""), "--strict", code=1)


@pytest.mark.parametrize(
    ("provider", "types", "note"),
    [
        ("github", "issues.*", "'issues.*' matches issues of GitHub by the action; versions before 2026-12-01"),
        ("gitlab", "Note Hook.create", "'Note Hook.create' matches Note Hook of GitLab by the action"),
        ("jira", "jira:issue_updated.*", "'jira:issue_updated.*' matches events with the type 'jira:issue_"),
        ("shopify", "orders.create", "matches events with the type 'orders' and the action 'create' of Shopify by the"),
        ("jira", "jira:*", ""),
        ("github", "issues", ""),
        ("github, action: data.kind", "issues.*", ""),
        ("stripe", "invoice.*", ""),
    ],
)
def test_a_route_that_matches_more_since_the_action_counts_is_named_in_a_note(
    lint: Lint, provider: str, types: str, note: str
) -> None:
    source = "{auth: {scheme: bearer, secret: form-key}, id: data.id}"
    text = GOOD.replace(source, f"{{provider: {provider}, secret: s}}")
    printed = lint(text.replace("name: mail,", f"name: mail, types: '{types}',"), "--strict")
    assert printed.startswith("note: ") is bool(note), printed
    assert note in printed
    assert len(as_objects(lint.command.json()["notes"])) == bool(note)


LOOPBACK = "at {}, which is this machine only: a deployment in a cloud cannot reach it"


MAIL = "email: {to: ann"
ANN = "{email: {to: ann@example.com}}"
OTHER = f"}}, b: {{{MAIL}"


def instead(settings: str) -> tuple[str, str]:
    return MAIL, f"{settings}{OTHER}"


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (instead("webhook: {url: 'http://localhost:9000/in', allow_private: true}"), LOOPBACK.format("localhost")),
        (
            instead(f"sheet: {{spreadsheet: {'a' * 44}, sheet: S, columns: {{a: data.x}}}}"),
            "destination 'people': has no `secret`: on Google Cloud",
        ),
        (
            instead("object: {bucket: 's3://my-files', region: eu-central-1, key: x}"),
            "destination 'people': has no access key: it needs the role of a function on AWS",
        ),
        (("routes:", "retention: {bodies: 7d}\nroutes:"), ""),
        (
            ("routes:", "retention: {bodies: 90d}\nroutes:"),
            "the data of an event is deleted with the event, after 30 d: set `events` to at least as long",
        ),
        (("routes:", "retention: {events: 90d, bodies: 90d}\nroutes:"), ""),
        (
            instead("webhook: {url: 'https://crm.example.com/in', auth: {scheme: google}}"),
            "destination 'people': `auth: {scheme: google}` needs the account of a function on Google Cloud",
        ),
        (
            (f"{ANN}}}", f"{ANN[:-1]}, digest: {{every: 1h}}}}}}\nretention: {{bodies: 7d}}"),
            "in a cloud, bodies over 200 KiB are kept for 176 days: the retries of 'people' take",
        ),
    ],
)
def test_what_works_on_this_machine_only_is_a_warning(lint: Lint, change: tuple[str, str], warning: str) -> None:
    printed = lint(GOOD.replace(*change))
    lines = [line for line in printed.splitlines() if "no route leads to it" not in line]
    assert [warning in line for line in lines] == [True] * bool(warning), lines


@pytest.mark.parametrize(
    ("url", "warning"),
    [
        ("smtp://localhost:1025", "SMTP_URL names localhost, which is this machine only"),
        ("smtp://me@mail.example.com:465", "SMTP_URL has port 465"),
        ("smtp://localhost:465", "SMTP_URL has port 465"),
        ("smtps://me@mail.example.com:587", "write smtp://"),
        ("smtps://me@mail.example.com:465", ""),
        ("smtp://me@mail.example.com:2525", ""),
    ],
)
def test_a_mail_server_that_a_deployment_cannot_use_is_a_warning_of_lint_and_of_a_plan(
    lint: Lint, monkeypatch: pytest.MonkeyPatch, url: str, warning: str
) -> None:
    monkeypatch.setenv("SMTP_URL", url)
    monkeypatch.setenv("EMAIL_FROM", "you@example.com")
    assert "EMAIL_FROM is at example.com, which exists in documentation only" in lint()
    monkeypatch.delenv("EMAIL_FROM")
    printed = lint()
    assert ("SMTP_URL" in printed, warning in printed) == (bool(warning), True)
    slices = compile_text(GOOD)
    planned = "\n".join(warnings(slices, os.environ))
    assert ("SMTP_URL" in planned, warning in planned) == (bool(warning), True)
    assert "destination 'people': its mails are sent from ann@example.com, their first recipient" in planned


def test_a_clouds_own_account_is_a_warning_of_a_plan_for_the_other_one() -> None:
    text = GOOD.replace(*instead("webhook: {url: 'https://crm.example.com/in', auth: {scheme: google}}"))
    slices = compile_text(text)
    rule = "destination 'people': `auth: {scheme: google}` needs the account of a function on Google Cloud"
    assert any(rule in warning for warning in prepare.warnings(slices))
    assert not any(rule in warning for warning in warnings(slices, {}))
    topic = "bus: {sns: 'arn:aws:sns:eu-central-1:123456789012:orders'}"
    slices = compile_text(GOOD.replace(*instead(topic)))
    rule = "destination 'people': has no access key: it needs the role of a function on AWS"
    assert any(rule in warning for warning in warnings(slices, {}))
    assert not any(rule in warning for warning in prepare.warnings(slices))


@pytest.mark.parametrize(("cloud", "others"), [("google_cloud", "aws"), ("aws", "google_cloud")])
def test_spans_for_another_clouds_endpoint_are_a_warning_of_a_plan(cloud: str, others: str) -> None:
    slices = compile_text(f"{GOOD}telemetry: {cloud}\n")
    planned = {"google_cloud": [*warnings(slices, {})], "aws": [*prepare.warnings(slices)]}
    assert not any(each.startswith("telemetry: ") for each in planned[cloud])
    [warning] = [each for each in planned[others] if each.startswith("telemetry: ")]
    assert warning.endswith(f"set `telemetry: {others}`")


def test_mails_without_a_sender_are_a_warning_with_what_to_do(lint: Lint, monkeypatch: pytest.MonkeyPatch) -> None:
    config = f"{GOOD}people: {{ann: {{email: ann@example.com}}}}\n".replace("ann@example.com}}}", "actor}}}")
    assert "nobody to send from: set EMAIL_FROM, or the destination's `from`" in lint(config)
    monkeypatch.setenv("EMAIL_FROM", "hooks@example.com")
    assert "nobody to send from" not in lint(config)


@pytest.mark.parametrize(
    ("written", "body_is_open", "time_is_open"),
    [
        ("content: '{url}'", True, False),
        ("body_digest: header.Digest, content: '{header.digest}'", False, False),
        ("timestamp: header.X-Time", False, True),
        ("timestamp: header.X-Time, content: '{timestamp}.{body}'", False, False),
        ("timestamp: query.at, content: '{url}{body}'", False, False),
    ],
)
def test_what_is_not_signed_is_a_warning(lint: Lint, written: str, body_is_open: bool, time_is_open: bool) -> None:
    auth = f"{{scheme: hmac, header: X-Sig, {written}, secret: form-key}}"
    output = lint(GOOD.replace("{scheme: bearer, secret: form-key}", auth))
    assert ("does not cover the body" in output) is body_is_open
    assert ("`content` does not cover {timestamp}" in output) is time_is_open
    assert ("otherwise remove `timestamp`" in output) is time_is_open


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (None, 1, "is missing: set FORM_KEY"),
        ("whsec_", 1, "SECRET_WEAK"),
        ("fifteen-letters", 0, "fewer than 16 characters"),
        ("sixteen--letters", 0, ""),
    ],
)
def test_the_secrets_of_the_env_file_are_looked_at_where_it_is_asked_for(
    lint: Lint, value: str | None, code: int, message: str
) -> None:
    printed = lint.secrets("" if value is None else f"FORM_KEY={value}\n", code=code)
    assert message in printed
    assert ("fewer than" in printed) == ("fewer than" in message)


UNUSABLE = """\
sources:
  form: {provider: stripe, secret: form-key}
routes: [{name: all, steps: [{encrypt: {secret: field-key, paths: [data.a]}}], to: [chat, bot, rows, sheet, hook]}]
destinations:
  chat: {slack: {secret: chat-key, text: "{{ data.no_event_has_this }}"}}
  bot: {telegram: {secret: bot-key, chat: "1"}}
  rows: {sql: {url_secret: rows-key, table: t, columns: {a: {value: data.a, type: text}}, delivery_id: id}}
  sheet: {sheet: {spreadsheet: 1ExampleOfASpreadsheet, sheet: A, columns: {A: data.a}, secret: json-key}}
  hook: {webhook: {url: "https://a.example/{{ data.a }}", secret: hook-key}}
"""
SECRETS_OF_A_WRONG_FORM = {
    "form-key": ("sk_test_0123456789abcdef0123", "begins with `sk_test_`, as an API key does"),
    "field-key": ("a-passphrase-and-no-key", "value 1 is no AES key of 16, 24 or 32 bytes"),
    "chat-key": ("xoxb-0123456789-abcdef", "is a token, which needs the destination's `channel`"),
    "bot-key": ("0123456789abcdef", "must be the bot's token that @BotFather shows"),
    "rows-key": ("postgresql://u:p@ss-word@host/db", "write `@` in the password as %40"),
    "json-key": ("AIzaSyA0123456789abcdef", "is not the key of a Google service account"),
    "hook-key": ("whsec_no-base64!", "cannot sign"),
}


def test_a_secret_of_a_form_that_its_user_cannot_use_is_a_warning_without_its_value(lint: Lint) -> None:
    lines = [f"{variable_name(name)}={value}" for name, (value, _) in SECRETS_OF_A_WRONG_FORM.items()]
    printed = lint.secrets("\n".join(lines), UNUSABLE)
    for name, (value, rule) in SECRETS_OF_A_WRONG_FORM.items():
        assert any(f"secret '{name}': " in line and rule in line for line in printed.splitlines())
        assert value not in printed


@pytest.mark.parametrize(
    ("token", "variable", "is_named"),
    [("github-token", "FORMKEY", True), ("form-keys", "FORM_KEYS", False)],
    ids=["a misspelt name may be the cause", "the token of a hook is no misspelt name"],
)
def test_warnings_stand_beside_missing_secrets(lint: Lint, token: str, variable: str, is_named: bool) -> None:
    github = f"  github: {{provider: github, secret: other-key, hook: {{token: {token}, at: acme/shop}}}}\n"
    printed = lint.secrets(f"{variable}=long-and-random\n", GOOD.replace("routes:", f"{github}routes:"), code=1)
    assert "secret 'form-key': is missing: set FORM_KEY" in printed
    assert (f"nothing reads {variable} in .env: one of the two names may be misspelt" in printed) is is_named
    assert (variable in printed) is is_named


def test_a_missing_env_file_is_named_beside_missing_secrets(lint: Lint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKCHAIN_ENV_FILE", str(lint.file.parent / "prd.env"))
    printed = lint(GOOD, "--secrets", code=1)
    assert "prd.env: does not exist, although HOOKCHAIN_ENV_FILE names it" in printed


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "deploy.cli", "help"]
        ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False)
    finally:
        os.close(writer)
    assert ended.stderr == b""
    assert ended.returncode in {0, 141}


SUBSCRIBERS = """\
sources: {app: {auth: {scheme: bearer, secret: app-key}, type: data.event, id: data.id}}
routes: [{name: orders, to: customers}]
destinations:
  customers: {subscribers: {tenant: data.account}}
  operations: {email: {to: ann@example.com}}
subscribers: {tell: {operator: operations}, event_types: {order.paid: {schema: {required: [number]}}}}
tests: [{name: one, input: {source: app, body: {event: order.paid, id: 1, account: a}}, expect: [{to: customers}]}]
"""


FITTING = SUBSCRIBERS.replace("account: a}", "account: a, number: 1}")


def test_what_a_route_sends_to_subscribers_must_fit_its_event_type(lint: Lint) -> None:
    printed = lint(SUBSCRIBERS, code=1)
    assert f"{lint.file}:2: route 'orders': must send to 'customers' what fits" in printed
    assert "warning" not in lint(FITTING)
    private = lint(FITTING.replace("subscribers: {tell", "subscribers: {allow_private: true, tell"))
    assert "subscribers.allow_private: lets your users reach private addresses of your network. Remove it" in private


@pytest.mark.parametrize(
    ("more", "is_warned"),
    [("", True), (", format: cloudevents-binary", False), (", body: '{{ data.typeOfCustomer }}'", True)],
)
def test_a_webhook_that_tells_the_operator_of_an_event_but_not_of_its_type_is_a_warning(
    lint: Lint, more: str, is_warned: bool
) -> None:
    webhook = f"{{webhook: {{url: https://ops.example.com/in{more}}}}}"
    printed = lint(FITTING.replace("{email: {to: ann@example.com}}", webhook))
    assert ("'operations' sends the data of each event without its type" in printed) == is_warned


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "hookchain.yaml"


@pytest.fixture
def init(command: Command, out: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return command.partial("init", "--out", str(out))


LINE = ("--recipe", "push-to-one-line", "--to", "me@acme.example")


@pytest.mark.parametrize("recipe", [name for name in recipes() if sends_mail(name)])
def test_every_recipe_with_mail_compiles_with_the_given_addresses(init: Command, recipe: str, out: Path) -> None:
    init("--recipe", recipe, "--to", "me@bücher.test", "--from", "hooks@acme.example")  # as in the reader's language
    notify = to_json(compile_file(out, {})["notify"])
    assert "me@bücher.test" in notify
    assert "hooks@acme.example" in notify
    assert "@example.com" not in notify


def test_a_running_make_dev_is_not_to_be_started(
    init: Command, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    assert "Next, run `make dev`." in init(*LINE)
    write_dev_file(tmp_path, DevFile(ports_from(9000)))
    out.unlink()
    assert "The running `make dev` uses it, unless you gave that a --config." in init(*LINE)


def test_three_questions_are_asked_on_a_terminal(init: Command, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []
    answers = iter(["push-to-one-line", "me@acme.example", ""])

    def answer(question: str) -> str:
        questions.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", answer)
    before, _, after = init().partition("Wrote ")
    assert len(questions) == 3
    assert "push-to-one-line" in before
    assert "providers github` lists the event types that a route from GitHub can name in `types`." in after
    assert "from: " not in out.read_text(encoding="utf-8").partition("destinations:")[2]


def test_a_question_without_an_answer_ends_it_as_the_help_says(
    init: Command, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_of_input(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", end_of_input)
    init(code=1)
    assert not out.exists()
    assert "1 the file exists or a question has no answer, 2 usage error" in help_texts()["init"]["exit_codes"]


def test_a_file_is_never_overwritten(init: Command, out: Path) -> None:
    out.write_text("mine")
    init(*LINE, code=1)
    assert out.read_text() == "mine"
    assert "exists and is not overwritten" in init.error


def test_a_configuration_with_the_short_suffix_is_not_overruled_by_a_new_one(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cli.init.ROOT", tmp_path)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "hookchain.yml").write_text("mine")
    command("init", *LINE, code=1)
    assert "deploy/hookchain.yml exists" in command.error
    assert not (tmp_path / OWN_CONFIG).exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "--recipe is missing, and there is no terminal"),
        (["--recipe", "push-to-one-line"], "--to is missing"),
        (["--recipe", "push-to-one-line", "--to", "a], x: [b"], "--to: must be one mail address"),
        (["--recipe", "push-to-one-line", "--to", " ada@bücher.example"], "--to: must be one mail address"),
    ],
)
def test_a_missing_or_wrong_answer_writes_nothing(init: Command, arguments: list[str], fault: str, out: Path) -> None:
    init(*arguments, code=2)
    assert fault in init.error
    assert not out.exists()
