"""The recipe of the four delivery metrics, from events of GitHub and GitLab to the answers of its queries."""

import asyncio
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

import pytest
from sqlalchemy import text

from deploy.config.compiler import compile_file, secrets_needed
from functions.notify.destination import Attempt
from functions.notify.destinations.sql import sql
from functions.notify.destinations.sql.settings import Settings
from functions.notify.destinations.sql.sql import SqlDestination
from shared.delivery import Delivered
from shared.jsontext import Json, JsonObject, mapping_at
from shared.settings import read_settings
from tests.fakes.destinations import a_context
from tests.fakes.secrets import FakeSecrets
from tests.in_process.pipeline import Pipeline
from tests.running.processes import ROOT
from tests.running.sql_server import Server, sql_server

pytestmark = pytest.mark.slow

RECIPE: Final = ROOT / "deploy" / "recipes" / "delivery-metrics"
SAMPLES: Final = ROOT / "deploy" / "samples"
SECRET: Final = "a-secret-of-the-metrics-test"
BEGIN: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)  # a Monday
PROJECTS: Final = {"example-org/orchard": "github", "example/garden": "gitlab"}


@dataclass(frozen=True)
class Posted:
    """A request of a provider, and when it comes."""

    at: datetime
    source: str
    type: str
    body: JsonObject


@dataclass
class Truth:
    """What is so by construction."""

    weeks: dict[datetime, int] = field(default_factory=dict)
    lead_times: list[timedelta] = field(default_factory=list)
    deployments: int = 0
    failed: int = 0
    restored: list[timedelta] = field(default_factory=list)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sql_server(request.param, tmp_path_factory.mktemp("metrics")) as started:
        yield started


@pytest.fixture(autouse=True)
def empty(server: Server) -> None:
    for table in ("changes", "deployments", "incidents"):
        server.run(f"DROP TABLE IF EXISTS {table}")


class Recipe:
    """The recipe's pipe, whose rows go into the server."""

    def __init__(self, server: Server) -> None:
        slices = compile_file(RECIPE / "hookchain.yaml", {})
        self.pipeline = Pipeline(slices, secrets_needed(slices), SECRET)
        secrets = FakeSecrets({"metrics-database": server.url})
        context = replace(a_context(secrets), settings=read_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}))
        destinations = mapping_at(slices["notify"]["destinations"])
        self.tables: dict[str, SqlDestination] = {
            name: sql.connect(name, Settings.model_validate(each["settings"]), context)
            for name, each in destinations.items()
            if isinstance(each, dict)
        }

    async def take(self, posted: Posted) -> None:
        self.pipeline.clock.time = posted.at.timestamp()
        header = "X-GitHub-Event" if posted.source == "github" else "X-Gitlab-Event"
        headers = {"Content-Type": "application/json", header: posted.type}
        body = json.dumps(posted.body).encode()
        for delivery in await self.pipeline.deliveries(posted.source, body, headers):
            attempt = Attempt(delivery.id, 1, 0, posted.at.timestamp(), 15.0)
            outcome = await self.tables[delivery.destination].attempt(delivery, attempt)
            assert isinstance(outcome, Delivered), outcome

    def close(self) -> None:
        for table in self.tables.values():
            table.close()


def take_all(server: Server, posts: Sequence[Posted]) -> None:
    async def run() -> None:
        with closing(Recipe(server)) as recipe:
            for posted in posts:
                await recipe.take(posted)

    asyncio.run(run())


def answers(server: Server) -> list[list[tuple[object, ...]]]:
    """Return the rows of each query. SQLite has no types for times and durations: theirs are text and seconds."""
    name = "metrics.sqlite.sql" if server.place.driver == "sqlite" else "metrics.sql"
    script = (RECIPE / name).read_text(encoding="utf-8")
    with server.engine.connect() as connection:
        return [
            [tuple(map(_typed, row)) for row in connection.execute(text(each))]
            for each in script.split(";")
            if "SELECT" in each
        ]


def _typed(value: object) -> object:
    if isinstance(value, float):
        return timedelta(seconds=value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value


def series(project: str, chance: random.Random) -> tuple[list[Posted], Truth]:
    """Make weeks of work: pushes, deployments of everything pushed so far, and incidents after some of them."""
    source, truth, posts, now, number = PROJECTS[project], Truth(), list[Posted](), BEGIN, 0
    waiting: list[datetime] = []
    for step in range(40):
        shas = []
        for _ in range(chance.randint(1, 4)):
            committed = now - timedelta(minutes=chance.randint(1, 3_000))
            waiting.append(committed)
            shas.append((f"{chance.getrandbits(160):040x}", committed))
        posts.append(push(source, project, now, shas))
        now += timedelta(minutes=chance.randint(10, 600))
        kind = chance.choice(["deploys", "deploys", "breaks", "fails", "waits"])
        if kind != "waits":
            posts.append(deployment(source, project, now, step, shas[-1][0], kind != "fails"))
        if kind in ("deploys", "breaks"):
            truth.deployments += 1
            truth.failed += kind == "breaks"
            truth.lead_times += [now - committed for committed in waiting]
            waiting = []
            monday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday())
            truth.weeks[monday] = truth.weeks.get(monday, 0) + 1
        if kind == "breaks":
            for _ in range(chance.randint(1, 2)):  # two incidents after one deployment are one failure
                number += 1
                opened = now + timedelta(minutes=chance.randint(1, 5))
                lasts = timedelta(minutes=chance.randint(3, 400))
                truth.restored.append(lasts)
                posts.append(issue(source, project, number, opened, opened))
                posts.append(issue(source, project, number, opened, opened + lasts, is_closed=True))
        now += timedelta(minutes=chance.randint(10, 2_000))
    return posts, truth


def named(source: str, project: str) -> JsonObject:
    if source == "github":
        return {"repository": {"full_name": project, "default_branch": "main"}}
    return {"project": {"path_with_namespace": project, "default_branch": "main"}}


def push(source: str, project: str, at: datetime, shas: Sequence[tuple[str, datetime]]) -> Posted:
    commits: list[Json] = [{"id": sha, "timestamp": committed.isoformat()} for sha, committed in shas]
    body: JsonObject = {"ref": "refs/heads/main", "commits": commits, **named(source, project)}
    if source == "github":
        return Posted(at, source, "push", body)
    return Posted(at, source, "Push Hook", {"object_kind": "push", **body})


def deployment(source: str, project: str, at: datetime, number: int, sha: str, is_successful: bool) -> Posted:
    if source == "github":
        state = "success" if is_successful else "failure"
        body: JsonObject = {
            "deployment_status": {"state": state, "created_at": at.strftime("%Y-%m-%dT%H:%M:%SZ")},
            "deployment": {"id": number, "sha": sha, "environment": "production"},
        }
        return Posted(at, source, "deployment_status", {**body, **named(source, project)})
    body = {
        "object_kind": "deployment",
        "status": "success" if is_successful else "failed",
        "status_changed_at": at.strftime("%Y-%m-%d %H:%M:%S +0000"),
        "deployment_id": number,
        "environment_tier": "production",
        "commit_url": f"https://gitlab.example.com/{project}/-/commit/{sha}",
    }
    return Posted(at, source, "Deployment Hook", {**body, **named(source, project)})


def issue(source: str, project: str, number: int, opened: datetime, at: datetime, is_closed: bool = False) -> Posted:
    times: Mapping[str, Json]
    if source == "github":
        written = "%Y-%m-%dT%H:%M:%SZ"
        label: JsonObject = {"labels": [{"name": "incident"}], "number": number}
    else:
        written = "%Y-%m-%d %H:%M:%S UTC"
        label = {"type": "Incident", "iid": number}
    times = {
        "created_at": opened.strftime(written),
        "updated_at": at.strftime(written),
        "closed_at": at.strftime(written) if is_closed else None,
    }
    if source == "github":
        return Posted(at, source, "issues", {"issue": {**times, **label}, **named(source, project)})
    body: JsonObject = {"object_kind": "issue", "object_attributes": {**times, **label}}
    return Posted(at, source, "Issue Hook", {**body, **named(source, project)})


def middle(lasting: Sequence[timedelta]) -> timedelta:
    return timedelta(seconds=median(each.total_seconds() for each in lasting))


def test_the_queries_give_the_true_figures_of_a_made_up_series_in_any_order(server: Server) -> None:
    chance = random.Random(7)
    made = {project: series(project, chance) for project in PROJECTS}
    posts = [posted for each, _ in made.values() for posted in each]
    posts += chance.sample(posts, 60)  # providers and buses repeat events
    chance.shuffle(posts)
    take_all(server, posts)
    weeks, leads, failures, restored = answers(server)
    names = sorted(PROJECTS)
    truth = {project: made[project][1] for project in names}
    assert weeks == [(name, week, count) for name in names for week, count in sorted(truth[name].weeks.items())]
    assert [(name, count, median_of) for name, count, median_of in leads] == [
        (name, len(truth[name].lead_times), middle(truth[name].lead_times)) for name in names
    ]
    assert [(name, count, failed) for name, count, failed, _ in failures] == [
        (name, truth[name].deployments, truth[name].failed) for name in names
    ]
    assert [(name, count, median_of) for name, count, median_of in restored] == [
        (name, len(truth[name].restored), middle(truth[name].restored)) for name in names
    ]


def test_samples_of_the_catalogue_become_rows(server: Server) -> None:
    at = datetime(2023, 11, 14, 22, 14, tzinfo=UTC)

    def sample(path: Path, source: str, type_: str) -> Posted:
        return Posted(at, source, type_, json.loads(path.read_text(encoding="utf-8")))

    issues = sample(SAMPLES / "github" / "issues.json", "github", "issues")
    reported = mapping_at(issues.body["issue"])
    reported["labels"] = [{"name": "incident"}]
    posts = [
        sample(SAMPLES / "github" / "push.json", "github", "push"),
        sample(SAMPLES / "gitlab" / "push.json", "gitlab", "Push Hook"),
        sample(RECIPE / "sample.json", "github", "deployment_status"),
        issues,
    ]
    take_all(server, posts)
    _, leads, failures, restored = answers(server)
    assert [(name, count) for name, count, _ in leads] == [("example-org/orchard", 1)]
    assert leads[0][2] == timedelta(minutes=6, seconds=40)
    assert [(name, count) for name, count, *_ in failures] == [("example-org/orchard", 1)]
    assert restored == []
    assert server.run("SELECT project FROM changes ORDER BY project") == [
        ("example-org/orchard",),
        ("example/orchard",),
    ]
    assert server.run("SELECT number, closed_at FROM incidents") == [("42", None)]
