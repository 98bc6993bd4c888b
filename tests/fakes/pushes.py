"""Pushes whose sender does not matter to a test, and the tokens of those whose sender does."""

import base64
import json
import time
from pathlib import Path
from typing import Final

from deploy.config.local_ports import function_url
from deploy.dev.pubsub.push_tokens import PushTokens
from shared.cloud.gcp.push_identity import GOOGLE_ISSUER
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.settings import LOCAL_PUSH_ACCOUNT

PUSHER: Final = "hookchain-push@a-project.iam.gserviceaccount.com"


async def from_anybody(_: Request) -> None:
    """Verify nothing."""


def cloud_run_environment(audience: str = "https://notify.example") -> dict[str, str]:
    """Return the variables of a function on Cloud Run, which verifies the tokens of pushes itself."""
    return {
        "K_SERVICE": "notify",
        "HOOKCHAIN_INVOKER_CHECK": "cloud-run",
        "HOOKCHAIN_PUSH_ACCOUNT": PUSHER,
        "HOOKCHAIN_PUSH_AUDIENCE": audience,
    }


def cloud_run_headers(audience: str = "https://notify.example", **claims: Json) -> dict[str, str]:
    """Return the header of a push as Cloud Run hands it on: its token verified, and without its signature."""
    text: JsonObject = {
        "iss": GOOGLE_ISSUER,
        "aud": audience,
        "email": PUSHER,
        "email_verified": True,
        "exp": int(time.time()) + 3_600,
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, {name: value for name, value in {**text, **claims}.items() if value != ""})
    signed = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return {"Authorization": f"Bearer {signed}.SIGNATURE_REMOVED_BY_GOOGLE"}


def push_headers(state_folder: Path, port: int) -> dict[str, str]:
    """Return the header that the emulation over this state folder sends to the function on this port."""
    token = PushTokens(state_folder).token(LOCAL_PUSH_ACCOUNT, function_url(port))
    return {"Authorization": f"Bearer {token}"}


def push_environment(port: int) -> dict[str, str]:
    """Return what a function on this port is told of who pushes to it."""
    return {"HOOKCHAIN_PUSH_ACCOUNT": LOCAL_PUSH_ACCOUNT, "HOOKCHAIN_PUSH_AUDIENCE": function_url(port)}
