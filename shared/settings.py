"""The configuration of a process: the environment as typed values, and the function's slice.

Each setting is listed beside its variable. A slice is the part of the operator's configuration that one function needs,
compiled to JSON. It was validated when it was compiled, and is not validated again. That of receive begins with
`{"function": "receive", "sources": …`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from shared import errors, logs, ports
from shared.jsontext import Json, JsonObject, mapping_at

DEFAULT_STATE: Final = ".hookchain"
LOCAL_PROJECT: Final = "hookchain-local"
LOCAL_PUSH_ACCOUNT: Final = f"push@{LOCAL_PROJECT}.iam.gserviceaccount.com"
CLOUD_RUN: Final = "cloud-run"
QUEUE_VARIABLES: Final = {
    ports.EVENTS: "HOOKCHAIN_EVENTS_QUEUE",
    ports.DELIVERIES: "HOOKCHAIN_DELIVERIES_QUEUE",
    ports.DEAD_LETTERS: "HOOKCHAIN_DEAD_LETTERS_QUEUE",
    ports.RECOVERED: "HOOKCHAIN_RECOVERED_QUEUE",
}
METADATA_HOST: Final = "metadata.google.internal"
"""The host of Google's metadata server, which gives a service on Cloud Run the tokens of its account."""
TELEMETRY: Final = "telemetry"
"""The part of a slice by which its function records spans. Without it, telemetry is off."""


class Settings(NamedTuple):
    """The settings of a process, each with the variable that it comes from.

    `hookchain lint` reads the names of the variables here, to find variables in `.env` that nothing reads.

    project            GOOGLE_CLOUD_PROJECT: the project with the topics and secrets
    emulator_host      PUBSUB_EMULATOR_HOST: `host:port` of an emulated Pub/Sub. If it is set, Google gets no requests
    topic_prefix       HOOKCHAIN_PREFIX: the beginning of the names of topics and secrets, so that two bundles can be in
                       one project
    firestore          HOOKCHAIN_FIRESTORE: the Firestore database of the ledger and the journal
    firestore_host     FIRESTORE_EMULATOR_HOST: `host:port` of an emulated Firestore
    bucket             HOOKCHAIN_BUCKET: the Cloud Storage bucket for what is too large for a bus or a database
    storage_host       STORAGE_EMULATOR_HOST: `host:port` of an emulated Cloud Storage, or its URL
    aws_region         AWS_REGION on Lambda, which sets AWS_LAMBDA_FUNCTION_NAME; None elsewhere
    aws_endpoint       AWS_ENDPOINT_URL: the URL of a local AWS
    queues             HOOKCHAIN_EVENTS_QUEUE, HOOKCHAIN_DELIVERIES_QUEUE, HOOKCHAIN_DEAD_LETTERS_QUEUE,
                       HOOKCHAIN_RECOVERED_QUEUE: the URL of the queue of each topic, on AWS
    table_prefix       HOOKCHAIN_TABLES: the beginning of the names of DynamoDB tables, on AWS
    metadata_host      GCE_METADATA_HOST: the host that gives access tokens on Cloud Run, which sets K_SERVICE; None
                       elsewhere
    push_account       HOOKCHAIN_PUSH_ACCOUNT: the e-mail address of the account that may push to transform and notify
    push_audience      HOOKCHAIN_PUSH_AUDIENCE: the audience of that account's tokens, which is the function's URL
    is_invoker_checked HOOKCHAIN_INVOKER_CHECK: `cloud-run` if the deployment lets Cloud Run verify each token's
                       signature, which it then removes. It has no effect elsewhere
    state_folder       HOOKCHAIN_STATE: the folder of the local ledger, journal and blobs
    secrets_folder     SECRETS_DIR: the folder of mounted secrets
    slice_file         HOOKCHAIN_SLICE: the function's compiled configuration (a bundle has its own beside main.py)
    email_from         EMAIL_FROM: the sender's address for destinations that name none
    smtp_url           SMTP_URL: `smtp://user@host:587` (STARTTLS) or `smtps://user@host:465`; its password is the
                       secret `smtp-password`
    sendgrid_url       SENDGRID_API_URL: the URL of another server with SendGrid's API
    sheets_url         SHEETS_API_URL: the URL of another server with Google Sheets' API. It gets the rows of
                       destinations without a `secret`, and no token
    """

    project: str
    emulator_host: str | None
    topic_prefix: str
    firestore: str | None
    firestore_host: str | None
    bucket: str | None
    storage_host: str | None
    aws_region: str | None
    aws_endpoint: str | None
    queues: Mapping[str, str]
    table_prefix: str
    metadata_host: str | None
    push_account: str | None
    push_audience: str | None
    is_invoker_checked: bool
    state_folder: Path
    secrets_folder: Path
    slice_file: Path | None
    email_from: str | None
    smtp_url: str | None
    sendgrid_url: str
    sheets_url: str | None

    @property
    def is_local(self) -> bool:
        """Return whether the process runs with an emulated Google Cloud. With a local AWS it runs as on AWS."""
        return self.emulator_host is not None

    @property
    def is_aws(self) -> bool:
        return self.aws_region is not None


def read_settings(environ: Mapping[str, str]) -> Settings:
    # An empty variable counts as one that is not set.
    variables = {name: text for name, text in environ.items() if text}
    emulator_host = variables.get("PUBSUB_EMULATOR_HOST")
    is_lambda = "AWS_LAMBDA_FUNCTION_NAME" in variables
    is_cloud_run = "K_SERVICE" in variables
    slice_file = variables.get("HOOKCHAIN_SLICE")
    return Settings(
        project=variables.get("GOOGLE_CLOUD_PROJECT", LOCAL_PROJECT if emulator_host else ""),
        emulator_host=emulator_host,
        topic_prefix=variables.get("HOOKCHAIN_PREFIX", ""),
        firestore=variables.get("HOOKCHAIN_FIRESTORE"),
        firestore_host=variables.get("FIRESTORE_EMULATOR_HOST"),
        bucket=variables.get("HOOKCHAIN_BUCKET"),
        storage_host=variables.get("STORAGE_EMULATOR_HOST"),
        aws_region=variables.get("AWS_REGION") if is_lambda else None,
        aws_endpoint=variables.get("AWS_ENDPOINT_URL"),
        queues={topic: variables[name] for topic, name in QUEUE_VARIABLES.items() if name in variables},
        table_prefix=variables.get("HOOKCHAIN_TABLES", ""),
        metadata_host=variables.get("GCE_METADATA_HOST", METADATA_HOST) if is_cloud_run else None,
        push_account=variables.get("HOOKCHAIN_PUSH_ACCOUNT"),
        push_audience=variables.get("HOOKCHAIN_PUSH_AUDIENCE"),
        is_invoker_checked=is_cloud_run and variables.get("HOOKCHAIN_INVOKER_CHECK") == CLOUD_RUN,
        state_folder=Path(variables.get("HOOKCHAIN_STATE", DEFAULT_STATE)),
        secrets_folder=Path(variables.get("SECRETS_DIR", "/secrets")),
        slice_file=Path(slice_file) if slice_file else None,
        email_from=variables.get("EMAIL_FROM"),
        smtp_url=variables.get("SMTP_URL"),
        sendgrid_url=variables.get("SENDGRID_API_URL", "https://api.sendgrid.com"),
        sheets_url=variables.get("SHEETS_API_URL"),
    )


ROOT: Final = Path(__file__).resolve().parent.parent
"""The folder of the bundle, or of the checkout."""


class SliceFault(errors.HookchainError):
    """The slice is missing or does not load: the function cannot run."""


@cache
def settings() -> Settings:
    """Return the settings of this process, which are read once."""
    return read_settings(os.environ)


@cache
def slice_or_exit(function: str) -> JsonObject:
    """Return the function's slice, which is loaded once. Ends the process if it does not load."""
    if settings().metadata_host:  # on Cloud Run, a log line names its trace by the project
        logs.set_trace_project(settings().project)
    with exit_at_fault(function):
        return load_slice(function, settings().slice_file)


def load_slice(function: str, slice_file: Path | None = None, root: Path = ROOT) -> JsonObject:
    """Return the slice in the file, or without a file the bundle's own. In a checkout, it is compiled now.

    Raises SliceFault.
    """
    path = slice_file or root / "slice.json"
    if slice_file or path.is_file():
        try:
            return parse_slice(path.read_bytes(), function)
        except OSError as error:
            raise SliceFault("invalid_slice", f"{path}: {error.strerror}; compile it with `make bundle`") from error
    return parse_slice(_compile_now(root, function), function)


@contextmanager
def exit_at_fault(function: str) -> Iterator[None]:
    """Log a SliceFault and end the process, so that the platform shows that it failed."""
    try:
        yield
    except SliceFault as fault:
        logs.log("CRITICAL", "the configuration does not load", function=function, detail=fault.detail)
        raise SystemExit(f"{function}: {fault.detail}") from fault


def parse_slice(content: bytes, function: str) -> JsonObject:
    """Return the slice. Raises SliceFault if it was not compiled for this function."""
    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise SliceFault("invalid_slice", f"the slice of {function} is not JSON; compile it again") from error
    slice_ = mapping_at(document)
    found = slice_.get("function")
    if found != function:
        raise SliceFault("invalid_slice", f"expected a slice of {function!r}, found one of {found!r}; compile it again")
    return slice_


def _compile_now(root: Path, function: str) -> bytes:
    """Compile in another process, so that this process imports only what it also imports in a bundle."""
    if not (root / "deploy" / "config" / "compiler.py").is_file():
        raise SliceFault("invalid_slice", f"no slice.json in {root}; make one with `make bundle`")
    command = [sys.executable, "-m", "deploy.config.compiler", function]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)  # noqa: S603 our own module, no shell
    if done.returncode:
        raise SliceFault("invalid_slice", done.stderr.decode(errors="replace").strip())
    return done.stdout
