"""What is settled before the start, and again when the configuration changes."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from deploy.config.checkout import EXAMPLE_CONFIG, OWN_CONFIG
from deploy.dev.supervisor.banner import news
from deploy.dev.supervisor.options import parse_options
from deploy.dev.supervisor.plan import Place
from deploy.dev.supervisor.reload import changes, snapshot
from deploy.dev.supervisor.setup import Setup, set_up

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
    (tmp_path / "deploy").mkdir()
    (tmp_path / EXAMPLE_CONFIG).write_text(CONFIG, encoding="utf-8")
    place = Place(tmp_path, tmp_path / "state", tmp_path / "sockets")
    return lambda environ: set_up(
        parse_options([], environ, tmp_path, is_terminal=False),
        {"SECRETS_DIR": str(tmp_path / "none"), **environ},
        place,
    )


def test_a_made_up_standard_webhooks_secret_is_a_key_that_can_sign(settle: SetUp, tmp_path: Path) -> None:
    (tmp_path / OWN_CONFIG).write_text(SIGNED, encoding="utf-8")
    setup = settle({})
    prefix, _, key = setup.environ["PAY_KEY"].partition("_")
    assert prefix == "whsec"
    assert len(base64.b64decode(key, validate=True)) == 24
    assert not setup.environ["FORM_PASSWORD"].startswith("whsec_")


def test_no_two_made_up_signing_keys_are_the_same(settle: SetUp, tmp_path: Path) -> None:
    another = "  refunds:\n    auth: {scheme: standard-webhooks, secret: refund-key}\nroutes:"
    (tmp_path / OWN_CONFIG).write_text(SIGNED.replace("routes:", another), encoding="utf-8")
    made = settle({}).environ
    assert made["PAY_KEY"] != made["REFUND_KEY"]


@pytest.mark.parametrize("environ", [{}, {"EMAIL_ADDRESS": "ann@example.com"}])
def test_a_configuration_that_is_written_later_is_seen_and_taken(
    settle: SetUp, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    before = settle(environ)
    seen = snapshot(before.configuration.files)
    (tmp_path / OWN_CONFIG).write_text(SIGNED, encoding="utf-8")
    assert changes(seen, snapshot(before.configuration.files)) == (tmp_path / OWN_CONFIG,)
    assert settle(environ).configuration.path == tmp_path / OWN_CONFIG


def test_a_configuration_that_is_taken_away_leaves_the_example_until_it_is_back(settle: SetUp, tmp_path: Path) -> None:
    own = tmp_path / OWN_CONFIG
    own.write_text(SIGNED, encoding="utf-8")
    assert own in settle({}).configuration.files
    own.unlink()
    after = settle({})
    assert after.configuration.path == tmp_path / EXAMPLE_CONFIG
    assert own in after.configuration.files


def test_where_a_configuration_is_named_no_other_is_watched(settle: SetUp, tmp_path: Path) -> None:
    named = tmp_path / EXAMPLE_CONFIG
    assert settle({"HOOKCHAIN_CONFIG": str(named)}).configuration.files == (named,)
    assert settle({"HOOKCHAIN_CONFIG": "none", "EMAIL_ADDRESS": "ann@example.com"}).configuration.files == ()


def test_a_new_source_and_a_new_secret_are_told_and_the_secret_is_not_shown(settle: SetUp, tmp_path: Path) -> None:
    before = settle({})
    (tmp_path / OWN_CONFIG).write_text(SIGNED, encoding="utf-8")
    after = settle({})
    told = news(before, after)
    assert told == [
        f"the configuration is now {tmp_path / OWN_CONFIG}",
        "point senders at http://127.0.0.1:8080/payments  a Standard Webhooks signature made with PAY_KEY",
        f"made up and kept in {tmp_path / '.env'}: PAY_KEY",
    ]
    assert after.environ["PAY_KEY"] not in "".join(told)


def test_a_change_that_adds_nothing_has_no_news(settle: SetUp) -> None:
    assert news(settle({}), settle({})) == []
