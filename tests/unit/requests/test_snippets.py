"""What `hookchain sources NAME --snippet` prints, and for which sources; tests/functional runs the programs."""

from pathlib import Path

import pytest

from tests.fakes.command import Command

CONFIG = """
sources:
  shop: {auth: {scheme: bearer, secret: shop-token}, public_url: https://hooks.example.com/shop, type: data.meta.kind}
  rows: {auth: none, type: data.record.kind}
  kinds: {auth: none, type: header.X-Kind}
  numbered: {auth: none, id: query.n}
  keyed: {auth: none, id: data.id}
  partner: {auth: none, type: header.X-Topic + data.verb.name, id: header.X-Id + header.X-Part}
  pairs: {auth: none, type: data.thing + data.record.verb}
  stripe: {provider: stripe, secret: stripe-secret}
  door: {methods: [GET], auth: {scheme: link, secret: door-link}}
  form: {methods: [PUT], auth: none}
  coded:
    auth: none
    schema: {type: object, required: [code], properties: {code: {type: string, pattern: "^[A-Z]{3}$"}}}
routes:
  - {name: all, from: [shop, rows], types: ["it's.new"], to: people}
  - {name: orders, from: [partner, pairs], types: [order.*], to: people}
destinations: {people: {email: {to: ann@example.com}}}
"""


@pytest.fixture
def sources(command: Command, config: Path) -> Command:
    return command.partial("sources")


@pytest.mark.parametrize("language", ["python", "typescript", "curl", "sql-worker"])
def test_a_program_has_the_sources_public_url_and_its_secrets_name(sources: Command, language: str) -> None:
    program = sources("shop", "--snippet", language)
    assert "https://hooks.example.com/shop" in program
    assert "export SHOP_TOKEN=..." in program
    assert "@" not in program.replace("chuckufarley@example.com", "")


@pytest.mark.parametrize("language", ["python", "typescript", "curl", "sql", "sql-worker"])
def test_a_source_without_authentication_needs_no_secret(sources: Command, language: str) -> None:
    assert "secret" not in sources("kinds", "--snippet", language).lower()


@pytest.mark.parametrize("language", ["python", "typescript", "curl"])
def test_a_program_says_that_the_id_in_the_body_must_differ(sources: Command, language: str) -> None:
    program = sources("keyed", "--snippet", language)
    assert "recognizes an event by data.id: set a different value for each event" in program
    assert "send it again" not in program


def test_the_outbox_writes_the_type_where_the_source_looks_for_it(sources: Command) -> None:
    shop, rows = sources("shop", "--snippet", "sql"), sources("rows", "--snippet", "sql")
    assert "jsonb_build_object('meta', jsonb_build_object('kind', TG_ARGV[0]), 'record', to_jsonb(NEW))" in shop
    assert "jsonb_build_object('record', to_jsonb(NEW) || jsonb_build_object('kind', TG_ARGV[0]))" in rows
    assert "hookchain_capture('it''s.new')" in shop
    assert "jsonb_build_object('record', to_jsonb(NEW))" in sources("kinds", "--snippet", "sql")
    assert 'headers={"X-Kind": "password_created"}' in sources("kinds", "--snippet", "sql-worker")


def test_the_texts_that_make_a_type_stand_at_each_of_its_locations(sources: Command) -> None:
    verb = "jsonb_build_object('verb', jsonb_build_object('name', TG_ARGV[0]), 'record', to_jsonb(NEW))"
    partner = sources("partner", "--snippet", "sql")
    assert verb in partner
    assert "hookchain_capture('created')" in partner
    ids = '"X-Id": str(delivery_id), "X-Part": str(delivery_id)'
    assert f'headers={{"X-Topic": "order", {ids}}}' in sources("partner", "--snippet", "sql-worker")
    pairs = sources("pairs", "--snippet", "sql")
    record = "to_jsonb(NEW) || jsonb_build_object('verb', TG_ARGV[1])"
    assert f"jsonb_build_object('thing', TG_ARGV[0], 'record', {record})" in pairs
    assert "hookchain_capture('order', 'created')" in pairs


def test_a_note_says_why_the_example_of_a_program_is_rejected(sources: Command) -> None:
    assert '"code": "example"' in sources("coded", "--snippet", "python")
    assert "The example breaks the schema of 'coded', so write one of your own: data.code breaks" in sources.error
    sources("shop", "--snippet", "python")
    assert not sources.error


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        (["stripe"], 1, "needs it (hmac). Send a test event with `hookchain smoke --source stripe`"),
        (["door"], 1, "accepts no POST. Make a link with `hookchain link door`"),
        (["form"], 1, "the source 'form' accepts no POST, and a snippet sends nothing else"),
        ([], 2, "--snippet needs the NAME of a source"),
    ],
)
def test_a_source_that_an_application_cannot_send_to_says_what_to_do(
    sources: Command, source: list[str], code: int, message: str
) -> None:
    sources(*source, "--snippet", "python", code=code)
    assert message in sources.error
