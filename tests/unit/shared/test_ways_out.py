"""Every way out is the guard, or goes where no event can name."""

import re
from pathlib import Path
from typing import Final

from deploy.config.sections.own_files import imported_modules

_NETWORK: Final = re.compile(
    r"(socket|http\.client|urllib\.request|urllib3|requests|httpx|aiohttp|smtplib|aiosmtplib|ftplib|apprise|"
    r"shared\.outgoing\.http_client|boto3|botocore|sqlalchemy)(\.|$)"
)
_DIALS: Final = re.compile(r"create_connection|open_connection|sock_connect|create_unix_connection")
OWN_WAYS_OUT: Final = {
    # The guard itself.
    "shared/outgoing/guarded_fetch.py": "the guard",
    # To hosts that the platform or the operator's environment names, and no event can change.
    "shared/outgoing/http_client.py": "the client of the platform's APIs",
    "shared/telemetry/exporter.py": "the operator's collector",
    "functions/notify/destination.py": "the type of an answer",
    "functions/notify/destinations/apprise/apprise.py": "plugins, whose requests come back to the guard",
    "functions/notify/destinations/apprise/guarded_session.py": "what hands them to the guard",
    "functions/notify/destinations/email/ses.py": "Amazon SES, on AWS",
    "functions/notify/destinations/email/smtp_session.py": "the operator's mail server",
    "functions/notify/destinations/email/sendgrid.py": "SendGrid's API",
    "functions/notify/destinations/sql/database.py": "the operator's database",
    "functions/notify/destinations/sql/faults.py": "the errors of its drivers",
    "functions/notify/destinations/sql/place.py": "the operator's database",
}


def test_every_way_out_is_the_guard_or_goes_where_no_event_can_name(root: Path) -> None:
    """A new way out is either Fetch, or has its reason here. The platform's ports in shared/cloud have theirs."""
    found = set()
    for path in sorted([*(root / "shared").rglob("*.py"), *(root / "functions").rglob("*.py")]):
        name, text = str(path.relative_to(root)), path.read_text(encoding="utf-8")
        dials = any(map(_NETWORK.match, imported_modules(text))) or _DIALS.search(text)
        if dials and not name.startswith("shared/cloud/"):
            found.add(name)
    assert found <= set(OWN_WAYS_OUT)
