"""Mail through SES of the local AWS, by the ports that a function on Lambda gets."""

import asyncio
import email
import email.policy
import uuid
from dataclasses import replace
from email.message import EmailMessage

import pytest

from functions.notify.destinations.email.email import connect
from functions.notify.examples import ATTEMPT
from shared.cloud import platform
from shared.cloud.aws.client import AwsPlace
from shared.delivery import Delivered, Outcome
from shared.jsontext import Json
from shared.settings import Settings, read_settings
from tests.aws.local_aws import KEYS, boto_client
from tests.fakes.destinations import a_context
from tests.fakes.mail_settings import mail_settings
from tests.fakes.notifier import DELIVERY


@pytest.fixture
def settings(aws: AwsPlace, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As on Lambda, with a mail address of this test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_access_key)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    environ = {
        "AWS_LAMBDA_FUNCTION_NAME": "a-bundle-notify",
        "AWS_REGION": aws.region,
        "AWS_ENDPOINT_URL": aws.endpoint or "",
        "EMAIL_FROM": f"{uuid.uuid4().hex}@example.com",
    }
    return read_settings(environ)


async def attempted(settings: Settings, **values: Json) -> Outcome:
    """Return what came of a mail of a destination whose settings say so much."""
    api = platform.ses(settings)
    assert api is not None
    destination = connect("list", mail_settings(**values), replace(a_context(), settings=settings, ses=api))
    try:
        return await destination.attempt(DELIVERY, ATTEMPT)
    finally:
        destination.close()
        api.close()
        await asyncio.sleep(0)  # in which its connections are gone


async def test_a_mail_goes_through_ses_where_no_sendgrid_or_smtp_is_set_up(aws: AwsPlace, settings: Settings) -> None:
    boto_client(aws, "sesv2").create_email_identity(EmailIdentity=settings.email_from)
    found = await attempted(settings, subject="Hello {{ data.name }}", bcc="boss@example.com")

    assert isinstance(found, Delivered)
    assert found.answer.startswith("200 ")
    recipients, content = last_mail(aws)
    message = email.message_from_string(content, EmailMessage, policy=email.policy.default)
    assert recipients[:2] == ["ada@example.com", "boss@example.com"]
    assert (message["From"], message["To"]) == (settings.email_from, "ada@example.com")
    assert (message["Subject"], message["Bcc"]) == ("Hello Ada", None)


def last_mail(aws: AwsPlace) -> tuple[list[str], str]:
    """Return the recipients and the content of the mail that the local AWS took last."""
    from moto.ses.models import ses_backends

    sent = ses_backends["123456789012"][aws.region].sent_messages[-1]
    return list(sent.destinations), str(sent.raw_data)
