"""The import of tenants, or of their endpoints, from a CSV file.

    tenant,url,types,field.region,auth.kind
    acme,https://acme.example/in,order.paid order.sent,7,basic

The first line names the columns. A column such as `metadata.plan`, `header.X-Team` or `field.region` is one entry of
that object; `auth.kind` is one setting of `auth`. So the row above is about the endpoint of the tenant `acme` with this
URL, and its body is `{"url": …, "types": ["order.paid", "order.sent"], "fields": {"region": 7}, "auth": {"kind":
"basic"}}`. Empty cells change nothing, and settings that the row does not name are left as they are. A row updates the
tenant with its id or the endpoint with its URL if it exists, and creates it otherwise, so the same file can be imported
again.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypedDict, cast

from deploy.client.hookchain.subscribers import Subscribers, SubscribersError
from deploy.client.hookchain.subscribers_types import Auth, Endpoint, Tenant
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, from_json

MAX_BYTES: Final = 64 * 1024 * 1024
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a file may have.

    tenant   the column with the tenant's id, which each row needs
    plain    the columns whose cell is the whole value
    objects  by prefix, the object of which a column `PREFIX.ENTRY` is one entry
    """

    tenant: str
    plain: tuple[str, ...]
    objects: Mapping[str, str]


TENANT_COLUMNS: Final = Columns("id", ("name", "email"), {"metadata": "metadata"})
ENDPOINT_COLUMNS: Final = Columns(
    "tenant",
    ("url", "description", "types", "filter", "rate", "enabled", "secret"),
    {"header": "headers", "field": "fields", "auth": "auth"},
)


class CsvFault(ValueError):
    """The file cannot be used. The text says where and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row. `body` has only what its cells say."""

    line: int
    tenant: str
    body: JsonObject


def tenant_rows(content: bytes) -> list[Row]:
    """Return the rows of a file of tenants. Raises CsvFault."""
    return _rows(content, TENANT_COLUMNS)


def endpoint_rows(content: bytes) -> list[Row]:
    """Return the rows of a file of endpoints. Raises CsvFault."""
    return _rows(content, ENDPOINT_COLUMNS)


def _rows(content: bytes, columns: Columns) -> list[Row]:
    if len(content) > MAX_BYTES:
        raise CsvFault(f"must have at most {MAX_BYTES:,} bytes; it has {len(content):,}")
    try:
        text = content.decode("utf-8-sig")  # spreadsheets put a byte order mark before the text
    except UnicodeDecodeError as error:
        raise CsvFault(f"must be UTF-8; byte {error.start} is not") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _require_columns(names, columns)
        rows = []
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append(_row(reader.line_num, names, stripped, columns))
    except csv.Error as error:
        raise CsvFault(f"line {reader.line_num}: is not CSV: {error}") from error
    return rows


def _require_columns(names: Sequence[str], columns: Columns) -> None:
    if columns.tenant not in names:
        raise CsvFault(f"line 1: must name a column {columns.tenant!r}; got {', '.join(names) or 'nothing'}")
    for name in names:
        prefix, _, entry = name.partition(".")
        if name not in (columns.tenant, *columns.plain) and not (prefix in columns.objects and entry):
            known = [columns.tenant, *columns.plain, *(f"{each}.NAME" for each in columns.objects)]
            raise CsvFault(f"line 1: there is no column {name!r}{did_you_mean(name, known)}")
        if names.count(name) > 1:
            raise CsvFault(f"line 1: the column {name!r} occurs twice")


def _row(line: int, names: Sequence[str], cells: Sequence[str], columns: Columns) -> Row:
    if len(cells) != len(names):
        raise CsvFault(f"line {line}: must have {len(names)} cells, as line 1 has; got {len(cells)}")
    tenant = ""
    body: JsonObject = {}
    for name, cell in zip(names, cells, strict=True):
        prefix, _, entry = name.partition(".")
        if not cell:
            continue
        if name == columns.tenant:
            tenant = cell
        elif entry:
            entries = body.setdefault(columns.objects[prefix], {})
            assert isinstance(entries, dict)
            entries[entry] = _json_or_text(cell) if prefix == "field" else cell
        else:
            body[name] = _value(line, name, cell)
    if not tenant:
        raise CsvFault(f"line {line}: {columns.tenant} is empty")
    return Row(line, tenant, body)


def _value(line: int, name: str, cell: str) -> Json:
    if name == "types":
        return [*cell.replace(",", " ").replace(";", " ").split()]
    if name == "enabled":
        if cell.lower() not in _BOOLEANS:
            raise CsvFault(f"line {line}: enabled must be true or false; got {cell!r}")
        return _BOOLEANS[cell.lower()]
    return cell


def _json_or_text(cell: str) -> Json:
    """Return the cell as JSON if it is JSON, or as text: `7` is a number, `"7"` and `seven` are texts."""
    try:
        return from_json(cell.encode())
    except (ValueError, RecursionError):
        return cell


# Importing rows

Outcome: TypeAlias = Literal["created", "updated", "unchanged"]
MAX_FAULTS: Final = 20


class EndpointFields(TypedDict, total=False):
    """The fields of an endpoint that a row may give."""

    description: str
    types: list[str]
    filter: str
    headers: dict[str, str]
    fields: dict[str, Json]
    auth: Auth
    rate: str
    enabled: bool
    secret: str


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """`name` is the tenant's id, or that of the endpoint as `TENANT:ENDPOINT`.

    An endpoint that a dry run would create is named `TENANT URL`.
    """

    line: int
    outcome: Outcome
    name: str


@dataclass(slots=True)
class ImportResult:
    """The rows that were imported, and the faults of the others. The import ends after MAX_FAULTS faults."""

    rows: list[ImportedRow] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        return sum(row.outcome == outcome for row in self.rows)


Importer: TypeAlias = Callable[[Subscribers, Row], ImportedRow]
"""A function that imports one row. Raises SubscribersError, and ValueError for an id that cannot be part of a URL."""


def import_rows(
    api: Subscribers, rows: Iterable[Row], importer: Importer, show_progress: Callable[[int], None]
) -> ImportResult:
    """Import row by row. A row with a fault is skipped. `show_progress` gets the number of rows so far."""
    result = ImportResult()
    for count, row in enumerate(rows, 1):
        try:
            result.rows.append(importer(api, row))
        except SubscribersError as fault:
            result.faults += [f"line {row.line}: {text}" for text in fault_texts(fault)]
        except ValueError as fault:
            result.faults.append(f"line {row.line}: {fault}")
        if len(result.faults) >= MAX_FAULTS:
            break
        show_progress(count)
    return result


def fault_texts(fault: SubscribersError) -> list[str]:
    return [f"{each.path}: {each.rule}" for each in fault.errors] or [fault.detail]


def import_tenant(api: Subscribers, row: Row) -> ImportedRow:
    name, email = row.body.get("name"), row.body.get("email")
    assert isinstance(name, str | None)
    assert isinstance(email, str | None)
    metadata = cast("dict[str, str]", row.body.get("metadata", {}))
    outcome, _ = set_tenant(api, row.tenant, name, email, metadata)
    return ImportedRow(row.line, outcome, row.tenant)


def set_tenant(
    api: Subscribers, tenant: str, name: str | None, email: str | None, metadata: Mapping[str, str]
) -> tuple[Outcome, Tenant]:
    """Create the tenant, or change what is given: None changes nothing, and an empty value in `metadata` removes its
    entry."""
    before = find_tenant(api, tenant)
    base: Tenant = before or {"id": tenant, "name": "", "email": "", "metadata": {}, "created_at": ""}
    wanted = base.copy()
    if name is not None:
        wanted["name"] = name
    if email is not None:
        wanted["email"] = email
    entries = {**base["metadata"], **metadata}
    wanted["metadata"] = {key: value for key, value in entries.items() if value}
    if before and wanted == before:
        return "unchanged", before
    made = api.put_tenant(tenant, name=wanted["name"], email=wanted["email"], metadata=wanted["metadata"])
    return "updated" if before else "created", made


def find_tenant(api: Subscribers, tenant: str) -> Tenant | None:
    try:
        return api.get_tenant(tenant)
    except SubscribersError as fault:
        if fault.code == "not_found":
            return None
        raise


class EndpointImporter:
    """An Importer of endpoints, which lists the endpoints of each tenant only once.

    An endpoint that a dry run would create has an id only in memory, so its rows are named by the tenant and the URL.
    """

    def __init__(self, is_dry: bool = False) -> None:
        self._is_dry = is_dry
        self._endpoints: dict[str, dict[str, Endpoint]] = {}  # by tenant and URL
        self._pretended_ids: set[str] = set()

    def __call__(self, api: Subscribers, row: Row) -> ImportedRow:
        url = str(row.body.get("url", ""))
        fields = cast(EndpointFields, {name: value for name, value in row.body.items() if name != "url"})
        if row.tenant not in self._endpoints:
            self._endpoints[row.tenant] = {each["url"]: each for each in api.list_endpoints(row.tenant)}
        endpoints = self._endpoints[row.tenant]
        if url not in endpoints:
            endpoints[url] = created = api.create_endpoint(row.tenant, url=url, **fields)
            if self._is_dry:
                self._pretended_ids.add(created["id"])
            return ImportedRow(row.line, "created", self._name_of(row.tenant, created))
        before = endpoints[url]
        name = self._name_of(row.tenant, before)
        wanted = _with_other_entries(before, fields)
        # A secret cannot be compared, because the API does not return it.
        if "secret" not in wanted and all(before[key] == value for key, value in wanted.items()):  # type: ignore[literal-required]
            return ImportedRow(row.line, "unchanged", name)
        endpoints[url] = api.change_endpoint(row.tenant, before["id"], **wanted)
        return ImportedRow(row.line, "updated", name)

    def _name_of(self, tenant: str, endpoint: Endpoint) -> str:
        is_pretended = endpoint["id"] in self._pretended_ids
        return f"{tenant} {endpoint['url']}" if is_pretended else f"{tenant}:{endpoint['id']}"


def _with_other_entries(before: Endpoint, fields: EndpointFields) -> EndpointFields:
    """Add the entries that the row does not name to its objects, because the API replaces an object as a whole.

    The settings of another kind of `auth` are not kept.
    """
    wanted = fields.copy()
    if "headers" in fields:
        wanted["headers"] = {**before["headers"], **fields["headers"]}
    if "fields" in fields:
        wanted["fields"] = {**before["fields"], **fields["fields"]}
    if "auth" in fields:
        same_kind = fields["auth"].get("kind", before["auth"]["kind"]) == before["auth"]["kind"]
        wanted["auth"] = {**before["auth"], **fields["auth"]} if same_kind else fields["auth"]
    return wanted
