"""What `hookchain doctor` finds in the tables and buckets that destinations write to."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pytest

from deploy.cloud_access.aws import AwsApi
from deploy.cloud_access.gcp import GoogleApi
from deploy.cloud_access.gcp_names import Target
from deploy.doctor.places import aws_places, google_places
from deploy.doctor.shared_files import sharing
from deploy.gcp.resources.project import apis
from deploy.secrets.backend import StoredSecret
from deploy.topology.topology import find_topology
from shared.jsontext import Json, JsonObject
from tests.aws.local_aws import KEYS, REGION, boto_client, local_aws
from tests.fakes.configurations import compile_text
from tests.running.processes import ROOT
from tests.stand_ins.google_apis import StandIn, standing_in

TARGET: Final = Target("my-project")
MEMBER: Final = "serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com"
TABLE: Final = (
    "bigquery: {project: my-project, dataset: sales, table: orders, "
    "columns: {name: data.name, n: {value: data.n, type: integer}}}"
)
BUCKET: Final = "object: {bucket: 'gs://the-archive'}"
FIELDS: Final[list[Json]] = [
    {"name": "Name", "type": "STRING"},
    {"name": "n", "type": "INTEGER"},
    {"name": "delivery_id", "type": "STRING", "mode": "REQUIRED"},
]


def notify(destination: str) -> JsonObject:
    config = f"""
sources: {{shop: {{auth: {{scheme: bearer, secret: shop-key}}}}}}
routes: [{{name: all, from: shop, to: it}}]
destinations: {{it: {{{destination}}}}}
"""
    return compile_text(config)["notify"]


@pytest.fixture
def google() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        stand_in.answers("/cloudresourcemanager/v3/projects/my-project", {"name": "projects/123"})
        yield stand_in
        assert not stand_in.strange


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_access_key)


def found_on_google(google: StandIn, destination: str) -> tuple[str, str, str]:
    api = GoogleApi("my-project", lambda: "token", google.environ, lambda _: None)
    finding = google_places(TARGET, api, notify(destination))
    return finding.verdict, finding.found, finding.todo


def a_table(
    google: StandIn, fields: list[Json] | None, project: str = "my-project", access: list[Json] | None = None
) -> None:
    dataset = f"/bigquery/bigquery/v2/projects/{project}/datasets/sales"
    google.answers(dataset, {"id": "sales", "access": access or []})
    if fields is not None:
        google.answers(f"{dataset}/tables/orders", {"schema": {"fields": fields}})


def test_a_table_with_the_columns_of_the_mapping_is_fine(google: StandIn) -> None:
    a_table(google, FIELDS)
    assert found_on_google(google, TABLE)[:2] == ("ok", "it: my-project.sales.orders has the columns of the mapping")


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        (FIELDS[:2], "it has no column 'delivery_id'"),
        ([FIELDS[0], {"name": "n", "type": "STRING"}, FIELDS[2]], "column 'n' is STRING, which does not take the type"),
        ([*FIELDS, {"name": "at", "type": "TIMESTAMP", "mode": "REQUIRED"}], "column 'at' needs a value"),
    ],
)
def test_a_mapping_that_does_not_fit_the_table_is_a_problem(google: StandIn, fields: list[Json], fault: str) -> None:
    a_table(google, fields)
    verdict, found, todo = found_on_google(google, TABLE)
    assert verdict == "problem"
    assert fault in found
    assert "`columns`" in todo


def test_a_missing_table_is_created_only_if_the_configuration_says_so(google: StandIn) -> None:
    a_table(google, None)
    assert found_on_google(google, TABLE)[0] == "problem"
    creating = TABLE.replace("columns:", "create: true, columns:")
    assert found_on_google(google, creating)[:2] == (
        "ok",
        "it: my-project.sales.orders is created by the first delivery",
    )


def test_a_missing_dataset_is_a_problem_and_one_that_is_hidden_is_unknown(google: StandIn) -> None:
    assert found_on_google(google, TABLE)[2] == "bq mk --dataset my-project:sales"
    google.refuses("/bigquery/bigquery/v2/projects/my-project/datasets/sales", 403, "accessDenied")
    assert found_on_google(google, TABLE)[0] == "unknown"


def test_a_table_of_another_project_needs_a_role_there(google: StandIn) -> None:
    elsewhere = TABLE.replace("my-project", "their-project")
    a_table(google, FIELDS, "their-project")
    verdict, _, todo = found_on_google(google, elsewhere)
    assert verdict == "problem"
    assert todo == (
        f"bq add-iam-policy-binding --member={MEMBER} --role=roles/bigquery.dataEditor their-project:sales.orders"
    )
    table = "/bigquery/bigquery/v2/projects/their-project/datasets/sales/tables/orders"
    policy: JsonObject = {"bindings": [{"role": "roles/bigquery.dataEditor", "members": [MEMBER]}]}
    google.answers(f"{table}:getIamPolicy", policy, method="POST")
    assert found_on_google(google, elsewhere)[0] == "ok"
    del google.canned[("POST", f"{table}:getIamPolicy")]
    google.refuses(f"{table}:getIamPolicy", 403, "IAM_PERMISSION_DENIED", method="POST")
    verdict, found, _ = found_on_google(google, elsewhere)
    assert (verdict, "may not be allowed to write" in found) == ("problem", True)


def test_a_bucket_is_there_and_in_this_project_or_lets_notify_write(google: StandIn) -> None:
    assert found_on_google(google, BUCKET)[2] == "gcloud storage buckets create gs://the-archive"
    google.answers("/storage/storage/v1/b/the-archive", {"name": "the-archive", "projectNumber": "9"})
    policy: JsonObject = {"bindings": []}
    google.answers("/storage/storage/v1/b/the-archive/iam", policy)
    verdict, _, todo = found_on_google(google, BUCKET)
    assert verdict == "problem"
    assert todo.endswith(f"gs://the-archive --member={MEMBER} --role=roles/storage.objectCreator")
    policy["bindings"] = [{"role": "roles/storage.objectUser", "members": [MEMBER]}]
    assert found_on_google(google, BUCKET)[0] == "ok"
    google.canned[("GET", "/storage/storage/v1/b/the-archive")] = [(200, {"projectNumber": "123"})]
    assert found_on_google(google, BUCKET)[:2] == ("ok", "it: gs://the-archive exists")


def test_each_cloud_needs_a_key_for_the_other_one(google: StandIn, keys: None) -> None:
    verdict, _, todo = found_on_google(google, "object: {bucket: 's3://the-archive', region: eu-central-1}")
    assert (verdict, todo) == ("problem", "set `access_key_id` and `secret`")
    with local_aws() as place:
        for destination in (TABLE, BUCKET):
            assert found_on_aws(str(place.endpoint), destination)[2].startswith("set `secret`")


def found_on_aws(endpoint: str, destination: str) -> tuple[str, str, str]:
    finding = aws_places(AwsApi(REGION, {"AWS_ENDPOINT_URL": endpoint}), notify(destination))
    return finding.verdict, finding.found, finding.todo


def test_a_bucket_on_aws_is_there_in_its_region(keys: None) -> None:
    bucket = f"object: {{bucket: 's3://the-archive', region: {REGION}}}"
    with local_aws() as place:
        endpoint = str(place.endpoint)
        assert found_on_aws(endpoint, bucket)[2] == "aws s3 mb s3://the-archive"
        client = boto_client(place, "s3")
        client.create_bucket(Bucket="the-archive", CreateBucketConfiguration={"LocationConstraint": REGION})
        assert found_on_aws(endpoint, bucket)[:2] == ("ok", "it: s3://the-archive exists")
        elsewhere = bucket.replace(REGION, "us-east-1")
        assert found_on_aws(endpoint, elsewhere)[2] == f"set `region: {REGION}`"
        client.delete_bucket(Bucket="the-archive")


SHEET = "sheet: {spreadsheet: 1ExampleOfASpreadsheet, sheet: S, columns: {A: data.a}"
DOCUMENT = "document: {template: 1ExampleOfATemplate, values: {a: data.a}, folder: 1ExampleOfAFolder"
KEY = json.dumps({"type": "service_account", "client_email": "rows@my-project.iam.gserviceaccount.com"})


class Place:
    def __init__(self, **stored: str) -> None:
        self._stored = {name.replace("_", "-"): StoredSecret(text, "here") for name, text in stored.items()}

    def find(self, names: Sequence[str]) -> dict[str, StoredSecret]:
        return {name: self._stored[name] for name in names if name in self._stored}


def slices_with(*destinations: str) -> Mapping[str, JsonObject]:
    named = ", ".join(f"d{number}: {{{each}}}}}" for number, each in enumerate(destinations))
    text = f"sources: {{a: {{auth: none}}}}\nroutes: [{{name: r, to: d0}}]\ndestinations: {{{named}}}\n"
    return compile_text(text, ROOT)


def notify_with(*destinations: str) -> JsonObject:
    return slices_with(*destinations)["notify"]


def found(notify: JsonObject, account: str | None, place: Place) -> tuple[str, str]:
    finding = sharing(notify, account, place)  # type: ignore[arg-type] # it only finds secrets
    return finding.verdict, f"{finding.found} {finding.todo}"


def test_each_file_is_named_with_the_account_and_its_role() -> None:
    verdict, text = found(notify_with(SHEET, DOCUMENT), "notify@x.example", Place())

    assert verdict == "unknown"
    assert "https://docs.google.com/spreadsheets/d/1ExampleOfASpreadsheet with notify@x.example as an editor" in text
    assert "https://docs.google.com/document/d/1ExampleOfATemplate with notify@x.example as a viewer" in text
    assert "drive.google.com/drive/folders/1ExampleOfAFolder with notify@x.example as a contributor" in text


def test_the_account_of_a_secret_is_that_in_its_key() -> None:
    notify = notify_with(f"{SHEET}, secret: sheets-key")

    assert "with rows@my-project.iam.gserviceaccount.com as an editor" in found(notify, None, Place(sheets_key=KEY))[1]
    for place in (Place(), Place(sheets_key="no key"), Place(sheets_key="[]")):
        assert "with the account of the secret 'sheets-key' as an editor" in found(notify, None, place)[1]


def test_a_platform_without_an_account_of_googles_needs_a_secret() -> None:
    verdict, text = found(notify_with(SHEET), None, Place())

    assert verdict == "problem"
    assert "secret" in text


def test_the_deployment_enables_the_apis_that_its_own_account_calls() -> None:
    def enabled(*destinations: str) -> set[str]:
        slices = slices_with(*destinations)
        return {each.name for each in apis(find_topology(slices, {}), slices["notify"])}

    by_key = enabled(f"{SHEET}, secret: sheets-key")

    own = {"sheets.googleapis.com", "docs.googleapis.com", "drive.googleapis.com"}
    assert enabled(SHEET, DOCUMENT) - by_key == own
    assert not own & by_key
