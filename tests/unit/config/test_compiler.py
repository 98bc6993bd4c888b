"""The configuration compiled: slices, chains, and what routes decide."""

import os
import time
from pathlib import Path

import pytest

from deploy.config.checkout import ROOT, choose_config, config_in_use, config_to_check, config_to_deploy, env_file
from deploy.config.compiler import compile_config, compile_file, config_from_environment, secrets_needed
from deploy.config.config_file import ConfigFaults
from deploy.config.local_ports import ports_from
from deploy.config.running_dev import DevFile, config_faults, remove_dev_file, write_dev_file
from shared.event import Event
from shared.jsontext import mapping_at, mappings_at, value_at
from shared.waiting_route import RETRY_SECONDS
from tests.fakes.configurations import compile_text, faults_of_text
from tests.unit.config.own_configuration import CONFIG, EVENT, STEP, data_of, decided

WHOLE = """\
sources:
  form:
    auth: {scheme: basic, username: web, secret: form-password}
  other:
    auth: none
routes:
  - name: mail it
    from: form
    where: data.plan != 'free'
    steps:
      - drop: [data.password]
    to: people
destinations:
  people:
    email: {to: [team], subject: "New: {{ data.name }}"}
lists:
  team: [ann@example.com, bob@example.com]
"""


def test_each_function_gets_its_own_slice_and_nothing_of_the_others() -> None:
    slices = compile_text(WHOLE)
    assert tuple(slices) == ("receive", "transform", "notify")
    assert "people" not in str(slices["receive"])
    assert "form-password" not in str(slices["transform"]) + str(slices["notify"])


def test_a_section_that_is_not_there_leaves_nothing_in_a_slice() -> None:
    text = str(compile_text(WHOLE))
    sections = ("alerts", "develop", "recover", "seen", "subscribe", "telemetry")
    assert not [name for name in sections if name in text]


def test_the_names_of_lists_become_their_addresses() -> None:
    destinations = compile_text(WHOLE)["notify"]["destinations"]
    assert "['ann@example.com', 'bob@example.com']" in str(destinations)


@pytest.mark.parametrize(("sources", "kept_of_other"), [("form", "no"), ("all", "body")])
def test_a_source_whose_body_is_mailed_as_it_came_keeps_it_and_no_other_does(sources: str, kept_of_other: str) -> None:
    compiled = mappings_at(compile_text(WHOLE.replace("from: form", f"from: {sources}"))["receive"], "sources")
    assert {name: source["keep_raw"] for name, source in compiled.items()} == {"form": "body", "other": kept_of_other}


def test_json_that_is_compared_with_an_event_or_becomes_a_part_of_one_keeps_its_white_space() -> None:
    text = """\
sources: {a: {auth: none, schema: {enum: ["x "]}, respond: {body: {"k ": "x "}}}}
routes: [{name: all, steps: [{set: {data.k: "x "}}, {lint: {schema: {enum: ["x "]}}}], to: log}]
destinations: {log: {log: {}}}
"""
    slices = compile_text(text)
    source = mapping_at(slices["receive"], "sources", "a")
    assert value_at(source, "schema", "enum") == ["x "]
    assert value_at(source, "respond", "body") == {"k ": "x "}
    assert value_at(slices["transform"], "routes", 0, "steps") == [
        {"set": {"data.k": "x "}},
        {"lint": {"schema": {"enum": ["x "]}}},
    ]


def test_every_fault_is_reported_at_once_with_its_line() -> None:
    text = faults_of_text(
        WHOLE.replace("auth: none", "auth: {scheme: hmmac}")
        .replace("from: form", "from: forms")
        .replace("to: people", "to: poeple")
        .replace("data.plan !=", "data.plan !!")
        .replace("drop:", "dorp:")
    )
    lines = text.splitlines()
    assert [line.split(":")[1] for line in lines] == ["5", "8", "9", "11", "12"]
    assert "did you mean 'people'?" in text
    assert "did you mean 'drop'?" in text


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (("auth: none", "methods: [POST]"), "needs authentication"),
        (("steps:\n      - drop: [data.password]", "steps: {drop: [data.password]}"), "list"),
        (("to: [team]", "to: [taem]"), "did you mean 'team'?"),
        (("email:", "emial:"), "did you mean 'email'?"),
        (("  other:", "  form:"), "is a duplicate key"),
        (("    to: people", "    type: a\n    to: people"), "there is no such key; did you mean 'types'?"),
        (("username: web", "user: web"), "there is no such key; did you mean 'username'?"),
        (("- name:", "- nmae:"), "route 1: name: is missing"),
        (("team: [ann@example.com, bob@example.com]", "team: ann@example.com"), "must be a list"),
        (("scheme: basic, ", ""), "the key 'scheme' is missing"),
        (("auth: none", "auth: []"), "must have at least one scheme"),
        (
            ("where: data.plan", "types: [off]\n    where: data.plan"),
            "route 'mail it': types.0: must be text; got off, which YAML reads as false. Put it in quotes: \"off\"",
        ),
        (("to: people", "to: yes"), 'to: must be text; got yes, which YAML reads as true. Put it in quotes: "yes"'),
        (("to: [team]", "to: [on]"), "email.to.0: must be text; got on, which YAML reads as true. Put it in quotes"),
        (("[data.password]", "[off]"), "step 1 'drop': [0]: must be text; got false. Put it in quotes"),
    ],
)
def test_a_fault_names_its_rule(change: tuple[str, str], rule: str) -> None:
    assert rule in faults_of_text(WHOLE.replace(*change))


def test_a_list_that_is_not_there_hides_no_other_fault_of_its_destination() -> None:
    text = faults_of_text(WHOLE.replace("to: [team]", "to: [taem], cc: [nobody], text: '{{ data.x | uper }}'"))
    assert "must be an address or the name of a list; got 'taem'; did you mean 'team'?" in text
    assert "No filter named 'uper'; did you mean 'upper'?" in text
    assert len(text.splitlines()) == 3


def test_an_entry_of_a_list_that_is_no_address_is_reported_where_it_stands() -> None:
    text = faults_of_text(WHOLE.replace("bob@example.com]", "bob.example.com]"))
    assert "list 'team': 1: must be a mail address, such as anna@example.com; got 'bob.example.com'" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "sources: {}", "sources: 3\nroutes: 3"])
def test_what_is_no_configuration_is_rejected_with_a_message(text: str) -> None:
    assert faults_of_text(text)


def test_without_a_file_one_password_and_one_address_are_enough() -> None:
    slices = compile_config(config_from_environment({"EMAIL_ADDRESS": "a@example.com, b@example.com"}))
    assert secrets_needed(slices) == ["webhook-password"]
    assert "['a@example.com', 'b@example.com']" in str(slices["notify"])


def test_without_a_file_and_without_an_address_it_says_what_to_set() -> None:
    with pytest.raises(ConfigFaults, match="EMAIL_ADDRESS"):
        compile_file(None, {})


def test_the_operators_file_comes_before_the_mode_without_one_and_that_before_the_example(tmp_path: Path) -> None:
    example = tmp_path / "deploy/hookchain.example.yaml"
    own = tmp_path / "deploy/hookchain.yaml"
    assert choose_config({}, tmp_path) == example
    assert choose_config({"EMAIL_ADDRESS": "a@example.com"}, tmp_path) is None
    own.parent.mkdir()
    own.touch()
    assert choose_config({"EMAIL_ADDRESS": "a@example.com"}, tmp_path) == own
    assert choose_config({"HOOKCHAIN_CONFIG": "none"}, tmp_path) is None
    assert choose_config({"HOOKCHAIN_CONFIG": "x.yaml"}, tmp_path) == Path("x.yaml")


def test_the_operators_faulty_file_is_checked_though_dev_serves_the_example(tmp_path: Path) -> None:
    example, own = tmp_path / "deploy/hookchain.example.yaml", tmp_path / "deploy/hookchain.yaml"
    own.parent.mkdir()
    state = tmp_path / "state"
    state.mkdir()
    write_dev_file(state, DevFile(ports_from(9000), config=str(example)))
    before = config_to_check(None, {}, state, tmp_path)
    own.touch()
    after = config_to_check(None, {}, state, tmp_path)

    assert before == (example, f"Checking {example} (the example; there is no deploy/hookchain.yaml)")
    assert after == (own, f"Checking {own} (your configuration). `hookchain dev` serves another: {example}")
    own.with_suffix(".yml").touch()
    assert "(hookchain.yml beside it is not used)" in config_to_check(None, {}, state, tmp_path).line


def test_the_file_that_dev_was_started_with_is_checked_and_the_line_says_why(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    write_dev_file(tmp_path, DevFile(ports_from(9000), config=str(recipe), by_name=True))

    why = "`hookchain dev` was started with it; name another file with --config"
    assert config_to_check(None, {}, tmp_path, tmp_path) == (recipe, f"Checking {recipe} ({why})")
    assert config_to_check("x.yaml", {}, tmp_path, tmp_path).line.startswith("Checking x.yaml (named by --config). ")


def test_a_command_goes_by_what_runs_unless_it_is_told_another_and_a_deployment_never(tmp_path: Path) -> None:
    checkouts_own = config_in_use(None, {}, tmp_path)
    write_dev_file(tmp_path, DevFile(ports_from(9000), config="/recipe.yaml"))
    assert config_in_use(None, {}, tmp_path) == Path("/recipe.yaml")
    assert config_in_use("mine.yaml", {}, tmp_path) == Path("mine.yaml")
    assert config_in_use(None, {"HOOKCHAIN_CONFIG": "mine.yaml"}, tmp_path) == Path("mine.yaml")
    assert config_to_deploy(None, {}) != Path("/recipe.yaml")
    write_dev_file(tmp_path, DevFile(ports_from(9000)))
    assert config_in_use(None, {}, tmp_path) is None
    remove_dev_file(tmp_path)
    assert config_in_use(None, {}, tmp_path) == checkouts_own


def test_a_configuration_file_that_is_named_must_exist() -> None:
    with pytest.raises(ConfigFaults, match="cannot be read"):
        compile_file(Path("nowhere.yaml"), {})


@pytest.mark.parametrize(
    "path",
    [Path("deploy/hookchain.example.yaml"), *sorted(Path("deploy").glob("recipes/*/hookchain.yaml"))],
    ids=lambda path: path.parent.name,
)
def test_the_example_and_every_recipe_compile(path: Path) -> None:
    assert compile_file(path, {})


@pytest.mark.parametrize("wait", ["3651d", ".nan"])
def test_a_wait_whose_end_is_no_date_is_a_fault(wait: str) -> None:
    assert "hookchain.yaml:16: destination 'people': retry.1: must be " in faults_of_text(
        WHOLE.replace("lists:", f"    retry: [10s, {wait}]\nlists:")
    )


@pytest.mark.parametrize("number", [".inf", "-.INF", ".nan", "1.0e+999"])
@pytest.mark.parametrize(
    ("case", "where"),
    [
        ("input: {source: form, event: {type: NUMBER}}, expect: []", "tests.0.input.event.type"),
        ("input: {source: form, body: {a: [NUMBER]}}, expect: []", "tests.0.input.body.a.0"),
        (
            "input: {source: form, body: {}}, expect: [{to: people, request: {body: NUMBER}}]",
            "tests.0.expect.0.request.body",
        ),
    ],
)
def test_a_number_that_json_does_not_have_is_a_fault(case: str, where: str, number: str) -> None:
    text = f"{WHOLE}tests:\n  - {{name: one, {case.replace('NUMBER', number)}}}\n"
    rule = f"hookchain.yaml:19: {where}: must be a finite number; got {number}. Put it in quotes if it is text"
    assert rule in faults_of_text(text).splitlines()


@pytest.mark.parametrize("text", ["sources: &a {form: *a}", "&a {sources: {form: {<<: *a}}}"])
def test_an_alias_that_stands_for_what_it_is_in_is_a_fault(text: str) -> None:
    assert faults_of_text(text) == "hookchain.yaml:1: not YAML: an alias stands for what it is in"


def test_aliases_that_stand_for_too_much_are_a_fault() -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert (
        faults_of_text(f"a0: &a0 x\n{levels}")
        == "hookchain.yaml:1: not YAML: its aliases stand for more than 250000 values"
    )


@pytest.mark.parametrize("text", ["[" * 30_000, "- " * 30_000, "? " * 30_000])
def test_a_file_nested_too_deeply_is_a_fault_and_does_not_end_the_process(text: str) -> None:
    assert faults_of_text(text).startswith("hookchain.yaml:1: not YAML: ")


def test_an_alias_is_a_copy_of_what_it_stands_for() -> None:
    shared = WHOLE.replace("auth: none", "auth: &open none\n  third:\n    auth: *open")
    assert str(compile_text(shared)["receive"]).count("'scheme': 'none'") == 2


def test_the_commands_read_the_named_env_file_or_that_of_a_running_dev_and_say_what_no_reload_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    config = tmp_path / "hookchain.yaml"
    config.touch()
    monkeypatch.delenv("HOOKCHAIN_ENV_FILE")
    assert env_file() == ROOT / ".env"
    monkeypatch.setenv("HOOKCHAIN_ENV_FILE", "named.env")
    assert env_file() == Path("named.env")
    dev = DevFile(ports_from(9000), config=str(config), unchanged_since=time.time(), env_file=str(tmp_path / "own.env"))
    write_dev_file(tmp_path, dev)
    assert env_file() == Path("named.env")
    monkeypatch.delenv("HOOKCHAIN_ENV_FILE")
    assert env_file() == tmp_path / "own.env"
    assert "--no-reload" not in config_to_check(str(config), {}, tmp_path).line
    os.utime(config, (time.time() + 60, time.time() + 60))
    note = "has changed since `hookchain dev --no-reload` read it: restart that to serve it"
    assert note in config_to_check(str(config), {}, tmp_path).line
    assert note in config_faults(tmp_path)


# Named chains and routes, from the configuration to what they decide


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_steps").mkdir()
    (tmp_path / "my_steps" / "loyalty.py").write_text(STEP, encoding="utf-8")
    return tmp_path


async def test_a_route_that_drops_what_fails_says_so_and_leaves_no_dead_letter(folder: Path) -> None:
    decision = await decided(folder, Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"total": "hunter2"}))

    assert (decision.owed, decision.failed) == ((), ())
    assert decision.routes[1].matched
    assert decision.routes[1].code is None
    assert "dropped, as `on_error` says" in decision.routes[1].reason
    assert "hunter2" not in decision.routes[1].reason


async def test_a_route_that_goes_on_delivers_the_event_from_before_the_step(folder: Path) -> None:
    text = CONFIG.replace("on_error: drop", "on_error: continue")
    event = Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"total": "hunter2"})
    decision = await decided(folder, event, text)

    assert data_of(decision) == [{"total": "hunter2"}]
    assert (
        "went on from chain 'points' step 1 'loyalty': TypeError at my_steps/loyalty.py:22" in decision.routes[1].reason
    )


def test_an_own_step_may_mean_another_thing_by_retry(folder: Path) -> None:
    asking = (
        STEP.replace("Example, Step, StepContext", "AskingStep, Example, Services, StepContext")
        .replace("(BaseModel, Step)", "(BaseModel, AskingStep)")
        .replace("def apply(self, event: Event, _: StepContext)", "async def ask(self, event, _, services: Services)")
        .replace("per_point: int", "per_point: int\n    retry: bool = True")
    )
    (folder / "my_steps" / "loyalty.py").write_text(asking, encoding="utf-8")
    notify = compile_text(CONFIG, folder)["notify"]
    assert notify["waiting_routes"] == {"longest_seconds": sum(RETRY_SECONDS)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps: points", "steps: pionts"), "there is no chain 'pionts'; did you mean 'points'?"),
        (
            ("vip: [{set: {data.vip: true}}]", "vip: [{chain: two}]\n  two: [{switch: {to: vip}}]"),
            "chain 'vip': step 1 'chain': a chain cannot lead to itself: vip → two → vip",
        ),
        (("vip: [", "vip: [{dorp: [data.x]}, "), "chain 'vip': step 1 'dorp': there is no such step; did you mean"),
        (("vip: [", "vip: [{email: {}}, "), "chain 'vip': step 1 'email': is a kind of destination: write it under"),
        (("on_error: drop", "on_error: dead_leter"), "; did you mean 'dead_letter'?"),
        (("per_point: 10", "per_piont: 10"), "there is no such setting; did you mean 'per_point'?"),
    ],
)
def test_a_fault_in_chains_and_routes_names_its_place(folder: Path, change: tuple[str, str], message: str) -> None:
    assert message in faults_of_text(CONFIG.replace(*change), folder)
