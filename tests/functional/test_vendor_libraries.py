"""Every sample that `hookchain trigger` signs, verified by the vendor's own library; a forged one is refused by it.

The libraries of npm are in tests/vendors, at pinned versions, and run in one process of Node.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import parse_qsl

import pytest
import stripe
from sendgrid.helpers.eventwebhook import EventWebhook  # type: ignore[import-untyped] # the library has none
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook
from twilio.request_validator import RequestValidator, get_signature_algorithm  # type: ignore[import-untyped] # the library has none

from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.samples import Fresh, sample_names
from deploy.requests.signed_samples import Break
from shared.http import Request
from shared.secrets import variable_name
from tests.in_process.signed_samples import FRESH, SECRET, Range, on_range

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).resolve().parent.parent.parent
VENDORS: Final = Path(os.environ.get("VENDORS_FOLDER", ROOT / "tests" / "vendors"))
"""`python -m tests.vendors --newest` has the newest libraries in another folder."""
# Contentful's library takes a secret of 64 characters and no other.
SECRETS: Final = {"contentful": "contentful-signing-secret-of-64-characters-0123456789abcdefghijk"}


@dataclass(frozen=True)
class Sent:
    """A signed request as its receiver gets it, and the secret that it was signed with (the public half of a pair)."""

    request: Request
    url: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.request.headers)

    @property
    def text(self) -> str:
        return self.request.body.decode()


def _accepts(verify: Callable[[], object]) -> bool:
    """Whether a library that raises for what it refuses accepts it."""
    try:
        verify()
    except Exception:  # each library has an error of its own
        return False
    return True


def by_stripe(sent: Sent) -> bool:
    signature = sent.headers["stripe-signature"]
    return _accepts(lambda: stripe.Webhook.construct_event(sent.text, signature, sent.secret))


def by_slack(sent: Sent) -> bool:
    return SignatureVerifier(sent.secret).is_valid_request(sent.request.body, sent.headers)


def by_twilio(sent: Sent) -> bool:
    form = dict(parse_qsl(sent.text, keep_blank_values=True))
    algorithm = get_signature_algorithm(sent.headers.get("x-twilio-webhooks-signature-settings"))
    return bool(RequestValidator(sent.secret).validate(sent.url, form, sent.headers["x-twilio-signature"], algorithm))


def by_standard_webhooks(sent: Sent) -> bool:
    return _accepts(lambda: StandardWebhook(sent.secret).verify(sent.text, sent.headers))


def by_svix(sent: Sent) -> bool:
    return _accepts(lambda: SvixWebhook(sent.secret).verify(sent.text, sent.headers))


def by_sendgrid(sent: Sent) -> bool:
    hook = EventWebhook()
    key = hook.convert_public_key_to_ecdsa(sent.secret)
    signature, at = (sent.headers[f"x-twilio-email-event-webhook-{name}"] for name in ("signature", "timestamp"))
    return bool(hook.verify_signature(sent.text, signature, at, key))


def _vendors(module: str) -> ModuleType:
    """The module of a package of the extra `vendors`."""
    found: ModuleType = pytest.importorskip(module, reason=f"{module} is not here: pip install -e '.[vendors]'")
    return found


def by_airtable(sent: Sent) -> bool:
    notification = _vendors("pyairtable.models.webhook").WebhookNotification
    mac = sent.headers["x-airtable-content-mac"]
    return _accepts(lambda: notification.from_request(sent.text, mac, sent.secret))


def by_pywa(sent: Sent) -> bool:
    validate = _vendors("pywa.utils").webhook_updates_validator
    return bool(validate(sent.secret, sent.request.body, sent.headers["x-hub-signature-256"]))


def by_workos(sent: Sent) -> bool:
    verify = _vendors("workos.webhooks._verification").verify_header
    signature = sent.headers["workos-signature"]
    return _accepts(lambda: verify(event_body=sent.request.body, event_signature=signature, secret=sent.secret))


def by_mailgun(sent: Sent) -> bool:
    request = _django_request(sent)
    view = _vendors("anymail.webhooks.mailgun").MailgunTrackingWebhookView(webhook_signing_key=sent.secret)
    return _accepts(lambda: view.validate_request(request))


def by_mandrill(sent: Sent) -> bool:
    request = _django_request(sent)
    view = _vendors("anymail.webhooks.mandrill").MandrillCombinedWebhookView(
        webhook_key=sent.secret, webhook_url=sent.url
    )
    return _accepts(lambda: view.validate_request(request))


def by_anthropic(sent: Sent) -> bool:
    client = _vendors("anthropic").Anthropic(api_key="key", webhook_key=sent.secret)
    return _accepts(lambda: client.beta.webhooks.unwrap(sent.text, headers=sent.headers))


def by_elevenlabs(sent: Sent) -> bool:
    client = _vendors("elevenlabs").ElevenLabs(api_key="key")
    return _accepts(
        lambda: client.webhooks.construct_event(sent.text, sent.headers["elevenlabs-signature"], sent.secret)
    )


def by_retell(sent: Sent) -> bool:
    verify = _vendors("retell.lib.webhook_auth").verify
    return bool(verify(sent.text, sent.secret, sent.headers["x-retell-signature"]))


def _django_request(sent: Sent) -> object:
    settings = _vendors("django.conf").settings
    if not settings.configured:
        settings.configure()
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sent.request.headers}
    factory = _vendors("django.test").RequestFactory()
    made: object = factory.generic(
        "POST", sent.request.path, sent.request.body, sent.headers["content-type"], **headers
    )
    return made


PYPI: Final[Mapping[str, tuple[str, Callable[[Sent], bool]]]] = {
    "stripe": ("stripe", by_stripe),
    "slack": ("slack-sdk", by_slack),
    "twilio": ("twilio", by_twilio),
    "standard_webhooks": ("standardwebhooks", by_standard_webhooks),
    "svix": ("svix", by_svix),
    "sendgrid": ("sendgrid", by_sendgrid),
    "airtable": ("pyairtable", by_airtable),
    "anthropic": ("anthropic", by_anthropic),
    "elevenlabs": ("elevenlabs", by_elevenlabs),
    "retell": ("retell-sdk", by_retell),
    "meta": ("pywa", by_pywa),
    "workos": ("workos", by_workos),
    "mailgun": ("django-anymail", by_mailgun),
    "mandrill": ("django-anymail", by_mandrill),
}
"""The package of each provider's library, and what verifies by it."""
NPM: Final[Mapping[str, str]] = {
    "adyen": "@adyen/api-library",
    "clerk": "@clerk/backend",
    "cloudinary": "cloudinary",
    "contentful": "@contentful/node-apps-toolkit",
    "discord": "discord-interactions",
    "ebay": "event-notification-nodejs-sdk",
    "github": "@octokit/webhooks-methods",
    "hubspot": "@hubspot/api-client",
    "linear": "@linear/sdk",
    "mux": "@mux/mux-node",
    "notion": "@notionhq/client",
    "openai": "openai",
    "paddle": "@paddle/paddle-node-sdk",
    "polar": "@polar-sh/sdk",
    "razorpay": "razorpay",
    "replicate": "replicate",
    "resend": "resend",
    "sanity": "@sanity/webhook",
    "shopify": "@shopify/shopify-api",
    "square": "square",
    "telnyx": "telnyx",
    "twilio": "twilio",
    "workos": "@workos-inc/node",
}


def events_signed_by(provider: str) -> list[str]:
    """The samples that the provider signs, without the answers to its handshakes."""
    unsigned = {one.name for one in load_catalogue()[provider].handshakes if not one.signed}
    return [event for event in sample_names(provider) if event not in unsigned]


def trials(providers: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(provider, event) for provider in providers for event in events_signed_by(provider)]


def sent(provider: str, event: str, state: Path, what: Break | None = None, fresh: Fresh = FRESH) -> Sent:
    state.mkdir(parents=True, exist_ok=True)
    firing = on_range(provider, state, fresh, SECRETS.get(provider, SECRET))
    request = firing.shot(event, what)
    return Sent(request, firing.aim.signed_url(request), secret_of(firing))


def secret_of(firing: Range) -> str:
    return next(firing.keys.environ[variable_name(auth.secret)] for auth in firing.aim.source.auth if auth.secret)


@pytest.mark.parametrize(("provider", "event"), trials(PYPI), ids=[f"{p}-{e}" for p, e in trials(PYPI)])
def test_the_vendors_python_library_verifies_a_sample_and_rejects_a_forged_one(
    provider: str, event: str, tmp_path: Path
) -> None:
    fresh = Fresh(time.time(), "abcdefabcdef", "9876543210")  # these libraries compare with the machine's clock
    _, verifies = PYPI[provider]
    assert verifies(sent(provider, event, tmp_path, fresh=fresh))
    assert not verifies(sent(provider, event, tmp_path, "signature", fresh=fresh))


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str, str], Mapping[str, object]]:
    """What the libraries of npm say of each sample, by provider, event and what is broken, from one run of Node."""
    if not shutil.which("node"):
        pytest.skip("node is not here: install Node.js 20 or later")
    keys: list[tuple[str, str, str]] = []
    lines: list[str] = []
    state = tmp_path_factory.mktemp("vendors")
    for provider, event in trials(NPM):
        if (VENDORS / "node_modules" / NPM[provider]).is_dir():
            for what in ("", "signature"):
                keys.append((provider, event, what))
                lines.append(_line(provider, sent(provider, event, state / provider, "signature" if what else None)))
    ran = subprocess.run(
        ["node", VENDORS / "verify.mjs"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return dict(zip(keys, map(json.loads, ran.stdout.splitlines()), strict=True))


def _line(provider: str, one: Sent) -> str:
    return json.dumps(
        {
            "vendor": provider,
            "now": FRESH.now,
            "method": one.request.method,
            "url": one.url,
            "headers": one.headers,
            "body": one.text,
            "secret": one.secret,
        }
    )


@pytest.mark.parametrize(("provider", "event"), trials(NPM), ids=[f"{p}-{e}" for p, e in trials(NPM)])
def test_the_vendors_node_library_verifies_a_sample_and_rejects_a_forged_one(
    provider: str, event: str, verdicts: Mapping[tuple[str, str, str], Mapping[str, object]]
) -> None:
    if (provider, event, "") not in verdicts:
        pytest.skip(f"npm package {NPM[provider]} is not here: npm install --prefix tests/vendors")
    assert verdicts[provider, event, ""] == {"verified": True}
    assert verdicts[provider, event, "signature"] != {"verified": True}
