"""Secrets in AWS Secrets Manager."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.cloud_access import aws, aws_names
from deploy.secrets.backend import BackendError, StoredSecret
from deploy.terminal.parallel import run_in_parallel
from shared.jsontext import Json, JsonObject, mapping_at, objects_at

SERVICE: Final = "secretsmanager"
_PREVIOUS: Final = "AWSPREVIOUS"


class SecretsManagerBackend:
    """The secrets of a deployment in Secrets Manager: a SecretBackend, which says what its methods promise.

    A new value is a new current version. The former one stays readable under the label AWSPREVIOUS, unless it is to be
    forgotten.
    """

    def __init__(self, target: aws_names.StackTarget, api: aws.AwsApi) -> None:
        self._target = target
        self._api = api

    def find(self, names: Sequence[str]) -> Mapping[str, StoredSecret]:
        stored = run_in_parallel(self._find_one, names)
        return {name: each for name, each in zip(names, stored, strict=True) if each is not None}

    def write(self, name: str, text: str, forget: bool) -> list[str]:
        secret = aws_names.secret_id(self._target.prefix, name)
        try:
            before = self._described(secret)
            if before is None:
                tags: list[Json] = [{"Key": aws_names.STACK_TAG, "Value": self._target.prefix}]
                self._api.call(SERVICE, "create_secret", Name=secret, SecretString=text, Tags=tags)
                return [f"created: secret {secret}"]
            if "DeletedDate" in before:
                raise BackendError(f"nothing was changed: {secret} {_deletion_text(secret)}")
            self._require_own(secret, before)
            self._api.call(SERVICE, "put_secret_value", SecretId=secret, SecretString=text)
        except aws.AwsFault as fault:
            raise BackendError(str(fault)) from fault
        stored = f"stored as the current version of {secret}"
        if not forget:
            return [stored, f"the previous version stays readable as {_PREVIOUS}"]
        try:
            return [stored, *self._release_previous(secret)]
        except aws.AwsFault as fault:
            raise BackendError(f"{stored}, but the previous version was not released: {fault}") from fault

    def reject_others(self, names: Sequence[str]) -> None:
        """Raise BackendError if one of these secrets belongs to another stack."""
        secrets = [aws_names.secret_id(self._target.prefix, name) for name in names]
        try:
            found = run_in_parallel(self._described, secrets)
        except aws.AwsFault as fault:
            raise BackendError(str(fault)) from fault
        for secret, described in zip(secrets, found, strict=True):
            self._require_own(secret, described or {})

    def how_to_read(self, name: str) -> str:
        secret = aws_names.secret_id(self._target.prefix, name)
        command = ["aws", "secretsmanager", "get-secret-value", f"--secret-id={secret}"]
        return shlex.join([*command, "--query=SecretString", "--output=text", f"--region={self._target.region}"])

    def _find_one(self, name: str) -> StoredSecret | None:
        """Return the current version, also if it cannot be read; None if there is no secret."""
        secret = aws_names.secret_id(self._target.prefix, name)
        where = f"secret {secret}"
        try:
            found = self._api.call(SERVICE, "get_secret_value", SecretId=secret)
        except aws.AwsFault as fault:
            if fault.is_missing:
                return None
            if fault.is_denied:
                return StoredSecret(None, where, trouble=f"may not be read by you: {fault}")
            if fault.code == "InvalidRequestException":
                return StoredSecret(None, where, trouble=_deletion_text(secret))
            if fault.code == "DecryptionFailure":
                return StoredSecret(None, where, trouble="cannot be decrypted with its KMS key")
            raise BackendError(f"Secrets Manager, {name!r}: {fault}") from fault
        text, at = found.get("SecretString"), found.get("CreatedDate")
        set_at = float(at) if isinstance(at, int | float) else None
        if not isinstance(text, str):
            return StoredSecret(None, where, set_at, trouble="is binary; a secret's value is text")
        return StoredSecret(text, where, set_at)

    def _described(self, secret: str) -> JsonObject | None:
        """Return the secret without its value; None if there is none. Raises AwsFault."""
        return self._api.find(SERVICE, "describe_secret", SecretId=secret)

    def _require_own(self, secret: str, found: JsonObject) -> None:
        """Raise BackendError if the secret belongs to another stack.

        An id is a stack's prefix and a name. So `shop-eu-key` can be `eu-key` of the stack `shop`, or `key` of
        `shop-eu`.
        """
        tags = objects_at(found, "Tags")
        owner = next((str(each.get("Value")) for each in tags if each.get("Key") == aws_names.STACK_TAG), None)
        if owner not in (None, self._target.prefix):
            raise BackendError(f"nothing was changed: secret {secret} has the tag of the deployment {owner!r}")

    def _release_previous(self, secret: str) -> list[str]:
        """Remove the label AWSPREVIOUS, so that Secrets Manager deletes the previous version. Return what was done."""
        done: list[str] = []
        for version, stages in mapping_at(self._described(secret), "VersionIdsToStages").items():
            if isinstance(stages, list) and _PREVIOUS in stages:
                arguments = {"SecretId": secret, "VersionStage": _PREVIOUS, "RemoveFromVersionId": version}
                self._api.call(SERVICE, "update_secret_version_stage", **arguments)
                done.append(
                    "released: the previous version. Secrets Manager deletes it; until then its version id reads it"
                )
        return done


def _deletion_text(secret: str) -> str:
    return f"is marked for deletion: aws secretsmanager restore-secret --secret-id {secret}"
