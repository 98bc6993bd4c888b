"""`recover`: what is accepted, and what it compiles to."""

import pytest

from deploy.bundle.requirements import features
from deploy.config.sections.bus_source import resource_name
from deploy.hooks import kinds as hook_kinds
from deploy.secrets.needs import missing_effect, needs
from functions.notify.recovery.listing import read_recovery_settings
from functions.receive.source import RECOVERED_NAME
from shared.ports import RECOVERED
from tests.fakes.configurations import compile_text, faults_of_text


def text_of(source: str, types: str = "") -> str:
    routes = (
        f"routes: [{{name: all, from: a, {types}to: there}}, {{name: off-duty, enabled: false, from: all, to: there}}]"
    )
    return f"sources: {{a: {{{source}}}}}\n{routes}\ndestinations: {{there: {{email: {{to: a@example.com}}}}}}"


GITHUB = "provider: github, secret: k, recover: {secret: token, repositories: acme/shop}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "provider: shopify, secret: k, recover: {secret: t}",
            "Hookchain recovers no events of Shopify, only of Airtable, GitHub, GitLab, Square and Stripe",
        ),
        ("auth: none, recover: {secret: t}", "`recover` needs `provider`"),
        ("provider: github, secret: k, recover: {secret: t}", "repositories is missing: such as acme/shop or acme"),
        ("provider: airtable, secret: k, recover: {secret: t}", "recover: at is missing: such as appAbCdEfGhIjKlMn"),
        ("provider: airtable, secret: k, recover: {secret: t, at: shop}", "such as appAbCdEfGhIjKlMn; got 'shop'"),
        ("provider: airtable, secret: k, recover: {secret: t, repositories: a/b}", "has no meaning for Airtable"),
        ("provider: github, secret: k, recover: {repositories: acme/shop}", "recover.secret: is missing"),
        ("provider: github, secret: k, recover: {secret: t, repositories: [a/b/c]}", "acme/shop or acme; got 'a/b/c'"),
        ("provider: stripe, secret: k, recover: {secret: t, repositories: a/b}", "has no meaning for Stripe"),
        ("provider: stripe, secret: k, recover: {secret: t, redeliver: true}", "Stripe cannot deliver an event again"),
        (f"{GITHUB}, id: data.id", "cannot be used together with `id`"),
        (f"{GITHUB}, auth: none", "cannot be used together with `auth`"),
        ("provider: stripe, secret: k, body: text, recover: {secret: t}", "cannot be used together with `body`"),
        ("provider: stripe, secret: k, recover: {secret: k}", "secret 'k' is also the source's `secret`"),
        ("bus: {pubsub: orders}, recover: {secret: t}", "`recover` "),
    ],
)
def test_a_recovery_that_cannot_work_is_a_fault(source: str, message: str) -> None:
    assert message in faults_of_text(text_of(source))


def test_recover_compiles_to_what_notify_asks_and_to_what_receive_takes() -> None:
    slices = compile_text(text_of(GITHUB, "types: [push, issues.opened], "))
    [settings] = read_recovery_settings(slices["notify"])
    assert (settings.source, settings.secret, settings.places) == ("a", "token", ("/repos/acme/shop",))
    window = settings.window(0, 1)
    assert window.wants("push")
    assert window.wants("issues", "opened")
    assert not window.wants("issues", "closed")
    assert slices["receive"]["sources"]["a"]["recover"] == "signature"  # type: ignore[index, call-overload]
    assert "crypto" in features("receive", slices["receive"])
    [token] = [each for each in needs(slices, {}) if each.name == "token"]
    assert (token.readers, token.uses, token.can_be_random) == (("notify",), ("recovery of a",), False)
    assert missing_effect([token]) == "lost events of a are not recovered"


def test_a_route_without_types_wants_all_of_them() -> None:
    [settings] = read_recovery_settings(compile_text(text_of(GITHUB))["notify"])
    assert settings.window(0, 1).wants("anything")


def test_events_are_recovered_from_a_provider_at_which_no_hook_can_be_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hook_kinds, "KINDS", {})
    stripe = text_of("provider: stripe, secret: k, recover: {secret: token}")
    [settings] = read_recovery_settings(compile_text(stripe)["notify"])
    assert (settings.secret, settings.places) == ("token", ())


def test_the_topic_has_a_name_that_the_bus_of_no_source_has() -> None:
    assert resource_name(RECOVERED_NAME) == RECOVERED
    assert "must be" in faults_of_text(text_of("auth: none").replace("{a:", f'{{"{RECOVERED_NAME}":'))
