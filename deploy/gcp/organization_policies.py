"""The organization's policies that would stop a deployment half-way.

receive is made public by `--no-invoker-iam-check`, which domain-restricted sharing allows and
run.managed.requireInvokerIam forbids. https://cloud.google.com/run/docs/authenticating/public
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.cloud_access import gcp, gcp_names
from deploy.terminal import command_line, parallel
from deploy.terminal.finding import Finding, ok, problem, unknown
from shared.jsontext import JsonObject, list_at, objects_at

API: Final = "orgpolicy.googleapis.com"
PUBLIC: Final = "run.managed.requireInvokerIam"
ACCOUNTS: Final = ("iam.managed.disableServiceAccountCreation", "iam.disableServiceAccountCreation")
"""The newer and the older name of the same constraint; an organization may use either."""
INGRESS: Final = "run.allowedIngress"
REGIONS: Final = "gcp.resourceLocations"
DOMAINS: Final = "iam.allowedPolicyMemberDomains"
CONSTRAINTS: Final = (PUBLIC, *ACCOUNTS, INGRESS, REGIONS, DOMAINS)


def policies(target: gcp_names.Target, api: gcp.GoogleApi) -> Finding:
    """Return the finding of `hookchain doctor`. Raises ApiError."""
    return _policies_in_force(target, api) or unknown(
        "the organization's policies cannot be read until their API is enabled", f"gcloud services enable {API}"
    )


def _policies_in_force(target: gcp_names.Target, api: gcp.GoogleApi) -> Finding | None:
    """Return what the policies in force mean for a deployment; None if their API is off. Raises ApiError."""
    try:
        found = parallel.run_in_parallel(lambda name: _rules(target, api, name), CONSTRAINTS)
    except gcp.ApiError as fault:
        if fault.reason == "SERVICE_DISABLED":
            return None
        raise
    return policies_finding(target, dict(zip(CONSTRAINTS, found, strict=True)))


def policies_finding(target: gcp_names.Target, rules: Mapping[str, Sequence[JsonObject]]) -> Finding:
    """Return the finding. `rules` are those in force of each constraint; none without a policy.

    A rule with a condition is left out: it is for tagged resources, unlike ours.
    """
    rules = {name: [rule for rule in each if "condition" not in rule] for name, each in rules.items()}
    ask = "ask whoever has roles/orgpolicy.policyAdmin to exempt the project"
    if _is_enforced(rules[PUBLIC]):
        return problem(f"{PUBLIC} forbids public functions, so senders could not reach receive", f"{ask} from it")
    if forbidding := next((each for each in ACCOUNTS if _is_enforced(rules[each])), None):
        return problem(f"{forbidding} forbids creating the functions' accounts", f"{ask} from it")
    if _forbids(rules[INGRESS], "all"):
        return problem(f"{INGRESS} forbids requests from the internet", f"{ask}, or to allow `all`")
    if (forbidden := _forbids(rules[REGIONS], target.region)) or forbidden is None:
        allowed = ", ".join(_values(rules[REGIONS], "allowedValues")[:5]) or "others"
        if forbidden is None:
            return unknown(f"{REGIONS} allows {allowed}, which may or may not include {target.region}", ask)
        return problem(f"{REGIONS} forbids {target.region}; it allows {allowed}", "choose another with --region")
    if rules[DOMAINS]:
        return ok("domain-restricted sharing is on, which has no effect here")
    return ok("no policy stops a deployment")


def _rules(target: gcp_names.Target, api: gcp.GoogleApi, constraint: str) -> Sequence[JsonObject]:
    """Return the rules of the constraint that are in force for the project; none without a policy. Raises ApiError."""
    path = f"/v2/projects/{target.project}/policies/{constraint}:getEffectivePolicy"
    try:
        spec = api.get("orgpolicy", path).get("spec")
    except gcp.ApiError as fault:
        if fault.status == 404:
            return []
        raise
    return objects_at(spec, "rules")


def _is_enforced(rules: Sequence[JsonObject]) -> bool:
    return any(rule.get("enforce") is True for rule in rules)


def _forbids(rules: Sequence[JsonObject], value: str) -> bool | None:
    """Return whether the rules forbid the value; None if they use groups of values."""
    if any(rule.get("denyAll") is True for rule in rules):
        return True
    allowed, denied = _values(rules, "allowedValues"), _values(rules, "deniedValues")
    if value in denied or f"is:{value}" in denied:
        return True
    if not allowed or value in allowed or f"is:{value}" in allowed or f"in:{value}-locations" in allowed:
        return False
    # A group of values, such as `in:eu-locations`, may include the value.
    return None if any(each.startswith(("in:", "under:")) for each in allowed) else True


def _values(rules: Sequence[JsonObject], name: str) -> list[str]:
    found: list[str] = []
    for rule in rules:
        found += map(str, list_at(rule, "values", name))
    return found


def refuse_forbidden(target: gcp_names.Target, runner: gcp.Runner, may_enable: bool = False) -> None:
    """Raise CommandError if a policy forbids the deployment, or if nobody is signed in.

    `may_enable`: enable the API for policies, if it is off and the project belongs to an organization. If the account
    may not read policies, the deployment itself will show what they forbid.
    """
    api = gcp.GoogleApi(target.project, gcp.token_of(runner))
    try:
        finding = _policies_in_force(target, api) or (_enable_and_retry(target, api, runner) if may_enable else None)
    except gcp.ApiError:
        return
    if finding and finding.verdict == "problem":
        raise command_line.CommandError(f"nothing was changed: {finding.found}\n{finding.todo}")


def _enable_and_retry(target: gcp_names.Target, api: gcp.GoogleApi, runner: gcp.Runner) -> Finding | None:
    """Enable the API for policies, wait until Google knows this, and return the finding; None if that is not possible.

    Raises ApiError, GcloudFault and GcloudMissing.
    """
    described = gcp.read_json(runner, ["projects", "describe", target.project], target.project)
    if not isinstance(described, dict) or not described.get("parent"):
        return None  # without an organization there are no policies
    if runner.run(["services", "enable", API]).code:
        return None
    for seconds in (0.0, *gcp.PROPAGATION_WAITS_SECONDS[:2]):
        time.sleep(seconds)
        if finding := _policies_in_force(target, api):
            return finding
    return None
