"""Policies of the organisation that forbid a deployment, found before anything is made."""

from typing import Final

from deploy.commands.google_api import ApiFault, GoogleApi, NotSignedIn, token_of
from deploy.commands.operator_command import CannotTell
from deploy.doctor import policies
from deploy.gcp.gcloud import Runner
from deploy.gcp.target import Target

PUBLIC: Final = policies.PUBLIC


def refuse_forbidden(target: Target, runner: Runner) -> None:
    """Raises CannotTell where a policy forbids what a deployment does, or nobody is signed in.

    What cannot be told from here, as where this account may not look at policies, is left to the deployment itself.
    """
    try:
        finding = policies.policies(target, GoogleApi(target.project, token_of(runner)))
    except NotSignedIn as fault:
        raise CannotTell(str(fault)) from fault
    except ApiFault:
        return
    if finding.verdict == "problem":
        raise CannotTell(f"nothing was made: {finding.found}\n{finding.todo}")
