"""The checks of `hookchain doctor`, for this machine and for Google Cloud, run side by side within a time limit."""

import argparse
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from deploy.config.configured import Configured
from deploy.config.faults import ConfigFaults
from deploy.config.mail_settings import mail_settings_fault
from deploy.config.ports import DEFAULT_BASE, is_free, owner_of
from deploy.doctor import configuration, google, machine, sender
from deploy.gcp import organization_policies
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.google.api import ApiError, GoogleApi, NotSignedIn, Token, token_of
from deploy.google.gcloud import Gcloud, GcloudFault, GcloudMissing
from deploy.google.target import Target
from deploy.history.platform_options import same_platform
from deploy.secrets.backend import BackendError, SecretBackend
from deploy.secrets.needs import needs
from deploy.terminal.finding import Check, Finding, ok, problem, unknown
from functions.notify.destinations.email.email import API_KEY
from shared.errors import place_of
from shared.settings import read_settings

LONGEST_SECONDS: Final = 45.0
"""gcloud may take 30 s for a token on a small machine; the requests that use it come after that."""
PROGRESS_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of the checks. `compiled` is the configuration, or its faults."""

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
        Check("clock", machine.clock),
    ]


def gcp_checks(subject: Subject, target: Target) -> list[Check]:
    runner = Gcloud(target.project)
    token = token_of(runner)
    api = GoogleApi(target.project, token)
    place = SecretManagerBackend(target, runner, api)
    return [
        *gcloud_checks(runner, token),
        Check("project", partial(google.project, target, api)),
        Check("region", partial(google.region, target, api)),
        Check("billing", partial(google.billing, target, api)),
        Check("apis", partial(google.apis, target, api)),
        Check("policies", partial(organization_policies.policies, target, api)),
        Check("permissions", partial(google.permissions, target, api)),
        Check("configuration", partial(_configuration, subject)),
        Check("secrets", partial(_secrets, subject, place)),
        Check("sender", partial(_sender, subject, partial(_kept_key, place), False)),
        Check("clock", machine.clock),
    ]


def gcp_checks_without_project(subject: Subject, reason: str) -> list[Check]:
    message, _, todo = reason.partition(": ")
    return [
        *gcloud_checks(Gcloud(), token_of(Gcloud())),
        Check("project", lambda: problem(message, todo)),
        Check("configuration", partial(_configuration, subject)),
        Check("clock", machine.clock),
    ]


def gcloud_checks(runner: Gcloud, token: Token) -> list[Check]:
    return [
        Check("gcloud", partial(google.gcloud, runner)),
        Check("gcloud run", partial(google.gcloud_flags, runner)),
        Check("signed in", partial(google.signed_in, runner, token)),
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
    return configuration.secrets(needs(slices, subject.environ), place, slices["receive"], where)


def _sender(subject: Subject, key: Callable[[], str | None], is_local: bool) -> Finding:
    if isinstance(subject.compiled, ConfigFaults):
        return unknown("the configuration has faults")
    if fault := mail_settings_fault(subject.environ):
        return problem(fault, "correct it in your shell or in .env")
    settings = read_settings(subject.environ)
    found = key()
    if is_local and not found:
        return ok("mail is caught here, not sent")
    return sender.sender(subject.compiled.slices["notify"], settings.email_from, settings.sendgrid_url, found)


def _kept_key(place: SecretBackend) -> str | None:
    stored = place.find([API_KEY]).get(API_KEY)
    return stored.values[0] if stored and stored.values else None


# Running them


def checkup(
    checks: Sequence[Check], progress: Callable[[int], None], longest_seconds: float = LONGEST_SECONDS
) -> list[tuple[str, Finding]]:
    """Return the findings in the order of `checks`. `progress` gets the number that are done, twice a second."""
    done: queue.SimpleQueue[tuple[str, Finding]] = queue.SimpleQueue()
    for check in checks:
        # A daemon: what hangs in a system call must not keep the command from ending.
        threading.Thread(target=_run, args=(check, done), daemon=True).start()
    deadline = time.monotonic() + longest_seconds
    found: dict[str, Finding] = {}
    while len(found) < len(checks) and (left := deadline - time.monotonic()) > 0:
        try:
            name, finding = done.get(timeout=min(PROGRESS_SECONDS, left))
            found[name] = finding
        except queue.Empty:
            progress(len(found))
    late = unknown(f"no answer within {longest_seconds:.0f} s", "try again; or look at your connection")
    return [(check.name, found.get(check.name, late)) for check in checks]


def _run(check: Check, done: "queue.SimpleQueue[tuple[str, Finding]]") -> None:
    done.put((check.name, _finding(check)))


def _finding(check: Check) -> Finding:
    try:
        return check.run()
    except (NotSignedIn, GcloudMissing):
        return unknown("needs gcloud, signed in")
    except (ApiError, GcloudFault, BackendError) as fault:
        return unknown(str(fault).split("\n")[0])
    except Exception as error:  # one check's own fault must not hide what the others found
        return unknown(f"the check itself failed: {place_of(error)}", "please report it")
