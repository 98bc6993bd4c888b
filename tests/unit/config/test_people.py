"""`people` and destinations whose `to` names a person: faults with their lines, and the slice."""

from pathlib import Path

import pytest

from deploy.bundle.requirements import needed_extras
from deploy.config.compiler import secrets_needed
from deploy.config.config_file import ConfigFaults
from deploy.secrets.needs import needs
from functions.notify.registry import RecipientRule, read_destinations
from shared.jsontext import JsonObject, value_at
from tests.fakes.configurations import compile_text

SMS = 'sms: {account: AC00000000000000000000000000000000, secret: twilio, from: "+15005550006"'


def text(people: str, destination: str) -> str:
    return f"""\
sources:
  github: {{provider: github, secret: github-secret}}
  shop: {{auth: none, type: data.type}}
people: {people}
destinations:
  it: {{{destination}}}
routes: [{{name: r, to: it}}]
"""


ANNA = '{anna: {email: anna@example.com, phone: "+447700900123", github: anna-gh, slack: U0ANNA1}}'


def slice_of(people: str, destination: str, folder: Path = Path()) -> JsonObject:
    return compile_text(text(people, destination), folder)["notify"]


def faults_of(people: str, destination: str, folder: Path = Path()) -> list[str]:
    with pytest.raises(ConfigFaults) as found:
        slice_of(people, destination, folder)
    return [fault.text("") for fault in found.value.faults]


@pytest.mark.parametrize(
    ("destination", "recipient"),
    [
        ("email: {to: actor}", RecipientRule("email", "actor")),
        (
            "email: {to: \"data.people[?role=='owner'].id | [0]\"}",
            RecipientRule("email", "data.people[?role=='owner'].id | [0]"),
        ),
        ("email: {to: {person: anna}}", RecipientRule("email", person="anna")),
        (f"{SMS}, to: actor}}", RecipientRule("phone", "actor")),
        (f"{SMS}, to: {{person: anna}}}}", RecipientRule("phone", person="anna")),
        ("slack: {secret: s, to: actor}", RecipientRule("slack", "actor")),
        ("telegram: {secret: s, to: actor}", RecipientRule("telegram", "actor")),
    ],
)
def test_to_names_a_person_in_each_kind_that_can_address_one(destination: str, recipient: RecipientRule) -> None:
    slice_ = slice_of(ANNA, destination)
    assert read_destinations(slice_)["it"].recipient == recipient
    assert value_at(slice_, "people", "providers") == {"github": "github"}


@pytest.mark.parametrize(
    "destination",
    ["email: {to: '{{ data.mail }}', allow_recipients: example.com}", "webhook: {url: 'https://x.example'}"],
)
def test_the_list_is_in_the_slice_only_where_a_destination_uses_it(destination: str) -> None:
    slice_ = slice_of(f"{ANNA}\nlists: {{team: [a@example.com]}}", destination)
    assert "people" not in slice_
    assert read_destinations(slice_)["it"].recipient is None


TOPIC = "ntfy: {topic: t}"


@pytest.mark.parametrize(
    ("destination", "fault"),
    [
        ("webhook: {url: 'https://x.example', to: actor}", "webhook.to: 'webhook' cannot address a person. Kinds that"),
        ("email: {to: [actor, x@example.com]}", "email: 'actor' must stand alone in `to`"),
        ("email: {to: data.asignee..x}", "email.to: 'data.asignee..x' is not JMESPath: column 14"),
        ("email: {to: actr}", "email: must be an address or the name of a list; got 'actr'; did you mean 'actor'?"),
        (
            "email: {to: {person: ana}}",
            "email.to: there is nobody in `people` with the name 'ana'; did you mean 'anna'?",
        ),
        ("telegram: {secret: s, to: {person: anna}}", "telegram.to: 'anna' in `people` has no `telegram`"),
        (
            "email: {to: x@example.com, text: 'Dear {{ person.name }}'}",
            "email.text: a template has `person` only where",
        ),
    ],
)
def test_a_fault_of_a_destination_names_its_line_and_what_to_do(destination: str, fault: str) -> None:
    [found] = faults_of(ANNA, destination)
    assert found.startswith(f":6: destination 'it': {fault}")


@pytest.mark.parametrize(
    ("people", "fault"),
    [
        (
            "{anna: {githup: x}}",
            ".anna.githup: is not a field of a person, a source or a provider; did you mean 'github'?",
        ),
        ("{anna: {github: a}, bob: {github: [b, a]}}", ": 'anna' and 'bob' both have the name 'a' for github"),
        ("{file: nowhere.csv}", ": the file 'nowhere.csv', relative to the configuration's folder, cannot be read"),
        ("{url: 'http://x.example'}", ": url: must begin with https://, without spaces; got 'http://x.example'"),
    ],
)
def test_a_fault_of_the_list_names_its_line_and_what_to_do(people: str, fault: str) -> None:
    [found] = faults_of(people, TOPIC)
    assert found.startswith(f":4: people{fault}")


def test_a_destination_to_a_person_needs_a_list() -> None:
    [found] = faults_of("{}", "email: {to: actor}")
    assert found == (
        ":6: destination 'it': email.to: names a person, but `people` lists nobody. Add `people` to the configuration"
    )
    assert slice_of("{}", "email: {to: actor, allow_recipients: example.com}")["people"]


def test_the_line_of_a_fault_in_a_person_is_the_field_s() -> None:
    found = faults_of('\n  anna:\n    email: anna@example.com\n    phone: "1"\n    aliases: [""]', "ntfy: {topic: t}")
    assert [fault.partition(" ")[0] for fault in found] == [":7:", ":8:"]


def test_a_file_beside_the_configuration_is_compiled_in(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("name,email,github\nanna,anna@example.com,anna-gh\nbob,,\n")
    slice_ = slice_of("{file: people.csv}", "email: {to: actor}", tmp_path)

    assert slice_["people"] == {
        "rows": [{"name": "anna", "email": "anna@example.com", "github": "anna-gh"}, {"name": "bob"}],
        "providers": {"github": "github"},
    }
    found = faults_of("{file: people.csv}", "email: {to: {person: bob}}", tmp_path)
    assert found == [
        ":6: destination 'it': email.to: 'bob' in `people` has no `email`, which this kind of destination needs"
    ]


def test_every_fault_of_a_file_is_reported_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,emial,phone,aliases\nanna,a@example.com,07700,x\nbob,b@example.com,,X\n,,,\n")
    assert faults_of("{file: p.csv}", "email: {to: actor}", tmp_path) == [
        ":4: people: 'anna' and 'bob' both have the name 'x': a name must mean one person",
        ':4: people: p.csv, row 1: phone must be a number with its country\'s code, in quotes, such as "+447700900123"',
        ":4: people: p.csv, row 3: name must be a printable text of 1 to 100 characters",
        ":4: people: p.csv: emial is not a field of a person, a source or a provider; did you mean 'email'?",
    ]


def test_a_list_at_a_url_is_named_with_its_secret() -> None:
    slice_ = slice_of("{url: 'https://hr.example.com/p', secret: people-token}", "email: {to: {person: anna}}")
    assert slice_["people"] == {
        "url": "https://hr.example.com/p",
        "secret": "people-token",
        "allow_private": False,
        "providers": {"github": "github"},
    }
    assert "people-token" in secrets_needed({"notify": slice_})
    assert "zones" in needed_extras("notify", slice_)
    [need] = [each for each in needs({"receive": {"sources": {}}, "notify": slice_}, {}) if each.name == "people-token"]
    assert (need.uses_text, need.readers, need.origin) == ("the list of people", ("notify",), "issued")
    inside = slice_of("{url: 'http://hr.internal/p', allow_private: true}", "email: {to: actor}")
    assert inside["people"] == {"url": "http://hr.internal/p", "allow_private": True, "providers": {"github": "github"}}
