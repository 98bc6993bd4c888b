from typing import cast

from functions.notify.destinations.email.email import MailSettings
from functions.notify.destinations.email.settings import Settings
from shared.jsontext import Json


def mail_settings(**values: Json) -> MailSettings:
    """Return the settings as a compiled slice holds them."""
    whole = Settings.model_validate({"to": ["ada@example.com"], **values})
    return cast("MailSettings", whole.model_dump(mode="json", by_alias=True))
