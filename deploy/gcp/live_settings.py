"""The settings of a planned resource, and where gcloud's lists report each of them.

The planned values are read from the flags of the command that creates the resource, so a plan and its comparison
cannot disagree. Each flag has an entry here: where to read it, or why it is not compared.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.gcp.drift import Form, Setting
from deploy.gcp.resource import Resource
from deploy.gcp.resources import alerts, log_metrics, project, services, stores, topics
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Live:
    """`path` is a JMESPath expression over an entry of gcloud's list."""

    path: str
    form: Form = "text"
    fixed: bool = False


_SPEC: Final = "spec.template.spec"
_REVISION: Final = "spec.template.metadata.annotations"
_SERVICE: Final = "metadata.annotations"
_OURS: Final = "!starts_with(name, 'FUNCTION_') && name != 'LOG_EXECUTION_ID'"
"""Google sets some variables of a function by itself."""
_LABELS: Final = "compared as the label of the plan"
_BUILD: Final = "part of the build: the digest in the label covers it"

FLAGS: Final[Mapping[str, Mapping[str, Live | str]]] = {
    topics.TOPIC: {
        "labels": _LABELS,
        "message-storage-policy-allowed-regions": Live("messageStoragePolicy.allowedPersistenceRegions", "list"),
    },
    topics.SUBSCRIPTION: {
        "labels": _LABELS,
        "topic": Live("topic", "name", fixed=True),
        "ack-deadline": Live("ackDeadlineSeconds", "duration"),
        "push-endpoint": Live("pushConfig.pushEndpoint"),
        "push-auth-service-account": Live("pushConfig.oidcToken.serviceAccountEmail"),
        "push-auth-token-audience": Live("pushConfig.oidcToken.audience"),
        "min-retry-delay": Live("retryPolicy.minimumBackoff", "duration"),
        "max-retry-delay": Live("retryPolicy.maximumBackoff", "duration"),
        "message-retention-duration": Live("messageRetentionDuration", "duration"),
        "expiration-period": Live("expirationPolicy.ttl || expirationPolicy", "duration"),
        "dead-letter-topic": Live("deadLetterPolicy.deadLetterTopic", "name"),
        "max-delivery-attempts": Live("deadLetterPolicy.maxDeliveryAttempts"),
    },
    services.SERVICE: {
        "labels": _LABELS,
        "source": _BUILD,
        "function": _BUILD,
        "base-image": _BUILD,
        "build-service-account": _BUILD,
        "region": "gcloud lists one region",
        "allow-unauthenticated": "compared as a grant to allUsers",
        "service-account": Live(f"{_SPEC}.serviceAccountName"),
        "invoker-iam-check": Live(f"""{_SERVICE}."run.googleapis.com/invoker-iam-disabled" != 'true'"""),
        "ingress": Live(f"""{_SERVICE}."run.googleapis.com/ingress" || 'all'""", "name"),
        "default-url": Live(f"""{_SERVICE}."run.googleapis.com/default-url-disabled" != 'true'"""),
        "timeout": Live(f"{_SPEC}.timeoutSeconds", "duration"),
        "concurrency": Live(f"{_SPEC}.containerConcurrency"),
        "min-instances": Live(f"""{_REVISION}."autoscaling.knative.dev/minScale" || '0'"""),
        "max-instances": Live(f"""{_REVISION}."autoscaling.knative.dev/maxScale\""""),
        "min": Live(f"""{_SERVICE}."run.googleapis.com/minScale" || '0'"""),
        "max": Live(f"""{_SERVICE}."run.googleapis.com/maxScale\""""),
        "cpu": Live(f"{_SPEC}.containers[0].resources.limits.cpu", "quantity"),
        "memory": Live(f"{_SPEC}.containers[0].resources.limits.memory"),
        "cpu-boost": Live(f"""{_REVISION}."run.googleapis.com/startup-cpu-boost" || 'false'"""),
        "cpu-throttling": Live(f"""{_REVISION}."run.googleapis.com/cpu-throttling" || 'true'"""),
        "vpc-egress": Live(f"""{_REVISION}."run.googleapis.com/vpc-access-egress\"""", "name"),
        "vpc-connector": Live(f"""{_REVISION}."run.googleapis.com/vpc-access-connector\"""", "name"),
        "network": Live(f"""{_REVISION}."run.googleapis.com/network-interfaces\"""", "inside"),
        "subnet": Live(f"""{_REVISION}."run.googleapis.com/network-interfaces\"""", "inside"),
        "set-cloudsql-instances": Live(f"""{_REVISION}."run.googleapis.com/cloudsql-instances" || ''"""),
        "set-env-vars": Live(f"{_SPEC}.containers[0].env[?{_OURS}] || `[]`", "variables"),
        "set-secrets": Live(f"{_SPEC}.{{volumes: volumes, mounts: containers[0].volumeMounts}}", "mounts"),
    },
    stores.BUCKET: {
        "location": Live("location", "name", fixed=True),
        "uniform-bucket-level-access": Live("uniform_bucket_level_access"),
        "public-access-prevention": Live("public_access_prevention == 'enforced'"),
        "soft-delete-duration": Live("soft_delete_policy.retentionDurationSeconds || '0'", "duration"),
        "lifecycle-file": Live("lifecycle_config.rule", "document"),
        "update-labels": _LABELS,
    },
    stores.DATABASE: {
        "database": "its name",
        "location": "compared before anything else: a bundle is in one region",
        "type": Live("type", "name", fixed=True),
        "delete-protection": Live("deleteProtectionState == 'DELETE_PROTECTION_ENABLED'"),
    },
    services.JOB: {
        "location": "gcloud lists one region",
        "schedule": Live("schedule"),
        "uri": Live("httpTarget.uri"),
        "http-method": Live("httpTarget.httpMethod", "name"),
        "oidc-service-account-email": Live("httpTarget.oidcToken.serviceAccountEmail"),
        "oidc-token-audience": Live("httpTarget.oidcToken.audience"),
        "attempt-deadline": Live("attemptDeadline", "duration"),
        "description": "holds the digest",
    },
    project.ACCOUNT: {"display-name": Live("displayName")},
}

NOT_SET: Final[Mapping[str, tuple[str, ...]]] = {topics.SUBSCRIPTION: ("dead-letter-topic", "max-delivery-attempts")}
"""Flags whose absence is compared too: an update removes the setting."""
ALWAYS: Final[Mapping[str, Mapping[str, tuple[Json, Live]]]] = {
    project.ACCOUNT: {"enabled": ("true", Live("disabled != `true`"))}
}
"""Settings without a flag, with the value that every new resource has."""
FILE_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    alerts.ALERT: ("combiner", "conditions", "documentation", "alertStrategy"),
    log_metrics.METRIC: ("description", "filter", "labelExtractors"),
}
"""The fields that are compared of a resource whose settings are in a file, if the file has them. A metric's descriptor
has the labels of its extractors, but Google leaves out usual values there and promises no order."""
_SAME_FLAG: Final = {
    "clear-cloudsql-instances": ("set-cloudsql-instances", ""),
    "clear-network": ("network", ""),
    "clear-secrets": ("set-secrets", ""),
    "clear-vpc-connector": ("vpc-connector", ""),
}
_READ_ONLY: Final = frozenset({"name", "creationRecord", "mutationRecord", "validity"})


def settings_of(resource: Resource) -> tuple[Setting, ...]:
    """Return the settings that the plan sets and that can be read back. A dashboard has none: its widgets are the
    operator's to arrange, and its label tells a new version of ours."""
    if fields := FILE_FIELDS.get(resource.kind):
        content = _content(resource)
        return tuple(Setting(resource.key, name, content[name], name, "document") for name in fields if name in content)
    return tuple(_settings(resource))


def planned_flags(resource: Resource) -> dict[str, str]:
    """Return the values of the flags that create the resource. `--no-x` is `x` with the value false."""
    found: dict[str, str] = {}
    for word in (word for command in resource.create for word in command.arguments if word.startswith("--")):
        flag, equals, value = word.removeprefix("--").partition("=")
        if flag in _SAME_FLAG:
            flag, value = _SAME_FLAG[flag]
        elif not equals:
            flag, value = flag.removeprefix("no-"), "false" if flag.startswith("no-") else "true"
        found[flag] = value
    return found


def retained_content(resource: Resource, description: JsonObject) -> JsonObject:
    """Return the content of the resource's file that keeps what is not ours. gcloud replaces a whole alert policy, with
    the operator's notification channels and switch, and all rules of a bucket."""
    content = _content(resource)
    if resource.kind == alerts.ALERT:
        theirs = {name: value for name, value in description.items() if name not in _READ_ONLY}
        ours = {name: _merged(theirs.get(name), value) for name, value in content.items()}
        return {**theirs, **ours, "conditions": _named(content.get("conditions"), description.get("conditions"))}
    lifecycle = description.get("lifecycle_config")
    rules = lifecycle.get("rule") if isinstance(lifecycle, dict) else None
    own = _rules(content)
    own_prefixes = [_prefixes(rule) for rule in own]
    others = [rule for rule in (rules if isinstance(rules, list) else []) if _prefixes(rule) not in own_prefixes]
    return {"rule": [*others, *own]}


def _settings(resource: Resource) -> Iterator[Setting]:
    known, flags = FLAGS.get(resource.kind, {}), planned_flags(resource)
    for flag, value in flags.items():
        live = known.get(flag, "")
        if isinstance(live, Live):
            planned: Json = _rules(_content(resource)) if flag == "lifecycle-file" else value
            yield Setting(
                resource.key, flag, planned, live.path, "part" if resource.is_shared else live.form, live.fixed
            )
    for flag in NOT_SET.get(resource.kind, ()):
        if flag not in flags and isinstance(live := known[flag], Live):
            yield Setting(resource.key, flag, None, live.path, live.form)
    for name, (planned, live) in ALWAYS.get(resource.kind, {}).items():
        yield Setting(resource.key, name, planned, live.path, live.form)


def _content(resource: Resource) -> JsonObject:
    [file] = resource.files
    content: JsonObject = json.loads(file.content)
    return content


def _rules(content: JsonObject) -> list[Json]:
    rules = content["rule"]
    assert isinstance(rules, list)
    return rules


def _prefixes(rule: Json) -> Json:
    condition = rule.get("condition") if isinstance(rule, dict) else None
    return condition.get("matchesPrefix") if isinstance(condition, dict) else None


def _merged(theirs: Json, ours: Json) -> Json:
    return {**theirs, **ours} if isinstance(theirs, dict) and isinstance(ours, dict) else ours


def _named(ours: Json, theirs: Json) -> list[Json]:
    """A condition that keeps Google's name keeps its open incident."""
    names = {each.get("displayName"): each.get("name") for each in theirs or [] if isinstance(each, dict)}  # type: ignore[union-attr] # a list
    conditions = [each for each in ours if isinstance(each, dict)] if isinstance(ours, list) else []
    return [{**each, "name": name} if (name := names.get(each.get("displayName"))) else each for each in conditions]
