"""The checks of `hookchain doctor` for this machine."""

from functools import partial

from deploy.config.dev_ports import is_free, owner_of, port_base
from deploy.doctor import machine
from deploy.doctor.checks import (
    Subject,
    configuration_finding,
    database_checks,
    deliveries_finding,
    secrets_finding,
    sender_finding,
    sharing_checks,
)
from deploy.platforms.local import open_local
from deploy.terminal.finding import Check


def local_checks(subject: Subject) -> list[Check]:
    options = subject.options
    place = open_local(options, subject.environ).secrets()
    base = port_base(subject.environ)
    return [
        Check("python", machine.python),
        Check("make", machine.make),
        Check("configuration", partial(configuration_finding, subject)),
        Check(".env", partial(machine.env_file, options.env_file)),
        Check("secrets", partial(secrets_finding, subject, place)),
        Check("ports", partial(machine.ports, base, options.state, is_free, owner_of)),
        Check("disk", partial(machine.disk, options.state)),
        Check("sender", partial(sender_finding, subject, lambda: subject.environ.get("SENDGRID_API_KEY"), True)),
        Check("deliveries", partial(deliveries_finding, subject)),
        *database_checks(subject, place, is_local=True),
        *sharing_checks(subject, place, catches=True),
        Check("clock", machine.clock),
    ]
