"""A wrong argument is answered with what was probably meant, and a wrong port with what should listen there."""

from urllib.parse import urlsplit

import pytest

from deploy.cli.main import main
from deploy.config.running_dev import Hint, Ports, write_dev_file
from tests.fakes.kept import Kept
from tests.fakes.receiver import http_answer, receiver


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lint --confg x.yaml", "unrecognized arguments: --confg x.yaml; did you mean --config?"),
        ("lint mine.yaml", "unrecognized arguments: mine.yaml; did you mean --config mine.yaml?"),
        ("events", "ACTION is missing: list, show or replay"),
        ("events lst", "there is no action 'lst'; did you mean 'list'?"),
        (
            "trigger github --list --to=http://localhost",
            "argument --to: has no effect with --list; leave one of them out",
        ),
        ("sources shop --snippet=curl --json", "argument --json: has no effect with --snippet; leave one of them out"),
        ("explain --curl x --method PUT", "argument --method: has no effect with --curl; leave one of them out"),
        ("send http://a --bearer --config x", "argument --config: has no effect with --bearer; leave one of them out"),
        ("send http://a --timeout x", "argument --timeout: must be a number of seconds from 0.1 to 3,600; got 'x'"),
        ("events list --since=1h --until=2h", "argument --until: must be a time after --since"),
        ("lint --env-file none.env", "argument --env-file: must be a file that exists; got 'none.env'"),
        ("status --prefix=", "argument --prefix: must not be empty"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_that_names_what_was_meant(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f": error: {message}\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("status --project p", "hookchain status: --project: needs --platform gcp; got --platform local"),
        ("events list --platform aws --state x", "hookchain events list: --state: has no effect with --platform aws"),
        (
            "dead-letters list --code mail_rejectd",
            "--code: there is no code 'mail_rejectd'; did you mean 'mail_rejected'",
        ),
        ("init --recipe push-to-slack --to a@b.example --out x", "--to and --from: have no effect with the recipe"),
    ],
)
def test_so_is_one_that_the_configuration_or_the_platform_shows(
    line: str, message: str, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err


def test_whoever_sends_to_the_port_of_another_function_or_program_is_told_whose_it_is(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORM_PASSWORD", "correct horse battery")
    with receiver(http_answer(404, b"<!doctype html>Not found")) as other:
        send = ["send", other.url, "a=b", "--password", "--secret", "form-password"]
        port = urlsplit(other.url).port or 0
        assert main(send) == 1
        assert f"Another program answered on port {port}, and no `make dev` runs" in capsys.readouterr().err
        write_dev_file(kept.folder, Ports(8080, port, 1, 2, 3), Hint("", ()), None)
        assert main(send) == 1
        whose = f"Port {port} is the port of transform, which accepts no events: receive is at http://localhost:8080"
        assert whose in capsys.readouterr().err
