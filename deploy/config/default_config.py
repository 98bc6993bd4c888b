"""The configuration there is when no file says anything else: one password, one mail address.

Whatever is posted to /webhook with the right WEBHOOK_PASSWORD is mailed to EMAIL_ADDRESS.
"""

from collections.abc import Mapping
from pathlib import Path

from deploy.config.config_file import ConfigFile
from deploy.config.faults import ConfigFaults, Fault
from shared.jsontext import Json

NAME = "no file"


def config_from_environment(environ: Mapping[str, str]) -> ConfigFile:
    """Raises ConfigFaults where EMAIL_ADDRESS, a comma list, is missing."""
    addresses: list[Json] = [text.strip() for text in environ.get("EMAIL_ADDRESS", "").split(",") if text.strip()]
    if not addresses:
        rule = "without a configuration file, set EMAIL_ADDRESS to the address that webhooks are mailed to"
        raise ConfigFaults(NAME, [Fault(0, "EMAIL_ADDRESS", rule)])
    document: Json = {
        "sources": {
            "webhook": {
                "unwrap": True,
                "auth": [
                    {"scheme": "basic", "secret": "webhook-password"},
                    {"scheme": "header", "header": "X-Webhook-Password", "secret": "webhook-password"},
                ],
            }
        },
        "routes": [{"name": "mail", "from": "webhook", "to": "mail"}],
        "destinations": {"mail": {"email": {"to": addresses, "subject": "Webhook notification"}}},
    }
    return ConfigFile(NAME, Path(), document)
