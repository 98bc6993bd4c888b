"""A wrong argument is answered with what was probably meant, and a wrong port with what should listen there."""

import pytest

from deploy.cli.main import main
from tests.fakes.receiver import receiver


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lint --confg x.yaml", "unrecognized arguments: --confg x.yaml; did you mean --config?"),
        ("lint mine.yaml", "unrecognized arguments: mine.yaml; did you mean --config mine.yaml?"),
        ("dev mine.yaml", "unrecognized arguments: mine.yaml; did you mean --config mine.yaml?"),
        ("dev --portbase=9080", "unrecognized arguments: --portbase=9080; did you mean --port-base?"),
        ("lint --qqqqqq", "unrecognized arguments: --qqqqqq"),
        ("doctor all", "unrecognized arguments: all"),
        ("events", "ACTION is missing: list, show or replay"),
        ("events lst", "there is no action 'lst'; did you mean 'list'?"),
        ("tenants", "ACTION is missing: list, show, set, delete or import"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_that_names_what_was_meant(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f": error: {message}\n")


def test_where_nothing_listens_on_this_machine_send_says_what_should(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORM_PASSWORD", "correct horse battery")
    with receiver(b"") as gone:
        url = gone.url
    assert main(["send", url, "a=b", "--password", "--secret", "form-password"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("not sent: could not connect: 127.0.0.1:")
    assert printed.err == "Is `make dev` running, and is this its port? It prints its URLs when it starts.\n"
