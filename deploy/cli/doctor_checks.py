"""Which checks there are, for a start on this machine and for a deploy to Google Cloud."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from deploy.cli import doctor_secrets as secrets_check
from deploy.config.configured import Configured
from deploy.config.faults import ConfigFaults
from deploy.config.mail_settings import mail_fault
from deploy.config.ports import DEFAULT_BASE, is_free, owner_of
from deploy.doctor import clock, configuration, gcloud, machine, project, sender
from deploy.gcp import organization_policies
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.google.api import GoogleApi, Token, token_of
from deploy.google.gcloud import Gcloud
from deploy.google.target import Target
from deploy.history.platform_options import same_platform
from deploy.secrets.backend import SecretBackend
from deploy.secrets.needs import needs
from deploy.terminal.finding import Check, Finding, ok, problem, unknown
from functions.notify.mail.ways import API_KEY
from shared.settings import read_settings


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at. `compiled` is the faults where the configuration has some."""

    options: argparse.Namespace
    environ: Mapping[str, str]
    compiled: Configured | ConfigFaults


def local_checks(subject: Subject, place: SecretBackend) -> list[Check]:
    options = subject.options
    base = int(subject.environ["PORT_BASE"]) if subject.environ.get("PORT_BASE", "").isdecimal() else DEFAULT_BASE
    return [
        Check("python", machine.python),
        Check("make", machine.make),
        Check("configuration", partial(_configuration, subject)),
        Check(".env", partial(machine.env_file, options.env_file)),
        Check("secrets", partial(_secrets, subject, place)),
        Check("ports", partial(machine.ports, base, options.state, is_free, owner_of)),
        Check("disk", partial(machine.disk, options.state)),
        Check("sender", partial(_sender, subject, lambda: subject.environ.get("SENDGRID_API_KEY"), True)),
        Check("clock", clock.clock),
    ]


def gcp_checks(subject: Subject, target: Target) -> list[Check]:
    runner = Gcloud(target.project)
    token = token_of(runner)
    api = GoogleApi(target.project, token)
    place = SecretManagerBackend(target, runner, api)
    return [
        *gcloud_checks(runner, token),
        Check("project", partial(project.project, target, api)),
        Check("region", partial(project.region, target, api)),
        Check("billing", partial(project.billing, target, api)),
        Check("apis", partial(project.apis, target, api)),
        Check("policies", partial(organization_policies.policies, target, api)),
        Check("permissions", partial(project.permissions, target, api)),
        Check("configuration", partial(_configuration, subject)),
        Check("secrets", partial(_secrets, subject, place)),
        Check("sender", partial(_sender, subject, partial(_kept_key, place), False)),
        Check("clock", clock.clock),
    ]


def gcp_checks_without_project(subject: Subject, reason: str) -> list[Check]:
    said, _, todo = reason.partition(": ")
    return [
        *gcloud_checks(Gcloud(), token_of(Gcloud())),
        Check("project", lambda: problem(said, todo)),
        Check("configuration", partial(_configuration, subject)),
        Check("clock", clock.clock),
    ]


def gcloud_checks(runner: Gcloud, token: Token) -> list[Check]:
    return [
        Check("gcloud", partial(gcloud.gcloud, runner)),
        Check("gcloud run", partial(gcloud.gcloud_flags, runner)),
        Check("signed in", partial(gcloud.signed_in, runner, token)),
    ]


def _configuration(subject: Subject) -> Finding:
    compiled = subject.compiled
    if isinstance(compiled, ConfigFaults):
        return configuration.configuration(None, compiled)
    return configuration.configuration(compiled.path, compiled.slices)


def _secrets(subject: Subject, place: SecretBackend) -> Finding:
    if isinstance(subject.compiled, ConfigFaults):
        return unknown("the configuration has faults")
    slices = subject.compiled.slices
    where = same_platform(subject.options)
    return secrets_check.secrets(needs(slices, subject.environ), place, slices["receive"], where)


def _sender(subject: Subject, key: Callable[[], str | None], is_local: bool) -> Finding:
    if isinstance(subject.compiled, ConfigFaults):
        return unknown("the configuration has faults")
    if fault := mail_fault(subject.environ):
        return problem(fault, "correct it where it is set: in your shell, or in .env")
    settings = read_settings(subject.environ)
    found = key()
    if is_local and not found:
        return ok("mails are caught here, not sent")
    return sender.sender(subject.compiled.slices["notify"], settings.email_from, settings.sendgrid_url, found)


def _kept_key(place: SecretBackend) -> str | None:
    kept = place.find([API_KEY]).get(API_KEY)
    return kept.values[0] if kept and kept.values else None
