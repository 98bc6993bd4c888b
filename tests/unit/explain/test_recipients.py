"""Explain says who would be told, or why nobody."""

from dataclasses import replace
from pathlib import Path

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.explain.config_tests import run_config_tests
from deploy.explain.deliveries import DeliveryPreview, Situation, preview_delivery
from functions.notify.http_kind import example_delivery
from shared.delivery import Delivery

CONFIG = """
sources: {shop: {auth: none}}
routes: [{name: orders, to: [mail, text, chat]}]
people: %s
destinations:
  mail: {email: {to: actor, from: bot@example.com}, otherwise: office}
  office: {email: {to: office@example.com}}
  text: {sms: {account: AC00000000000000000000000000000000, secret: x, from: "+15005550006", to: {person: anna}}}
  chat: {slack: {secret: s, to: data.owner}}
tests:
  - name: Anna is told
    input: {source: shop, event: {actor: anna.b, data: {owner: anna}}}
    expect:
      - {to: mail, mail: {to: anna@example.com}}
      - {to: text, request: {body: {To: "+447700900123"}}}
      - {to: chat, request: {body: {channel: U0ANNA1}}}
  - name: a stranger is nobody
    input: {source: shop, event: {actor: eve, data: {owner: anna}}}
    expect: [{to: mail}, {to: text}, {to: chat}]
    fails: unknown_person
"""
HERE = '{anna: {email: anna@example.com, phone: "+447700900123", slack: U0ANNA1, aliases: [anna.b]}}'


def preview(destination: str, actor: str, people: str = HERE) -> DeliveryPreview:
    notify = compile_config(parse_config(CONFIG % people, "hookchain.yaml", Path()))["notify"]
    event = replace(example_delivery({"owner": "anna"}).event, actor=actor)
    return preview_delivery(Delivery(event, "orders", destination), notify, {}, Situation(0.0))


def test_the_person_is_named_with_a_masked_address() -> None:
    assert preview("mail", "anna.b").check.text == "a mail to anna (a…@example.com): order.created from shop"
    assert preview("text", "eve").check.text.startswith("sms: to anna (+44…): POST https://api.twilio.com")
    chat = preview("chat", "eve")
    assert chat.check.text == "slack: to anna (U0A…): POST https://slack.com/api/chat.postMessage"
    assert any('"channel": "U0ANNA1"' in line for line in chat.lines)


def test_nobody_is_told_with_the_reason_and_who_gets_it_instead() -> None:
    found = preview("mail", "octocat")
    assert found.check.state == "failed"
    assert found.check.text == (
        "unknown_person: nobody in `people` is the event's actor, 'oct…': add that name to `aliases` of a person in "
        "`people`, or as `shop: NAME`; 'office' gets it instead"
    )


def test_a_list_at_a_url_is_not_read() -> None:
    at_url = "{url: 'https://hr.example.com/people?key=s3cret'}"
    assert preview("mail", "octocat", at_url).check.text == (
        "email: to the actor 'oct…', whom notify looks up in the list at hr.example.com"
    )
    assert "to `data.owner`, whom" in preview("chat", "octocat", at_url).check.text
    assert "to 'anna', whom" in preview("text", "octocat", at_url).check.text


def test_a_configuration_s_tests_expect_people() -> None:
    file = parse_config(CONFIG % HERE, "hookchain.yaml", Path())
    results = run_config_tests(file.document, compile_config(file), file.folder)
    assert [(each.name, each.lines) for each in results if not each.passed] == []
    assert len(results) == 2
