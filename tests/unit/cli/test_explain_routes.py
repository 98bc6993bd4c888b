"""`hookchain explain` behind receive: why a route did not fire, what each step did, what would go out."""

from pathlib import Path
from typing import Final

import pytest

from shared.jsontext import Json, JsonObject, to_json
from tests.fakes.command import Command, exit_code

CONFIG: Final = """\
sources:
  shop: {auth: none, id: data.id}
routes:
  - name: orders
    types: [order.*]
    to: people
  - name: paid
    types: [sign*]
    steps: [{drop: [data.password]}, {set: {data.team: north}}, {filter: {keep: data.paid, reason: not paid}}]
    to: people
  - name: broken
    steps: [{set: {data.name.first: x}}]
    to: people
  - name: rest
    else: true
    to: people
destinations:
  people: {email: {to: ann@example.com, subject: "{{ type }}", text: "For {{ data.name | default('all') }}"}}
"""
ARGUMENTS: Final = ("--config", "hookchain.yaml", "--env-file", ".env", "--source", "shop", "--file", "body")
EVENT: Final[JsonObject] = {"event": "signup.created", "id": 7, "name": "Ada", "password": "hunter2", "paid": False}


class Explain:
    """`hookchain explain`. Each call returns its lines as one, for an event and the configuration `config`."""

    def __init__(self, command: Command) -> None:
        self.config = CONFIG
        self._command = command.partial("explain", *ARGUMENTS)
        Path(".env").touch(0o600)

    def __call__(self, event: Json, *arguments: str, code: int = 0) -> str:
        Path("hookchain.yaml").write_text(self.config, encoding="utf-8")
        Path("body").write_text(to_json(event), encoding="utf-8")
        output = self._command("-H", "content-type: application/json", *arguments, code=code)
        assert self._command.error == ""
        return " ".join(output.split())


@pytest.fixture
def explain(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    monkeypatch.chdir(tmp_path)
    return Explain(command)


def test_a_false_condition_shows_the_values_that_it_read(explain: Explain) -> None:
    explain.config = CONFIG.replace("types: [order.*]", "where: data.total > `1000` && data.plan != 'free'")
    text = explain({"event": "signup.created", "total": 900, "plan": "pro"})

    assert "route 'orders', the values that its `where` read · data.total: 900 · data.plan: \"pro\"" in text
    assert "step 3 'filter': not paid: data.paid is not true · data.paid: null" in text


def test_a_path_that_finds_nothing_is_named_with_the_likely_one(explain: Explain) -> None:
    explain.config = CONFIG.replace("types: [order.*]", "where: data.totl > `1000`")
    assert "data.totl: null; did you mean data.total?" in explain({"event": "order.paid", "total": 1500})


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("data.rows[0][1] == `5`", "data.rows[0][1]: 2"),
        ('data."a.cd" == `1`', 'data."a.cd": null; did you mean data."a.c"?'),
        ("data.ac == `1`", 'data.ac: null; did you mean data."a.c"?'),
        ("data.none.deeper == `1`", "data.none.deeper: null"),
    ],
)
def test_a_path_with_several_indexes_or_a_quoted_name_is_shown(explain: Explain, where: str, line: str) -> None:
    explain.config = CONFIG.replace("types: [order.*]", f"where: '{where}'")
    assert line in explain({"event": "order.paid", "rows": [[1, 2]], "a.c": 1})


def test_a_number_that_came_as_text_is_named_with_the_setting_that_makes_it_one(explain: Explain) -> None:
    explain.config = CONFIG.replace("types: [order.*]", "where: data.total > `1000`")
    text = explain({"event": "order.paid", "total": "1500"})
    assert "data.total is text, which never equals or exceeds a number; write to_number(data.total)" in text
    assert "`cast: {data.total: number}` on source 'shop'" in text

    explain.config = explain.config.replace("id: data.id", "cast: {data.total: number}")
    assert "orders matched: where data.total > `1000` is true" in explain({"event": "x", "total": "1500"})


def test_what_routes_make_of_a_request_is_reported_without_its_signature_where_that_is_asked(explain: Explain) -> None:
    explain.config = CONFIG.replace("{auth: none", "{auth: {scheme: basic, username: web, secret: shop-password}")

    text = explain(EVENT, "--unsigned", code=4)
    assert "- secret not checked (--unsigned)" in text
    assert "- signature assumed valid" in text
    assert "- time not checked (--unsigned)" in text
    assert "orders not_matched: type 'signup.created'" in text
    assert exit_code("explain", *ARGUMENTS) == 3


def test_a_request_that_a_step_would_make_is_reported_without_what_proves_us(explain: Explain) -> None:
    fetch = """- name: looked up
    steps:
      - fetch:
          url: "https://api.example.com/cards/{{ data.id }}?fields=name"
          auth: {scheme: query, parameter: key, secret: api-key}
          into: data.card
    to: people
  - name: orders"""
    explain.config = CONFIG.replace("- name: orders", fetch)
    Path(".env").write_text("API_KEY=hunter2hunter2hunter2\n", encoding="utf-8")
    text = explain({**EVENT, "password": "x"}, code=4)
    assert "but what is delivered depends on the answer of another system, which explain does not ask" in text

    assert "it would send GET https://api.example.com/cards/7?…, which is not sent offline" in text
    assert "hunter2" not in text
    waits = "5 s, 30 s, 2 min, 5 min, 10 min, 20 min, 30 min, 15 × 1 h"
    assert f"If that system is unavailable, only this route waits: it runs again after {waits}" in text


def test_each_step_is_shown_as_what_it_changed(explain: Explain) -> None:
    text = explain({**EVENT, "paid": True})

    changes = "~ step 1 'drop': changed - data.password: \"hunter2\" ~ step 2 'set': changed + data.team: \"north\""
    assert changes in text
    assert "= step 3 'filter': no change" in text


def test_an_event_that_becomes_several_is_reported_part_by_part(explain: Explain) -> None:
    explain.config = CONFIG.replace("set: {data.name.first: x}", "split: data.items")
    text = explain({"event": "x", "id": 8, "items": [{"sku": "A"}, {"sku": "B"}]})
    assert "step 1 'split': into 2 events" in text
    assert '-1: {"sku":"A"} + event' in text


@pytest.mark.parametrize(
    ("steps", "removed_by"),
    [
        ("- map: '{id: data.id}'", "step 1 'map'"),
        ("- drop: [data.name]", "step 1 'drop'"),
        (
            "- set: {data.team: north}\n      - rename: {data.name: who}\n      - keep: data.id",
            "step 2 'rename' or step 3 'keep'",
        ),
    ],
)
@pytest.mark.parametrize("reader", ["step", "destination"])
def test_a_missing_field_is_named_with_the_steps_that_may_have_removed_it(
    explain: Explain, steps: str, removed_by: str, reader: str
) -> None:
    template = "\n      - template: {data.text: '{{ data.name }}'}" if reader == "step" else ""
    explain.config = CONFIG.replace("    types: [order.*]\n", f"    steps:\n      {steps}{template}\n")
    if reader == "destination":
        explain.config = explain.config.replace("data.name | default('all')", "data.name")
    text = explain(EVENT, code=4)
    assert "'data.name' is not in this event" in text
    assert f"where it may be missing. The route's {removed_by} may have removed it" in text


def test_a_path_in_the_settings_of_a_destination_that_the_event_lacks_is_named(explain: Explain) -> None:
    explain.config = CONFIG.replace('}}"}}\n', '}}"}, digest: {every: 15m, by: data.nmae}}\n')
    text = explain({**EVENT, "event": "order.paid"})
    assert "'data.nmae' is not in this event; did you mean 'data.name'? It counts as null" in text
