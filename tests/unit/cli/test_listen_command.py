"""`hookchain listen`: its lease, which no other developer gets, and copies that every application can verify."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import pytest

from deploy.cli import listen, listen_forwarding
from deploy.cli.listen import LocalSecrets
from deploy.cli.listen_forwarding import Courier, Target, copied_request
from deploy.cli.listen_lease import LeaseKeeper, LeaseLost
from deploy.cloud_access.inboxes import AwsInboxes, GoogleInboxes, Inboxes, InboxFault, NoInbox, Received
from deploy.config.configured import LoadedConfig
from deploy.config.dotenv import read_dotenv
from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.samples import Fresh, sample_names
from deploy.requests.signed_samples import CannotSign, Keys
from functions.receive.receive import Receiver
from functions.receive.source import read_sources
from shared.cloud.aws.client import AwsPlace
from shared.cloud.gcp.tokens import no_authorization
from shared.errors import Temporary
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.jsontext import Json, JsonObject, base64_text, to_json
from shared.ports import EVENTS
from shared.push import Push
from shared.secrets import variable_name
from shared.signatures.auth_scheme import read_scheme
from shared.signatures.aws_v4 import Credentials
from shared.tap import KEPT_SECONDS, MAX_LEASE_SECONDS, MAX_SKEW_SECONDS, PARTITION, Lease, request_of
from shared.times import rfc3339
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.command import Command, audit_records
from tests.fakes.documents import FakeDocuments
from tests.fakes.receiver import ScriptedReceiver, receiver
from tests.fakes.secrets import FakeSecrets
from tests.in_process.signed_samples import FRESH, NOW, on_range
from tests.stand_ins.http_server import Said, http_stand_in

CONFIG: Final = """\
sources:
  github: {provider: github, secret: github-secret}
  twilio: {provider: twilio, secret: twilio-token}
  keyed: {provider: discord, secret: public-key}
  sns: {provider: aws_sns, params: {topics: ["arn:aws:sns:eu-central-1:123456789012:shop"]}}
  other: {auth: {scheme: bearer, secret: other-key}}
develop: {sources: [github, twilio, keyed, sns]}
"""
FORWARD: Final = ("--forward", "http://localhost:9/in")


class FakeInboxes:
    """Inboxes by name. `lasting` are those that do not expire; `faults` are raised by the next calls to receive."""

    def __init__(self, lasting: bool = False) -> None:
        self.kept: dict[str, list[Received]] = {}
        self.faults: list[Exception] = []
        self.lasting = lasting

    async def create(self, name: str) -> None:
        self.kept.setdefault(name, [])

    async def receive(self, name: str) -> Sequence[Received]:
        await asyncio.sleep(0.01)
        if self.faults:
            raise self.faults.pop(0)
        if name not in self.kept:
            raise NoInbox("gone")
        return tuple(self.kept[name])

    async def acknowledge(self, name: str, received: Received) -> None:
        self.kept[name].remove(received)

    async def remove(self, name: str) -> None:
        self.kept.pop(name, None)

    async def names(self) -> Sequence[str]:
        return [*self.kept] if self.lasting else []

    def close(self) -> None:
        """Close nothing."""


class Cloud:
    """A deployment with a tap."""

    def __init__(self) -> None:
        self.documents, self.blobs, self.inboxes = FakeDocuments(), FakeBlobs(), FakeInboxes(lasting=True)

    def tap(self) -> "Cloud":
        return self

    def make_leases(self) -> FakeDocuments:
        return self.documents

    def make_blobs(self) -> FakeBlobs:
        return self.blobs

    def make_inboxes(self, _: str | None = None) -> FakeInboxes:
        return self.inboxes

    def lease(self, developer: str = "ada", source: str = "github") -> Lease:
        lease = Lease(source, developer, "", 0, 0)
        return Lease(**json.loads(self.documents.kept[PARTITION, lease.name].text))


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud()
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(listen, "open_platform", lambda *_: made)
    monkeypatch.setattr("time.time", lambda: NOW)

    async def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(listen, "_forward_all", stop)
    return made


@pytest.fixture
def run(cloud: Cloud, command: Command, tmp_path: Path) -> "Run":
    return Run(command, tmp_path)


class Run:
    def __init__(self, command: Command, folder: Path) -> None:
        self._command = command
        self.env = folder / "env"

    def __call__(self, *arguments: str, source: str = "github", code: int = 0) -> str:
        named = ("--platform", "gcp", "--source", source, "--env-file", str(self.env), "--as", "ada")
        return self._command("listen", *named, *arguments, code=code)

    @property
    def error(self) -> str:
        return self._command.error


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("--forward", "http://crm.example.com/in"), 2, "--forward: must be a URL of this machine"),
        (("--forward", "http://localhost.example.com/in"), 2, "--forward: must be a URL of this machine"),
        (("--forward", "http://127.0.0.1@crm.example.com/in"), 1, "URL: must not contain a user or a password"),
        ((*FORWARD, "--as", "../ada"), 2, "--as: must be 1 to 20 lower-case letters"),
        ((*FORWARD, "--for", "9h"), 2, "from 10m to 8h"),
        ((*FORWARD, "--for", "9m"), 2, "from 10m to 8h"),  # a clock that is behind would end it before it is read
        ((*FORWARD, "--source", "github2"), 2, "there is no source 'github2'; did you mean 'github'?"),
        ((*FORWARD, "--source", "other"), 1, "source 'other' is not under `develop` in the configuration"),
        (("--to-dev",), 1, "--to-dev: `make dev` does not run"),
        ((), 2, "one of --forward, --to-dev and --stop is needed"),
        ((*FORWARD, "--platform", "local"), 2, "argument --platform: must be gcp or aws"),
        ((*FORWARD, "--platform", "aws", "--subscription-project", "x"), 2, "needs --platform gcp"),
    ],
)
def test_what_is_rejected_before_there_is_a_lease(
    run: Run, cloud: Cloud, arguments: Sequence[str], code: int, error: str
) -> None:
    run(*arguments, code=code)
    assert error in run.error
    assert (cloud.documents.kept, cloud.inboxes.kept) == ({}, {})


def test_each_lease_leaves_an_audit_record_and_ends_with_the_command(run: Run, cloud: Cloud, tmp_path: Path) -> None:
    assert "Forwarding to http://localhost:9/in\n" in run(*FORWARD)
    assert (cloud.lease().until, [*cloud.inboxes.kept]) == (NOW, [cloud.lease().name])  # what came is kept
    run("--stop")
    records = audit_records(tmp_path / "state")
    assert [(record["tool"], record["what"]) for record in records] == [
        ("hookchain listen", "copy requests to github as ada for 8 h, renewed"),
        ("hookchain listen", "end the lease of github as ada, and remove its copies"),
    ]


def test_nothing_is_created_without_an_audit_record(run: Run, cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "state" / "audit.jsonl").mkdir(parents=True)
    run(*FORWARD, code=1)
    assert "so nothing was changed" in run.error
    assert (cloud.documents.kept, cloud.inboxes.kept) == ({}, {})


@pytest.mark.parametrize("moment", ["after the write", "during the write", "before the write"])
def test_ctrl_c_before_it_listens_ends_the_lease_that_was_written(
    run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write, create = cloud.documents.write, cloud.inboxes.create
    calls: list[str] = []

    async def interrupted_write(partition: str, name: str, text: str, version: str, expires_at: float) -> str | None:
        calls.append("write")
        written = await write(partition, name, text, version, expires_at)
        if moment == "during the write" and len(calls) == 1:
            raise asyncio.CancelledError
        return written

    async def interrupted_create(name: str) -> None:
        if moment == "before the write" or calls:
            raise asyncio.CancelledError
        await create(name)

    monkeypatch.setattr(cloud.documents, "write", interrupted_write)
    monkeypatch.setattr(cloud.inboxes, "create", interrupted_create)
    with pytest.raises(asyncio.CancelledError):  # asyncio.run makes it a KeyboardInterrupt after a real Ctrl-C
        run(*FORWARD)
    assert [*cloud.documents.kept] == ([] if moment == "before the write" else [(PARTITION, cloud.lease().name)])
    assert not cloud.documents.kept or cloud.lease().until == NOW


def test_a_lease_that_cannot_be_ended_is_said_to_last(run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stop(*_: object) -> None:
        cloud.documents.fault = "Firestore did not answer"
        raise asyncio.CancelledError

    monkeypatch.setattr(listen, "_forward_all", stop)
    run(*FORWARD, code=1)
    assert "The lease was not ended, and lasts until 2026-09-21T22:13:20Z: " in run.error
    assert "To end it and remove the copies that wait, replace --forward or --to-dev by --stop" in run.error


def test_a_secret_that_is_missing_is_generated_once(run: Run) -> None:
    assert "signed with GITHUB_SECRET, which was generated into" in run(*FORWARD)
    secret = read_dotenv(run.env)["GITHUB_SECRET"]
    assert "signed with GITHUB_SECRET. Your application needs the same secret" in run(*FORWARD)
    assert read_dotenv(run.env)["GITHUB_SECRET"] == secret


def test_a_signature_over_the_url_or_by_a_key_pair_is_explained(run: Run) -> None:
    assert "your application must verify it for http://localhost:9/in" in run(*FORWARD, source="twilio")
    output = run(*FORWARD, source="keyed")
    public_key = read_dotenv(run.env)["PUBLIC_KEY"]
    assert f"Its public key for your application: {public_key}" in output
    assert public_key in run(*FORWARD, source="keyed")
    assert "not signed by aws-sns: only the provider has the key" in run(*FORWARD, source="sns")


def test_a_generated_key_pair_leaves_the_other_secrets_of_the_shell(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("GITHUB_SECRET=of-the-file\n", encoding="utf-8")
    here = LocalSecrets(LoadedConfig({"GITHUB_SECRET": "of-the-shell"}, None, {}, {}), env_file, tmp_path)
    here.prepare(read_scheme({"scheme": "ed25519", "header": "x-signature", "secret": "public-key"}))
    assert here.environ["GITHUB_SECRET"] == "of-the-shell"


def test_a_lease_of_another_machine_is_neither_taken_nor_stopped_unless_it_is_said(run: Run, cloud: Cloud) -> None:
    theirs = Lease("github", "ada", "eve@desk", NOW - 60, NOW + 60)

    async def write() -> None:
        await cloud.documents.write(PARTITION, theirs.name, theirs.text)
        await cloud.inboxes.create(theirs.name)

    asyncio.run(write())
    for arguments in (FORWARD, ("--stop",)):
        run(*arguments, code=1)
        assert "eve@desk has the lease 'ada'" in run.error
        assert cloud.lease() == theirs
    run(*FORWARD, "--take-over")
    assert cloud.lease().holder != "eve@desk"
    run("--stop")
    assert (cloud.documents.kept, cloud.inboxes.kept) == ({}, {})


def test_the_time_after_a_lease_is_printed_and_what_is_older_or_endless_is_removed(run: Run, cloud: Cloud) -> None:
    run(*FORWARD)
    ended, old = cloud.lease(), Lease("github", "bob", "bob@desk", 0, NOW - KEPT_SECONDS - 1)

    ahead = replace(old, developer="mia", until=NOW + MAX_LEASE_SECONDS + 2 * MAX_SKEW_SECONDS)

    async def write() -> None:
        earlier = replace(ended, until=NOW - 3_600)
        await cloud.documents.write(PARTITION, earlier.name, earlier.text)
        await cloud.documents.write(PARTITION, old.name, old.text)
        endless = replace(old, developer="eve", until=NOW + 30 * 86_400)
        await cloud.documents.write(PARTITION, endless.name, endless.text)
        await cloud.documents.write(PARTITION, ahead.name, ahead.text)
        await cloud.inboxes.create(endless.name)
        changes: list[JsonObject] = [{"source": "\ud800"}, {"until": 10**400}, {"until": 1e300}, {"since": None}]
        for number, change in enumerate(changes):
            text = json.dumps({**asdict(old), **change})
            await cloud.documents.write(PARTITION, f"bob-{number:08}", text)
        await cloud.inboxes.create(old.name)
        await cloud.inboxes.create("nobody-00000000")

    asyncio.run(write())
    assert "Nothing was copied from 2026-09-21T13:13:20Z to about 2026-09-21T14:13:50Z" in run(*FORWARD)
    assert [*cloud.inboxes.kept] == [ended.name]
    assert {name for _, name in cloud.documents.kept} == {ended.name, ahead.name}


@pytest.mark.parametrize("is_written", [True, False])
async def test_a_renewal_without_an_answer_does_not_end_the_lease(is_written: bool) -> None:
    class Documents(FakeDocuments):
        is_cut = False

        async def write(
            self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
        ) -> str | None:
            version = None
            if is_written or not self.is_cut:
                version = await super().write(partition, id, text, expected, expires_at)
            if self.is_cut:
                raise Temporary("documents_unavailable", "no answer")
            return version

    documents = Documents()
    keeper = LeaseKeeper(documents, Lease("github", "ada", "ada@laptop", 0, 0), 3_600)
    await keeper.begin()
    documents.is_cut = True
    with pytest.raises(Temporary):
        await keeper.renew()
    documents.is_cut = False
    await keeper.renew()
    await keeper.end()


def test_the_developer_for_whom_there_is_no_place_is_told_so(run: Run, cloud: Cloud) -> None:
    async def write() -> None:
        for number in range(20):
            lease = Lease("github", f"dev{number}", "x@y", NOW - 60, NOW + 60)
            await cloud.documents.write(PARTITION, lease.name, lease.text)

    asyncio.run(write())
    run(*FORWARD, code=1)
    assert "20 developers listen to github already (dev0, dev1, " in run.error
    assert len(cloud.documents.kept) == 20
    run(*FORWARD, source="twilio")
    mine = Lease("github", "ada", cloud.lease("ada", "twilio").holder, NOW - 90, NOW + 60)
    asyncio.run(cloud.documents.write(PARTITION, mine.name, mine.text))
    run(*FORWARD)  # it was there before


@pytest.mark.parametrize(
    ("ahead_seconds", "fault"),
    [(691_200, "11520 min ahead of"), (360, "6 min ahead of"), (-360, "6 min behind"), (290, ""), (-290, "")],
)
def test_a_wrong_clock_is_said_and_leaves_no_open_lease_and_removes_nothing(
    run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, ahead_seconds: float, fault: str
) -> None:
    write = cloud.documents.write

    async def timed_write(partition: str, id: str, text: str, expected: str | None, expires_at: float) -> str | None:
        await write(partition, id, text, None, expires_at)
        return rfc3339(NOW - ahead_seconds)  # as Firestore does

    theirs = Lease("github", "bob", "bob@desk", NOW - ahead_seconds - 60, NOW - ahead_seconds + 3_600)
    asyncio.run(write(PARTITION, theirs.name, theirs.text))
    asyncio.run(cloud.inboxes.create(theirs.name))
    monkeypatch.setattr(cloud.documents, "write", timed_write)
    run(*FORWARD, code=1 if fault else 0)
    assert fault in run.error
    assert not cloud.lease().is_open(NOW - ahead_seconds + MAX_SKEW_SECONDS)
    assert cloud.lease("bob") == theirs
    assert theirs.name in cloud.inboxes.kept


async def test_a_lease_that_somebody_else_has_taken_is_not_renewed() -> None:
    documents, lease = FakeDocuments(), Lease("github", "ada", "ada@laptop", 0, 0)
    first, second = LeaseKeeper(documents, lease, 3_600), LeaseKeeper(documents, lease, 3_600)
    await first.begin()
    await first.renew()
    await second.begin()
    with pytest.raises(LeaseLost, match="another `hookchain listen` uses the name 'ada'"):
        await first.renew()
    await second.renew()


# Forwarding


ORDER: Final = Event("e1", "/sources/shop", "order", "2026-03-01T12:00:00.000Z", "00", rawbody="{}")


@pytest.fixture(autouse=True)
def _retries_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_forwarding, "RETRY_SECONDS", 0.01)


def push_of(event: Event, **attributes: str) -> Push:
    return Push(to_json(to_cloudevent(request_of(event))).encode(), attributes)


def courier_to(url: str, inboxes: FakeInboxes, blobs: FakeBlobs, folder: Path, *, is_dev: bool = False) -> Courier:
    settings: Json = {"auth": [{"scheme": "none"}], "methods": ["POST"], "max_body_bytes": 9}
    [source] = read_sources({"sources": {"shop": settings}}).values()
    return Courier(inboxes, blobs, "ada", Target(source, url, None if is_dev else url, Keys({}, folder)))


async def test_a_connection_that_is_lost_and_an_inbox_that_is_gone_are_said_and_do_not_end_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    inboxes = FakeInboxes()
    event = replace(ORDER, type="order\x1b[2J")
    bad_header = replace(event, rawheaders='[["x-a","a\\r\\nx-b: c"]]')
    hostile = replace(event, rawheaders="[" * 200_000), replace(event, rawheaders='[["x-a"]', rawbody="x")
    copies = [push_of(event, missed="3"), push_of(bad_header), Push(b"{}"), *(push_of(each) for each in hostile)]
    copies += [push_of(replace(event, dataref="e2-00"))]  # a blob that only the deployment may read
    copies += [push_of(replace(event, dataref="tap-e3-request"))]  # its blob cannot be read at first
    copies += [push_of(event, missed="abc"), push_of(event, missed="9" * 5_000), Push(b"[" * 200_000)]
    inboxes.kept["ada"] = [Received(copy, str(number)) for number, copy in enumerate(copies)]
    inboxes.faults = [OSError(), NoInbox("gone"), Temporary("credentials_unavailable", "x")]
    blobs = FakeBlobs()
    blobs.fault = "403"
    with http_stand_in(lambda _: Said(500)) as at:
        running = asyncio.create_task(courier_to(f"{at}/in", inboxes, blobs, tmp_path).run())
        while len(inboxes.kept["ada"]) > 1:
            await asyncio.sleep(0.01)
        blobs.fault = None
        while inboxes.kept["ada"]:
            await asyncio.sleep(0.01)
        running.cancel()
    lines = capsys.readouterr().out.splitlines()
    said = ["Copies cannot be fetched (OSError)", "The inbox was removed", "Connected again"]
    said += ["  500  ", "3 requests before this one"]
    said += ["not forwarded: "] * 4 + ["the blob 'e2-00' is no copy"]
    said += ["cannot be forwarded (403): trying again", "  500  ", "  500  ", "not forwarded: "]
    said += ["not forwarded: the blob 'tap-e3-request'"]
    assert [text for text, line in zip(said, lines, strict=True) if text not in line] == [], lines
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("answer", "is_dev", "fault"),
    [
        (b"", False, "closed the connection without a response: trying again"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", True, "did not confirm the event: trying again"),
    ],
)
async def test_a_copy_comes_again_if_the_connection_is_closed_or_make_dev_does_not_confirm_it(
    answer: bytes, is_dev: bool, fault: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    posted: list[bytes] = []

    async def cut_three_times(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        posted.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n" if len(posted) > 3 else answer)
        writer.close()

    inboxes = FakeInboxes()
    inboxes.kept["ada"] = [Received(push_of(ORDER, missed="3"), "1")]
    async with await asyncio.start_server(cut_three_times, "127.0.0.1", 0) as server, asyncio.timeout(30):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
        courier = courier_to(url, inboxes, FakeBlobs(), tmp_path, is_dev=is_dev)
        late = [Received(push_of(replace(ORDER, id=each)), each) for each in "ab"]
        await courier._forward_batch(late, until=0.0)
        assert len(posted) == 1  # the second may be handed out again already
        running = asyncio.create_task(courier.run())
        while inboxes.kept["ada"]:
            await asyncio.sleep(0.01)
        running.cancel()
    lines = capsys.readouterr().out.splitlines()
    said = [fault, "  204  ", "3 requests before this one"]
    assert [text for text, line in zip(said, lines, strict=True) if text not in line] == [], lines


def test_a_compressed_request_is_forwarded_as_it_was_sent() -> None:
    body = gzip.compress(b"{}")
    headers = to_json([["content-encoding", "gzip"], ["content-length", "22"]])
    event = Event("e1", "/sources/shop", "order", "", "00", rawbase64=base64_text(body), rawheaders=headers)
    request = copied_request(event)
    assert (request.body, request.headers) == (body, (("content-encoding", "gzip"), ("hookchain-hops", "1")))


def copied(provider: str, event: str, folder: Path) -> tuple[Event | None, Json]:
    """Return what receive keeps of a sample that is signed with the cloud's secret, and the source's auth."""
    cloud = on_range(provider, folder, secret="the-secret-of-the-cloud-0123456789")
    request = cloud.shot(event)
    settings = {**cloud.aim.settings, "keep_raw": "all"}
    [source] = read_sources({"sources": {cloud.aim.source.name: settings}}).values()
    bus = FakeBus()
    secrets = FakeSecrets(
        {auth.secret: cloud.keys.environ[variable_name(auth.secret)] for auth in source.auth if auth.secret}
    )
    receiver = Receiver({source.name: source}, secrets, bus, FakeBlobs(), FakeClock(NOW), random_id=lambda: "0" * 32)
    asyncio.run(receiver.receive(replace(request, body=b""), reading(request.body)))
    found = [from_cloudevent(json.loads(message.data)) for message in bus.on(EVENTS)]
    return (found[0] if found and (found[0].rawbody or found[0].rawbase64) else None), settings["auth"]


@pytest.mark.parametrize("provider", sorted(load_catalogue()))
def test_a_copy_of_each_provider_passes_the_verification_with_the_local_secret(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr("time.time", lambda: NOW + 1_000_000)
    later = Fresh(NOW + 1_000_000, FRESH.hex_digits, FRESH.digits)
    here = on_range(provider, tmp_path / "here", later, secret="the-secret-of-this-machine-0123456789")
    for event in sample_names(provider):
        try:
            kept, _ = copied(provider, event, tmp_path / "cloud")
        except (CannotSign, ValueError):  # only the provider can sign
            continue
        if kept is None:  # a batch
            continue
        request = copied_request(request_of(kept))
        target = Target(here.aim.source, here.aim.url, None, here.keys)
        here.received(target.signed(request, kept.deliveryid or "id"))


# Inboxes in the clouds


NAME: Final = "ada-0123abcd"
TOPIC: Final = "projects/shop/topics/hookchain-tap"
QUEUE: Final[Json] = {"QueueUrl": f"http://sqs/1/hookchain-tap-{NAME}"}


def answer(document: Json, status: int = 200) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)


def fault(kind: str, status: int = 400) -> bytes:
    return answer({"__type": f"com.amazonaws.sqs#{kind}"}, status)


def aws(cloud: ScriptedReceiver) -> AwsInboxes:
    place = AwsPlace("eu-central-1", lambda: Credentials("key", "secret"), f"http://{cloud.address}")
    return AwsInboxes(place, "hookchain-")


def google(cloud: ScriptedReceiver) -> GoogleInboxes:
    return GoogleInboxes(f"http://{cloud.address}", TOPIC, "playground", {}, no_authorization)


async def test_a_queue_that_somebody_removed_is_created_again() -> None:
    gone = fault("QueueDoesNotExist")
    with receiver(answer(QUEUE), gone, gone, answer(QUEUE)) as cloud:
        inboxes = aws(cloud)
        await inboxes.create(NAME)
        with pytest.raises(NoInbox):
            await inboxes.receive(NAME)
        await inboxes.create(NAME)
        assert cloud.header("x-amz-target") == "AmazonSQS.CreateQueue"


async def test_a_queue_of_another_deployment_is_no_inbox() -> None:
    """The prefix of the other deployment is `hookchain-tap-`."""
    names = [NAME, "events", "events-undelivered", "deliveries", "bus-recovered-b7cf7d5d", "bus-shop-0123abcd"]
    with receiver(answer({"QueueUrls": [f"http://sqs/1/hookchain-tap-{name}" for name in names]})) as cloud:
        assert await aws(cloud).names() == [NAME]


@pytest.mark.parametrize("topic", ["projects/stage/topics/hookchain-tap", "_deleted-topic_", TOPIC])
async def test_a_subscription_that_exists_is_used_only_if_it_is_to_the_topic(topic: str) -> None:
    fault = f"is for the topic {topic}, and not for {TOPIC}. Remove it with --stop"
    is_used = contextlib.nullcontext() if topic == TOPIC else pytest.raises(InboxFault, match=fault)
    with receiver(answer({"error": {"code": 409}}, 409), answer({"topic": topic})) as cloud:
        with is_used:
            await google(cloud).create(NAME)
        request_line = f"GET /v1/projects/playground/subscriptions/hookchain-tap-{NAME} "
        assert (cloud.heads[-1].startswith(request_line), cloud.bodies[-1]) == (True, b"")


@pytest.mark.parametrize(
    ("make", "said", "error"),
    [
        (google, answer({"error": {"message": "try again"}}, 503), Temporary),
        (google, answer({}, 429), Temporary),
        (google, answer({}, 403), InboxFault),
        (google, answer({}, 404), NoInbox),
        (aws, fault("ServiceUnavailable", 503), Temporary),
        (aws, fault("RequestThrottled"), Temporary),
        (aws, fault("AccessDenied", 403), InboxFault),
        (aws, fault("QueueDoesNotExist"), NoInbox),
    ],
)
async def test_only_a_fault_that_passes_is_temporary(
    make: Callable[[ScriptedReceiver], Inboxes], said: bytes, error: type[Exception]
) -> None:
    with receiver(said) as cloud:
        with pytest.raises(error) as caught:
            await make(cloud).receive(NAME)
        assert type(caught.value) is error


async def test_a_queue_cannot_be_created_again_at_once() -> None:
    with (
        receiver(fault("QueueDoesNotExist"), fault("QueueDeletedRecently")) as cloud,
        pytest.raises(Temporary, match="it was removed less than a minute ago"),
    ):
        await aws(cloud).create(NAME)
