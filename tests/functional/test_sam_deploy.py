"""`hookchain deploy-aws` with the unmodified SAM CLI against a local AWS: from nothing to a mail, and back to nothing.

ministack, the local AWS, cannot do these things, so the test goes around them:
- alarms over several metrics are rejected: they are switched off with the parameter Alarms
- MaximumConcurrency from a parameter stays a text, which its pollers cannot compare: it is written again as a number
- functions run on this machine, so the parameter Architecture names its processor
- a Function URL has no address here: it is chosen by the header Host, so `hookchain smoke` posts to one that adds it
- a bucket is not imported into a stack, although tables are: the bucket is removed before the second creation
IAM is not enforced, drift is found in few kinds of resources, and code is uploaded without a size limit.
"""

import base64
import json
import os
import platform
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
import pytest

from shared.jsontext import JsonObject, mapping_at, objects_at
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, wait_for
from tests.stand_ins.http_server import Said, Seen, http_stand_in
from tests.unit.aws.rendered import tool_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REGION: Final = "eu-central-1"
PREFIX: Final = "hookchain-"
SENDER: Final = "hooks@example.com"
CONFIG: Final = """
sources:
  form: {auth: {scheme: basic, username: web, secret: form-password}}
routes:
  - {name: all, from: form, to: people}
destinations:
  people: {email: {to: [ann@example.com], from: hooks@example.com, subject: "New: {{ data.customerName }}"}}
"""
CUSTOMERS: Final = "destinations:\n  customers: {subscribers: {tenant: data.accountId}}"


@dataclass(frozen=True, slots=True)
class LocalAws:
    port: int
    folder: Path
    environ: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, service: str, operation: str, **arguments: object) -> JsonObject:
        client = boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        found: JsonObject = getattr(client, operation)(**arguments)
        return found

    def get(self, path: str) -> JsonObject:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=PATIENCE_SECONDS) as answer:
            found: JsonObject = json.loads(answer.read())
            return found

    def hookchain(self, *arguments: str) -> str:
        """Run a command, which must succeed; return what it printed."""
        command = [str(Path(sys.executable).parent / "hookchain"), *arguments]
        done = subprocess.run(
            command,
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def deploy(self) -> str:
        processor = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
        parameters = ["--parameter", f"Architecture={processor}", "--parameter", "Alarms=off"]
        return self.hookchain("deploy-aws", *self.where(), "--out", str(self.folder / "build"), *parameters)

    def plan(self) -> str:
        return self.hookchain("plan-aws", "--live", *self.where(), "--out", str(self.folder / "plan"))

    def where(self) -> list[str]:
        files = ["--config", str(self.folder / "hookchain.yaml"), "--env-file", str(self.folder / ".env")]
        return ["--region", REGION, *files]

    def digests(self) -> dict[str, str]:
        names = [f"{PREFIX}{name}" for name in ("receive", "transform", "notify")]
        found = {name: self.call("lambda", "get_function_configuration", FunctionName=name) for name in names}
        return {name: str(each["CodeSha256"]) for name, each in found.items()}


@pytest.fixture
def local_aws(tmp_path: Path) -> Iterator[LocalAws]:
    if sys.version_info[:2] != (3, 13):
        pytest.skip("sam build takes the Python that runs on Lambda: make test PYTHON=python3.13")
    ministack = tool_or_skip("ministack")
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HOOKCHAIN_", "EMAIL_"))}
    environ = kept | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
    }
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "state").mkdir()
    own = {"BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    own |= {"PERSIST_STATE": "0", "STATE_DIR": str(tmp_path / "state")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    log = (tmp_path / "ministack.log").open("wb")
    process = subprocess.Popen(
        [ministack], env=kept | own | {"PATH": path}, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
    )
    made = LocalAws(port, tmp_path, environ)
    try:
        wait_for(lambda: _is_healthy(made), 60)
        yield made
    finally:
        log.close()
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_SECONDS)


def _is_healthy(local: LocalAws) -> bool:
    try:
        return bool(local.get("/_ministack/health"))
    except OSError:
        return False


def write_concurrency_as_numbers(local: LocalAws) -> None:
    for mapping in objects_at(local.call("lambda", "list_event_source_mappings"), "EventSourceMappings"):
        scaling = {"MaximumConcurrency": 2}
        local.call("lambda", "update_event_source_mapping", UUID=mapping["UUID"], ScalingConfig=scaling)


@contextmanager
def function_url(local: LocalAws, url: str) -> Iterator[str]:
    """Serve the Function URL at an address of its own; yield the source's URL there."""
    host, path = url.removeprefix("https://").split("/", 1)

    def answer(seen: Seen) -> Said:
        headers = {name: value for name, value in seen.headers.items() if name.lower() != "host"} | {"Host": host}
        sent = urllib.request.Request(f"{local.url}{seen.path}", seen.body, headers)
        with urllib.request.urlopen(sent, timeout=PATIENCE_SECONDS) as reply:
            return Said(reply.status, reply.read())

    with http_stand_in(answer) as front:
        yield f"{front}/{path}"


def post(local: LocalAws, url: str, name: str) -> None:
    """Post an event to the source's URL, which must accept it."""
    found = local.call("secretsmanager", "get_secret_value", SecretId=f"{PREFIX}form-password")
    credentials = base64.b64encode(f"web:{found['SecretString']}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}
    body = json.dumps({"customerName": name}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_SECONDS) as answer:
        assert answer.status == 200


def subjects(local: LocalAws) -> list[str]:
    messages = mapping_at(local.get("/_ministack/ses/messages"), "messages")
    return [str(mail["Subject"]) for mails in messages.values() for mail in objects_at(mails)]


def changed_functions(output: str) -> list[str]:
    return re.findall(r"^\* Modify +(\w+) +AWS::Lambda::Function ", output, re.MULTILINE)


def test_a_deployment_delivers_changes_one_function_and_leaves_nothing(local_aws: LocalAws) -> None:
    local_aws.call("sesv2", "create_email_identity", EmailIdentity=SENDER)

    created = local_aws.deploy()
    assert "Secret form-password has a random value" in created
    [url] = re.findall(r"^  (https://\S+/form)$", created, re.MULTILINE)
    assert "hookchain smoke --platform aws\n" in created, ".env names the region"

    write_concurrency_as_numbers(local_aws)
    (local_aws.folder / "event.json").write_text('{"customerName": "Smoke"}')
    with function_url(local_aws, url) as reachable:
        post(local_aws, reachable, "Ann")
        wait_for(lambda: subjects(local_aws) == ["New: Ann"], 60)
        event = ("--file", str(local_aws.folder / "event.json"), "--to", reachable, "--yes")
        followed = local_aws.hookchain("smoke", "--platform", "aws", *local_aws.where(), *event)
    assert "✓ delivered" in followed
    assert sorted(subjects(local_aws)) == ["New: Ann", "New: Smoke"]

    before = local_aws.digests()
    assert "Nothing to do: the deployment matches the configuration." in local_aws.plan()

    path = local_aws.folder / "hookchain.yaml"
    path.write_text(CONFIG.replace("from: form", "from: form, where: data.customerName"))
    plan = local_aws.plan()
    assert "\nupdate metadata CodeDigests\n  transform: " in plan
    assert "receive:" not in plan
    assert changed_functions(local_aws.deploy()) == ["TransformFunction"]
    after = local_aws.digests()
    assert [name for name in after if after[name] != before[name]] == [f"{PREFIX}transform"]

    rolled_back = local_aws.hookchain("rollback-aws", *local_aws.where(), "--out", str(local_aws.folder / "rollback"))
    assert changed_functions(rolled_back) == ["TransformFunction"]
    assert "The code before the last deployment serves again: transform" in rolled_back
    assert local_aws.digests() == before

    path.write_text(CONFIG.replace("destinations:", CUSTOMERS) + "subscribers: {}\n")
    with_subscribers = local_aws.deploy()
    assert "Secret subscribers-key has a random value" in with_subscribers
    assert re.search(r"^Your users manage their endpoints at https://\S+/portal\.", with_subscribers, re.MULTILINE)
    assert f"'{PREFIX}subscribe'" in str(local_aws.call("lambda", "list_functions"))

    removed = local_aws.hookchain("destroy-aws", *local_aws.where(), "--confirm", PREFIX)
    kept = removed.partition("Kept (ALL=1 removes them too): ")[2]
    assert f"table {PREFIX}dead-letters" in kept
    assert f"secret {PREFIX}form-password" in kept

    local_aws.call("s3", "delete_bucket", Bucket=f"{PREFIX}blobs-000000000000-{REGION}")
    path.write_text(CONFIG)
    again = local_aws.deploy()
    assert f"Taking in what an earlier stack left: {PREFIX}deliveries, " in again
    assert "Secret form-password" not in again
    assert f"'{PREFIX}subscribe'" not in str(local_aws.call("lambda", "list_functions"))
    assert f"{PREFIX}documents" in str(local_aws.call("dynamodb", "list_tables")["TableNames"])
    listed = local_aws.hookchain("events", "list", "--platform", "aws", "--region", REGION)
    assert "form" in listed, "the journal is kept"

    local_aws.hookchain("destroy-aws", *local_aws.where(), "--confirm", PREFIX, "--all")
    assert local_aws.call("lambda", "list_functions")["Functions"] == []
    assert local_aws.call("dynamodb", "list_tables")["TableNames"] == []
    assert local_aws.call("secretsmanager", "list_secrets")["SecretList"] == []
    assert not local_aws.call("sqs", "list_queues").get("QueueUrls")
    [bucket] = objects_at(local_aws.call("s3", "list_buckets"), "Buckets")
    assert str(bucket["Name"]).startswith("aws-sam-cli-managed-default-samclisourcebucket")
