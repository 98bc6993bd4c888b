"""The checks of `hookchain doctor` for Google Cloud."""

from collections.abc import Sequence
from functools import partial

from deploy.doctor import google, machine
from deploy.doctor.buses import buses_on_google
from deploy.doctor.checks import (
    Subject,
    bus_checks,
    configuration_finding,
    database_checks,
    place_checks,
    secrets_finding,
    sender_finding,
    sharing_checks,
    stored_key,
)
from deploy.doctor.places import google_places
from deploy.gcp import organization_policies
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.google.api import GoogleApi, Token, token_of
from deploy.google.gcloud import Answer, Gcloud, configured_project
from deploy.google.names import account_email
from deploy.google.target import Target, TargetFault, find_target
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check, problem


def gcp_checks(subject: Subject) -> list[Check]:
    options = subject.options
    try:
        target = find_target(options, subject.environ, lambda: configured_project(_HurriedGcloud()))
    except TargetFault as fault:
        if options.project or options.region or options.prefix:
            raise CommandError(str(fault)) from fault
        message, _, todo = str(fault).partition(": ")
        return [
            *_gcloud_checks(Gcloud(), token_of(Gcloud())),
            Check("project", lambda: problem(message, todo)),
            Check("configuration", partial(configuration_finding, subject)),
            Check("clock", machine.clock),
        ]
    return _checks(subject, target)


def _checks(subject: Subject, target: Target) -> list[Check]:
    runner = Gcloud(target.project)
    token = token_of(runner)
    api = GoogleApi(target.project, token)
    place = SecretManagerBackend(target, runner, api)
    return [
        *_gcloud_checks(runner, token),
        Check("project", partial(google.project, target, api)),
        Check("region", partial(google.region, target, api)),
        Check("billing", partial(google.billing, target, api)),
        Check("apis", partial(google.apis, target, api)),
        Check("policies", partial(organization_policies.policies, target, api)),
        Check("permissions", partial(google.permissions, target, api)),
        Check("configuration", partial(configuration_finding, subject)),
        Check("secrets", partial(secrets_finding, subject, place)),
        Check("sender", partial(sender_finding, subject, partial(stored_key, place), False)),
        *bus_checks(subject, partial(buses_on_google, project=target.project)),
        *database_checks(subject, place),
        *sharing_checks(subject, place, account_email(target, "notify")),
        *place_checks(subject, partial(google_places, target, api)),
        Check("clock", machine.clock),
    ]


def _gcloud_checks(runner: Gcloud, token: Token) -> list[Check]:
    return [
        Check("gcloud", partial(google.gcloud, runner)),
        Check("gcloud run", partial(google.gcloud_flags, runner)),
        Check("signed in", partial(google.signed_in, runner, token)),
    ]


class _HurriedGcloud:
    """gcloud with a short time limit: every other check waits for the project's name."""

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 10.0) -> Answer:
        return Gcloud().run(arguments, stdin, min(timeout_seconds, 10.0))
