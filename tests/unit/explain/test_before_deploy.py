from pathlib import Path

import pytest

from deploy.explain.config_tests import refuse_failing_tests
from deploy.terminal.command_error import CannotTell

CONFIG = """\
sources: {shop: {auth: none}}
routes: [{name: all, to: people}]
destinations: {people: {email: {to: a@example.com, subject: x}}}
tests:
  - {name: it goes out, input: {source: shop, body: {a: 1}}, expect: [{to: people}]}
"""


def test_a_configuration_whose_tests_pass_is_deployed(tmp_path: Path) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG)

    assert refuse_failing_tests(path, {}) == 1
    assert refuse_failing_tests(None, {"EMAIL_ADDRESS": "a@example.com"}) == 0


def test_a_configuration_whose_test_fails_is_not_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG.replace("expect: [{to: people}]", "expect: []"))

    with pytest.raises(CannotTell, match="nothing is deployed: 1 of the configuration's 1 tests fail") as refused:
        refuse_failing_tests(path, {})
    assert "it goes out:\n  not expected: to 'people' by route 'all'" in str(refused.value)
