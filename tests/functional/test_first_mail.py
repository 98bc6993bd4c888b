"""From a request to a mail, with the example configuration and with none, on input as senders really send it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.client.hookchain.formats import encode_body
from deploy.config.compiler import compile_file, secrets_needed
from functions.notify.destinations.email.mail import Mail
from shared.jsontext import JsonObject
from tests.in_process.pipeline import Pipeline

EVENT: JsonObject = {
    "event": "password_created",
    "eventId": 12345,
    "secretGuid": "alakldsjf24567",
    "customerName": "Chuck U Farley",
    "customerEmail": "chuckufarley@example.com",
}
SECRET = "a-secret-of-this-test"


def pipeline(path: Path | None, environ: dict[str, str]) -> Pipeline:
    slices = compile_file(path, environ)
    return Pipeline(slices, secrets_needed(slices), SECRET)


@pytest.fixture
def example(root: Path) -> Pipeline:
    return pipeline(root / "deploy/hookchain.example.yaml", {})


async def mail_in(format: str, through: Pipeline, source: str) -> Mail:
    body, content_type = encode_body(EVENT, format)
    [mail] = await through.mails(source, body, {"Content-Type": content_type})
    return mail


@pytest.mark.parametrize("format", ["json", "xml", "yaml", "form"])
async def test_an_event_in_any_format_is_the_same_mail(example: Pipeline, format: str) -> None:
    mail = await mail_in(format, example, "signup-form")
    assert mail.subject == "password_created: Chuck U Farley"
    assert [to.address for to in mail.to] == ["team@example.com"]
    for text in (mail.text or "", mail.html or ""):
        assert "chuckufarley@example.com" in text
        assert "12345" in text
        assert "alakldsjf24567" not in text


@pytest.mark.parametrize("format", ["json", "xml", "yaml", "form"])
async def test_without_a_file_the_mail_shows_the_fields_and_the_body_as_it_came(format: str) -> None:
    through = pipeline(None, {"EMAIL_ADDRESS": "a@example.com, b@example.com"})
    mail = await mail_in(format, through, "webhook")
    assert mail.subject == "Webhook notification"
    assert [to.address for to in mail.to] == ["a@example.com", "b@example.com"]
    body = encode_body(EVENT, format)[0].decode()
    assert body.strip()[:60] in (mail.text or "")
    assert "Chuck U Farley" in (mail.html or "")


async def test_github_push_payloads_signed_as_github_signs_them_reach_the_developers(
    example: Pipeline, node_package: Callable[[str], Path]
) -> None:
    examples = node_package("@octokit/webhooks-examples") / "api.github.com/index.json"
    [pushes] = [hook["examples"] for hook in json.loads(examples.read_text("utf-8")) if hook["name"] == "push"]
    assert pushes
    for number, push in enumerate(pushes):
        headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": f"id-{number}"}
        body = json.dumps(push).encode()
        event, _ = await example.event("github", body, headers)
        [mail] = await example.mails("github", body, headers)
        assert (event.type, event.deliveryid, event.actor) == ("push", f"id-{number}", push["sender"]["login"])
        assert mail.subject == f"push in {push['repository']['full_name']} by {push['sender']['login']}"
