"""Another sender of webhooks, django-outbound-webhooks, in an environment of its own: FOLDER PORT ENDPOINTS SECRET.

For each line, a number of events, it fires so many and delivers them, and prints its CPU seconds and the deliveries.
"""

# mypy: ignore-errors
import sys
import time
from dataclasses import dataclass

import django
from django.conf import settings

FOLDER, PORT, ENDPOINTS, SECRET = sys.argv[1:]
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{FOLDER}/sent.db",
            "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django_domain_events",
        "django_outbound_webhooks",
    ],
    DJANGO_OUTBOUND_WEBHOOKS={"ALLOW_PRIVATE_ADDRESSES": True},
    USE_TZ=True,
    SECRET_KEY="of-the-bench",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.core.management import call_command  # noqa: E402 after the set-up, as Django asks
from django.db import transaction  # noqa: E402
from django_domain_events import event, fire  # noqa: E402
from django_outbound_webhooks import register_endpoint  # noqa: E402


@event(name="order.paid")
@dataclass(frozen=True, slots=True)
class OrderPaid:
    id: str
    total: float


def delivered() -> int:
    from django_domain_events.models.delivery_record import DeliveryRecord

    return DeliveryRecord.objects.filter(status="succeeded").count()


call_command("migrate", verbosity=0)
for number in range(int(ENDPOINTS)):
    url = f"http://127.0.0.1:{PORT}/ok/other/{number}"
    register_endpoint(name=f"endpoint {number}", url=url, secret=SECRET, event_names=["order.paid"])
print("ready", flush=True)
for line in sys.stdin:
    before, start = delivered(), time.process_time()
    for number in range(int(line)):
        with transaction.atomic():
            fire(OrderPaid(id=str(number), total=249.5))
    call_command("deliver_events", once=True, verbosity=0, stdout=sys.stderr)
    seconds = time.process_time() - start
    print(seconds, delivered() - before, flush=True)
