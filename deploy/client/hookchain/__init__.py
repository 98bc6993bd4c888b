"""Send a webhook, signed or with a password, and see what the receiver answered.

from hookchain import send

outcome = send("https://hooks.example.com/signup-form", {"event": "signup.created"}, secret=password)
if not outcome.ok:
    print(outcome.message)
"""

from .auth import Auth, Basic, Bearer, Hmac, Password, StandardWebhooks
from .outcome import Outcome
from .sending import send

__all__ = ["Auth", "Basic", "Bearer", "Hmac", "Outcome", "Password", "StandardWebhooks", "send"]
