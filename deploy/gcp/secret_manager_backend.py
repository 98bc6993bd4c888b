"""Secrets in Google Secret Manager: read over REST, and written by gcloud, which gets values on standard input."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from deploy.cloud_access.gcp import Answer, ApiError, GoogleApi, Runner, shown
from deploy.cloud_access.gcp_names import BUNDLE_LABEL, Target
from deploy.gcp.resources.stores import replication
from deploy.secrets.backend import BackendError, StoredSecret
from deploy.terminal.parallel import run_in_parallel
from shared import jsontext, times

API: Final = "secretmanager.googleapis.com"
_DISABLED: Final = ("SERVICE_DISABLED", "it is disabled")
"""In gcloud's message if the API is not enabled."""
WRITE_SECONDS: Final = 120.0
"""How long one call of gcloud may take."""


class SecretManagerBackend:
    """The secrets of a deployment in Secret Manager: a SecretBackend, which says what its methods promise.

    A new value is a new version, which functions read as `latest`. The former version is disabled or destroyed.
    """

    def __init__(self, target: Target, gcloud: Runner, api: GoogleApi) -> None:
        self._target = target
        self._gcloud = gcloud
        self._api = api

    def find(self, names: Sequence[str]) -> Mapping[str, StoredSecret]:
        stored = run_in_parallel(self._find_one, names)
        return {name: each for name, each in zip(names, stored, strict=True) if each is not None}

    def write(self, name: str, text: str, forget: bool) -> list[str]:
        secret = self._target.name_of(name)
        self._reject_others(secret)
        add = ["secrets", "versions", "add", secret, "--data-file=-"]
        answer = self._run_with_value(add, text)
        if answer.code and any(phrase in answer.stderr for phrase in _DISABLED):
            self._run(["services", "enable", API])
            answer = self._run_with_value(add, text)
        if answer.code and "NOT_FOUND" in answer.stderr:
            return self._create(secret, text)
        self._raise_if_failed(add, answer)
        return [f"added as the newest version of {secret}", *self._retire_older_versions(secret, forget)]

    def how_to_read(self, name: str) -> str:
        secret = f"--secret={self._target.name_of(name)}"
        return shown(["secrets", "versions", "access", "latest", secret], self._target.project)

    def _find_one(self, name: str) -> StoredSecret | None:
        """Return the newest version, also if the operator may not read it; None if there is no secret."""
        secret = f"/v1/projects/{self._target.project}/secrets/{self._target.name_of(name)}"
        where = f"secret {self._target.name_of(name)}"
        try:
            version = self._api.get("secretmanager", f"{secret}/versions/latest")
        except ApiError as fault:
            if fault.status == 404 or fault.reason == "SERVICE_DISABLED":  # without the API there is no secret
                return None
            raise BackendError(f"Secret Manager, {name!r}: {fault}") from fault
        if version.get("state") != "ENABLED":
            return StoredSecret(None, where, trouble=f"its newest version is {str(version.get('state')).lower()}")
        set_at = times.unix_seconds(str(version.get("createTime")))
        try:
            payload = self._api.get("secretmanager", f"{secret}/versions/latest:access").get("payload")
        except ApiError as fault:
            return StoredSecret(None, where, set_at, trouble=f"exists, but you may not read it: {fault}")
        return StoredSecret(_text_of(payload), where, set_at)

    def _reject_others(self, secret: str) -> None:
        """Raise BackendError for another deployment's secret: `eu-key` of `shop-` is also `key` of `shop-eu-`."""
        try:
            found = self._api.get("secretmanager", f"/v1/projects/{self._target.project}/secrets/{secret}")
        except ApiError:
            return  # it does not exist, or gcloud will report the error when it writes
        owner = jsontext.value_at(found, "labels", BUNDLE_LABEL)
        if owner not in (None, self._target.bundle):
            raise BackendError(f"nothing was changed: secret {secret} has the label of the deployment {owner!r}")

    def _create(self, secret: str, text: str) -> list[str]:
        labels = f"--labels={BUNDLE_LABEL}={self._target.bundle}"
        create = ["secrets", "create", secret, labels, "--data-file=-", *replication(self._target)]
        self._raise_if_failed(create, self._run_with_value(create, text))
        return [f"created: secret {secret}; the next deployment lets the functions read it"]

    def _retire_older_versions(self, secret: str, forget: bool) -> list[str]:
        """Disable the older versions, or destroy them with `forget`, and return what was done.

        None of them is needed: the newest one contains every value that is still valid.
        """
        found = json.loads(self._run(["secrets", "versions", "list", secret, "--format=json"]).stdout or "[]")
        old = list(_older_versions(found, {"ENABLED", "DISABLED"} if forget else {"ENABLED"}))
        verb = "destroy" if forget else "disable"
        for version in old:
            self._run(["secrets", "versions", verb, version, f"--secret={secret}"])
        if not old:
            return []
        if forget:
            return [f"destroyed: version {', '.join(old)}"]
        back = shown(["secrets", "versions", "enable", old[0], f"--secret={secret}"], self._target.project)
        return [f"disabled: version {', '.join(old)} (to enable it again: {back})"]

    def _run_with_value(self, arguments: Sequence[str], text: str) -> Answer:
        """Run gcloud with the secret's value on standard input. The caller looks at the exit code."""
        return self._gcloud.run(arguments, stdin=text.encode(), timeout_seconds=WRITE_SECONDS)

    def _run(self, arguments: Sequence[str]) -> Answer:
        """Run gcloud. Raises BackendError if it fails."""
        answer = self._gcloud.run(arguments, timeout_seconds=WRITE_SECONDS)
        self._raise_if_failed(arguments, answer)
        return answer

    def _raise_if_failed(self, arguments: Sequence[str], answer: Answer) -> None:
        if answer.code:
            line = shown(arguments, self._target.project)
            raise BackendError(f"{answer.stderr.strip() or 'gcloud failed'}\nthe command was: {line}")


def _older_versions(listed: jsontext.Json, states: set[str]) -> Iterator[str]:
    """Return the numbers of all versions in these states except the newest, in whatever order gcloud lists them."""
    versions = jsontext.objects_at(listed)
    numbers = {int(str(each["name"]).rpartition("/")[2]): str(each.get("state")) for each in versions}
    newest = max(numbers, default=0)
    yield from (
        str(number) for number in sorted(numbers, reverse=True) if number < newest and numbers[number] in states
    )


def _text_of(payload: jsontext.Json) -> str:
    return base64.b64decode(str(jsontext.mapping_at(payload).get("data", ""))).decode("utf-8", errors="replace")
