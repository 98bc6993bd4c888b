"""Policies of the organisation that forbid a deployment, found before anything is made."""

import time
from typing import Final

from deploy.gcp import organization_policies
from deploy.google.api import ApiFault, GoogleApi, NotSignedIn, token_of
from deploy.google.gcloud import Runner, read_json
from deploy.google.target import Target
from deploy.terminal.command_error import CannotTell
from deploy.terminal.finding import Finding

PUBLIC: Final = organization_policies.PUBLIC
WAITS_SECONDS: Final = (0.0, 5.0, 10.0)
"""An API that was just enabled does not answer at once."""


def refuse_forbidden(target: Target, runner: Runner, may_enable: bool = False) -> None:
    """Raises CannotTell where a policy forbids what a deployment does, or nobody is signed in.

    `may_enable`: the API that tells policies, where it is off and the project belongs to an organisation. What cannot
    be told from here, as where this account may not look at policies, is left to the deployment itself.
    """
    api = GoogleApi(target.project, token_of(runner))
    try:
        finding = _finding(target, api) or (_once_enabled(target, api, runner) if may_enable else None)
    except NotSignedIn as fault:
        raise CannotTell(str(fault)) from fault
    except ApiFault:
        return
    if finding and finding.verdict == "problem":
        raise CannotTell(f"nothing was made: {finding.found}\n{finding.todo}")


def _finding(target: Target, api: GoogleApi) -> Finding | None:
    """None where the API is off. Raises ApiFault and NotSignedIn."""
    try:
        return organization_policies.policies_in_force(target, api)
    except ApiFault as fault:
        if fault.reason == "SERVICE_DISABLED":
            return None
        raise


def _once_enabled(target: Target, api: GoogleApi, runner: Runner) -> Finding | None:
    described = read_json(runner, ["projects", "describe", target.project], target.project)
    if not isinstance(described, dict) or not described.get("parent"):
        return None  # nobody's policies
    if runner.run(["services", "enable", organization_policies.API]).code:
        return None
    for seconds in WAITS_SECONDS:
        time.sleep(seconds)
        if finding := _finding(target, api):
            return finding
    return None
