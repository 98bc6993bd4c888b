"""`hookchain test`: the tests of a configuration."""

from pathlib import Path

import pytest

from tests.unit.cli.steps.hookchain import CONFIG, Hookchain


def test_the_configurations_tests_pass_or_say_what_is_otherwise(hookchain: Hookchain, config: Path) -> None:
    code, out, err = hookchain("test", "--config", str(config))
    assert (code, err) == (0, "")
    assert out.decode().splitlines()[1:] == [
        "ok    a paid sign-up is mailed",
        "ok    a free one is not",
        "ok    a card is looked up",
        "3 tests, 0 failed",
    ]

    text = CONFIG.replace("plan: pro}\n        mail", "plan: gold}\n        mail").replace("New Ada", "Old Ada")
    config.write_text(text.replace("expect: []", "expect: [{to: people}]"))
    code, out, _ = hookchain("test", "--config", str(config))
    output = out.decode()
    assert code == 1
    assert '- data.plan: "gold"' in output
    assert '+ data.plan: "pro"' in output
    assert "mail's subject: expected 'Old Ada', found 'New Ada'" in output
    assert "nothing goes to 'people'" in output
    assert "filtered at step 2 'filter': a free plan" in output
    assert "3 tests, 2 failed" in output


def test_an_event_that_fails_fails_its_test_unless_the_test_expects_that(hookchain: Hookchain, config: Path) -> None:
    broken = CONFIG.replace("    expect: []", "    expect: []").replace(
        "steps: [{fetch", "steps: [{set: {data.name.first: x}}, {fetch"
    )
    text = broken.replace("expect: [{to: people, data: {card", "expect: []\n  # [{to: people, data: {card")
    config.write_text(text)
    code, out, _ = hookchain("test", "--config", str(config))
    assert code == 1
    assert "failed: path_conflict: route 'details': step 1 'set': " in out.decode()

    config.write_text(text.replace("    answers:", "    fails: path_conflict\n    answers:"))
    assert hookchain("test", "--config", str(config))[0] == 0

    config.write_text(text.replace("    answers:", "    fails: lint_failed\n    answers:"))
    output = hookchain("test", "--config", str(config))[1].decode()
    assert "nothing failed with the code 'lint_failed' that `fails` expects" in output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("input: {source: form, event", "input: {source: from, event"), "there is no source 'from'; did you mean"),
        (("route: mail", "route: mial"), "there is no route 'mial'; did you mean 'mail'?"),
        (("body: {event: signup.created", "file: nowhere.json # {event"), "there is no file 'nowhere.json'"),
        (("body: {event", "file: nowhere.json\n      body: {event"), "must have exactly one of"),
        (("name: a free one is not", "name: a card is looked up"), "another test has this name"),
    ],
)
def test_a_fault_in_a_test_is_one_of_the_configuration(
    hookchain: Hookchain, config: Path, change: tuple[str, str], message: str
) -> None:
    config.write_text(CONFIG.replace(*change))
    code, _, err = hookchain("test", "--config", str(config))

    assert code == 1
    assert message in err


def test_a_system_that_a_test_does_not_answer_for_is_named(hookchain: Hookchain, config: Path) -> None:
    config.write_text(CONFIG.replace("api.example.com/a%2Fb", "api.example.com/other"))
    code, out, _ = hookchain("test", "--config", str(config))
    assert (code, "the test has no answer of api.example.com for this URL" in out.decode()) == (1, True)
