"""What `hookchain sources NAME --snippet` prints, and for which sources; tests/functional runs the programs."""

from pathlib import Path

import pytest

from deploy.cli.main import main

CONFIG = """
sources:
  shop: {auth: {scheme: bearer, secret: shop-token}, public_url: https://hooks.example.com/shop, type: data.meta.kind}
  rows: {auth: none, type: data.record.kind}
  kinds: {auth: none, type: header.X-Kind}
  numbered: {auth: none, id: query.n}
  stripe: {provider: stripe, secret: stripe-secret}
  door: {methods: [GET], auth: {scheme: link, secret: door-link}}
routes: [{name: all, from: [shop, rows], types: ["it's.new"], to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""


@pytest.fixture
def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> "Printed":
    config = tmp_path / "hookchain.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    return Printed(["--config", str(config), "--state", str(tmp_path)], capsys)


class Printed:
    def __init__(self, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        self._options = options
        self._capsys = capsys

    def snippet(self, source: str, language: str) -> str:
        assert main(["sources", source, "--snippet", language, *self._options]) == 0
        return self._capsys.readouterr().out

    def rejection(self, *arguments: str) -> str:
        try:
            assert main(["sources", *arguments, *self._options]) == 1
        except SystemExit as ended:
            assert ended.code == 2
        return self._capsys.readouterr().err


@pytest.mark.parametrize("language", ["python", "typescript", "curl", "sql-worker"])
def test_a_program_has_the_sources_public_url_and_its_secrets_name(printed: Printed, language: str) -> None:
    program = printed.snippet("shop", language)
    assert "https://hooks.example.com/shop" in program
    assert "export SHOP_TOKEN=..." in program
    assert "@" not in program.replace("chuckufarley@example.com", "")


@pytest.mark.parametrize("language", ["python", "typescript", "curl", "sql", "sql-worker"])
def test_a_source_without_authentication_needs_no_secret(printed: Printed, language: str) -> None:
    assert "secret" not in printed.snippet("kinds", language).lower()


def test_the_outbox_writes_the_type_where_the_source_looks_for_it(printed: Printed) -> None:
    shop, rows = printed.snippet("shop", "sql"), printed.snippet("rows", "sql")
    assert "jsonb_build_object('meta', jsonb_build_object('kind', TG_ARGV[0]), 'record', to_jsonb(NEW))" in shop
    assert "jsonb_build_object('record', to_jsonb(NEW) || jsonb_build_object('kind', TG_ARGV[0]))" in rows
    assert "hookchain_capture('it''s.new')" in shop
    assert "jsonb_build_object('record', to_jsonb(NEW))" in printed.snippet("kinds", "sql")
    assert 'headers={"X-Kind": "password_created"}' in printed.snippet("kinds", "sql-worker")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stripe", "--snippet", "python"], "needs hmac as its provider signs. Send a sample with `hookchain trigger`"),
        (["door", "--snippet", "python"], "accepts no POST. Make a link with `hookchain link door`"),
        (["--snippet", "python"], "--snippet needs the NAME of a source"),
    ],
)
def test_a_source_that_an_application_cannot_send_to_says_what_to_do(
    printed: Printed, arguments: list[str], message: str
) -> None:
    assert message in printed.rejection(*arguments)
