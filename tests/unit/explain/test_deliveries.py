"""Previews of deliveries to kinds that are neither mail nor built in: the operator's own, and apprise."""

from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.explain.deliveries import DeliveryPreview, Situation, preview_delivery
from functions.notify.http_kind import example_delivery
from shared.delivery import Delivery

CONFIG = """
sources: {shop: {auth: none}}
routes: [{name: orders, to: [desk, phone]}]
destinations_from: [ticket.py]
destinations:
  desk: {ticket: {title: "Return of {{ data.order }}", secret: desk-key}}
  phone: {apprise: {secret: gotify-url, title: "Order {{ data.order }}", text: "Paid:\\n{{ data }}", type: success}}
  archive: {object: {bucket: "gs://the-archive", key: "{{ data.order }}.json.gz", gzip: true, value: data}}
  lines: {log: {severity: NOTICE, fields: {order: data.order}}}
"""
KIND = '''
from functions.notify.http_kind import bearer, json_request, outcome_by_status, rendered_line, template_view
from functions.notify.kind_settings import KindSettings, LineTemplate
from shared.config.rules import SecretName


class Settings(KindSettings):
    """A ticket."""

    title: LineTemplate
    secret: SecretName


EXAMPLES = ()


def request(delivery, settings, secrets, attempt):
    title = rendered_line("title", settings.title, template_view(delivery))
    return json_request("https://desk.example.com/tickets", {"title": title}, bearer(secrets[settings.secret][0]))


def outcome(response):
    return outcome_by_status(response, "the help desk")
'''


def preview(folder: Path, destination: str, url: str = "") -> DeliveryPreview:
    (folder / "ticket.py").write_text(KIND)
    notify = compile_config(parse_config(CONFIG, "hookchain.yaml", folder))["notify"]
    delivery = Delivery(example_delivery({"order": "A-17"}).event, "orders", destination)
    return preview_delivery(delivery, notify, {"GOTIFY_URL": url} if url else {}, Situation(0.0))


def test_the_request_of_an_own_kind_is_shown_with_its_secret_masked(tmp_path: Path) -> None:
    found = preview(tmp_path, "desk")

    assert found.check.text == "ticket: POST https://desk.example.com/tickets"
    lines = [line.strip() for line in found.lines]
    assert "authorization: Bearer <secret desk-key>" in lines
    assert '"title": "Return of A-17"' in lines


def test_an_object_and_a_line_of_the_log_are_shown_as_text(tmp_path: Path) -> None:
    found = preview(tmp_path, "archive")
    assert found.check.text == "object: create gs://the-archive/A-17.json.gz"
    assert '{"order":"A-17"}' in [line.strip() for line in found.lines]

    found = preview(tmp_path, "lines")
    assert found.check.text == "log: a line of the severity NOTICE"
    assert 'fields: {"order":"A-17"}' in [line.strip() for line in found.lines]


@pytest.mark.parametrize(
    ("url", "service"),
    [("gotifys://push.example.com/Atoken123", "gotifys://***"), ("", "the service"), ("Atoken123", "the service")],
)
def test_a_message_through_apprise_is_shown_with_its_service_and_text_and_without_its_url(
    tmp_path: Path, url: str, service: str
) -> None:
    found = preview(tmp_path, "phone", url)

    assert found.check.text == f"apprise: a message of type success to {service} (secret gotify-url)"
    assert [line.strip() for line in found.lines][2:5] == ["Order A-17", "", "Paid:"]
    assert "Atoken123" not in found.check.text + "\n".join(found.lines)
