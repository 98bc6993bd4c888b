"""A wrong argument is answered with what was probably meant."""

import pytest

from deploy.cli.main import main


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
