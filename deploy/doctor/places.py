"""The check of the tables and buckets that destinations write to: they must exist, fit the mapping and allow writing.

Databases have a module of their own, because SQLAlchemy is slow to import.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from deploy.cloud_access import aws, gcp_names
from deploy.cloud_access.gcp import ApiError, GoogleApi
from deploy.doctor.checks import Subject
from deploy.terminal.finding import Check, Finding, ok, problem, unknown, worst
from deploy.topology import places
from functions.notify.destinations.bigquery import FITTING, Settings as BigQuerySettings
from functions.notify.destinations.object.settings import Settings as ObjectSettings
from shared.jsontext import JsonObject, list_at, objects_at

TABLE_ROLES: Final = frozenset({"OWNER", "WRITER", "roles/bigquery.dataEditor", "roles/bigquery.dataOwner"})
OBJECT_ROLES: Final = frozenset(
    f"roles/storage.{name}" for name in ("admin", "objectAdmin", "objectCreator", "objectUser")
)
_TODO_SCHEMA: Final = "correct the table, or `columns` of the configuration"


def place_checks(subject: Subject, check: Callable[[JsonObject], Finding]) -> list[Check]:
    """Return the check of tables and buckets; none if no destination writes into one."""
    if not subject.slices or not has_places(subject.notify):
        return []
    return [Check("tables and buckets", partial(check, subject.notify))]


def has_places(notify: JsonObject) -> bool:
    """Return whether a destination writes into a table or a bucket."""
    return bool([*places.tables(notify), *places.buckets(notify)])


def google_places(target: gcp_names.Target, api: GoogleApi, notify: JsonObject) -> Finding:
    """Check each table and bucket. Raises ApiError, NotSignedIn and GcloudMissing."""
    found = {name: _table(target, api, settings) for name, settings in places.tables(notify)}
    found |= {name: _bucket(target, api, settings) for name, settings in places.buckets(notify)}
    return worst(found)


def aws_places(api: aws.AwsApi, notify: JsonObject) -> Finding:
    """Check each bucket of S3, and that no destination needs an account of Google's. Raises AwsFault."""
    account = str(api.call("sts", "get_caller_identity").get("Account"))
    found = {name: _needs_key(settings.secret) for name, settings in places.tables(notify)}
    for name, settings in places.buckets(notify):
        found[name] = _s3_bucket(api, settings, account) if settings.is_s3 else _needs_key(settings.secret)
    return worst(found)


def schema_faults(settings: BigQuerySettings, table: JsonObject) -> Iterator[str]:
    """Yield what of the mapping does not fit the table, as tables.get describes it."""
    live = {str(each.get("name")).lower(): each for each in objects_at(table, "schema", "fields")}
    for name in settings.row_columns:
        column, type_ = live.get(name.lower()), settings.type_of(name)
        if column is None:
            yield f"it has no column {name!r}"
        elif type_ is not None and (column.get("mode") == "REPEATED" or column.get("type") not in FITTING[type_]):
            repeated = "REPEATED " if column.get("mode") == "REPEATED" else ""
            yield f"column {name!r} is {repeated}{column.get('type')}, which does not take the type {type_}"
    written = {name.lower() for name in settings.row_columns}
    for name, column in live.items():
        if column.get("mode") == "REQUIRED" and name not in written and "defaultValueExpression" not in column:
            yield f"column {name!r} needs a value, and `columns` has none for it"


def _table(target: gcp_names.Target, api: GoogleApi, settings: BigQuerySettings) -> Finding:
    if settings.api_url is not None:
        return unknown(f"{settings.table_text} is at another server", "")
    dataset = f"/bigquery/v2/projects/{settings.project}/datasets/{settings.dataset}"
    try:
        described = api.get("bigquery", dataset)
    except ApiError as fault:
        todo = f"bq mk --dataset {settings.project}:{settings.dataset}"
        return _fault_finding(fault, f"the dataset {settings.project}.{settings.dataset}", todo)
    if settings.secret is None and settings.project != target.project and not _may_write(target, described):
        member = f"serviceAccount:{gcp_names.account_email(target, 'notify')}"
        table_id = f"{settings.project}:{settings.dataset}.{settings.table}"
        grant = f"bq add-iam-policy-binding --member={member} --role=roles/bigquery.dataEditor {table_id}"
        # The access list of the dataset does not contain notify, but the policy of the table alone may.
        if (finding := _table_right_problem(api, dataset, settings, member, grant)) is not None:
            return finding
    try:
        table = api.get("bigquery", f"{dataset}/tables/{settings.table}")
    except ApiError as fault:
        if fault.status == 404 and settings.create:
            return ok(f"{settings.table_text} is created by the first delivery")
        return _fault_finding(fault, f"the table {settings.table_text}", "create it, or set `create: true`")
    if faults := list(schema_faults(settings, table)):
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        return problem(f"{settings.table_text}: {faults[0]}{more}", _TODO_SCHEMA)
    return ok(f"{settings.table_text} has the columns of the mapping")


def _table_right_problem(
    api: GoogleApi, dataset: str, settings: BigQuerySettings, member: str, grant: str
) -> Finding | None:
    """Return the problem of a table whose own policy does not let `member` write; None if it does."""
    try:
        policy = api.post("bigquery", f"{dataset}/tables/{settings.table}:getIamPolicy", {})
    except ApiError as fault:
        if fault.status not in {403, 404}:
            raise
        policy = {}
    if has_role(policy, member, TABLE_ROLES):
        return None
    return problem(f"notify may not be allowed to write to {settings.table_text}, which is in another project", grant)


def _may_write(target: gcp_names.Target, dataset: JsonObject) -> bool:
    email = gcp_names.account_email(target, "notify")
    return any(
        each.get("userByEmail") == email and each.get("role") in TABLE_ROLES for each in objects_at(dataset, "access")
    )


def _bucket(target: gcp_names.Target, api: GoogleApi, settings: ObjectSettings) -> Finding:
    if settings.endpoint is not None:
        return unknown(f"{settings.bucket} is at another server", "")
    if settings.is_s3:
        if settings.secret is None:
            return problem("functions on Google Cloud have no AWS role", "set `access_key_id` and `secret`")
        return unknown(f"{settings.bucket} is on AWS", "")
    path = f"/storage/v1/b/{settings.bucket_name}"
    try:
        described = api.get("storage", path)
    except ApiError as fault:
        return _fault_finding(fault, settings.bucket, f"gcloud storage buckets create {settings.bucket}")
    if settings.secret is not None:
        return ok(f"{settings.bucket} exists")
    number = str(api.get("cloudresourcemanager", f"/v3/projects/{target.project}").get("name")).rpartition("/")[2]
    if str(described.get("projectNumber")) == number:
        return ok(f"{settings.bucket} exists")
    member = f"serviceAccount:{gcp_names.account_email(target, 'notify')}"
    grant = f"gcloud storage buckets add-iam-policy-binding {settings.bucket} --member={member}"
    if has_role(api.get("storage", f"{path}/iam"), member, OBJECT_ROLES):
        return ok(f"{settings.bucket} exists, and notify may write to it")
    rule = f"{settings.bucket} belongs to another project, where notify may not create objects"
    return problem(rule, f"{grant} --role=roles/storage.objectCreator")


def has_role(policy: JsonObject, member: str, roles: frozenset[str]) -> bool:
    """Return whether the IAM policy gives the member one of the roles."""
    for each in objects_at(policy, "bindings"):
        if each.get("role") in roles and member in list_at(each, "members"):
            return True
    return False


def _fault_finding(fault: ApiError, thing: str, todo: str) -> Finding:
    """Return the finding of a thing that does not exist or may not be read. Raise any other fault."""
    if fault.status == 404:
        return problem(f"there is no {thing.removeprefix('the ')}", todo)
    if fault.status == 403:
        return unknown(f"you have no permission to see {thing}", "ask its owner")
    raise fault


def _needs_key(secret: str | None) -> Finding:
    if secret is None:
        todo = "set `secret`, with the key (JSON) of a service account"
        return problem("functions on AWS have no Google account", todo)
    return unknown("it is on Google Cloud", "")


def _s3_bucket(api: aws.AwsApi, settings: ObjectSettings, account: str) -> Finding:
    if settings.endpoint is not None:
        return unknown(f"{settings.bucket} is at another server", "")
    try:
        found = api.call("s3", "head_bucket", Bucket=settings.bucket_name)
    except aws.AwsFault as fault:
        if fault.is_missing:
            return problem(f"there is no bucket {settings.bucket}", f"aws s3 mb {settings.bucket}")
        return unknown(
            f"you have no permission to see {settings.bucket} ({fault.code or 'no answer'})", "ask its owner"
        )
    region = found.get("BucketRegion")
    if isinstance(region, str) and region != settings.region:
        return problem(f"{settings.bucket} is in {region}", f"set `region: {region}`")
    if settings.secret is not None:
        return ok(f"{settings.bucket} exists")
    try:
        api.call("s3", "head_bucket", Bucket=settings.bucket_name, ExpectedBucketOwner=account)
    except aws.AwsFault as fault:
        if not fault.is_denied and fault.code != "403":
            raise
        rule = f"{settings.bucket} belongs to another account"
        return problem(
            rule, "name the role of notify in its policy, and give the role s3:PutObject (deploy/docs/rights.md)"
        )
    return ok(f"{settings.bucket} exists")
