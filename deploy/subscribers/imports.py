"""The import of tenants and endpoints from a CSV file: what a row says is written, all else stays as it is.

The first line names the columns. A column such as `metadata.plan`, `header.X-Team` or `field.region` is one entry of
that object; `auth.kind` is one setting of `auth`. An empty cell changes nothing. A row is about the tenant with its id,
or about the tenant's endpoint with its URL, so the same file can be imported again.
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
TENANT_COLUMNS: Final = ("id", "name", "email")
TENANT_PREFIXES: Final = {"metadata": "metadata"}
ENDPOINT_COLUMNS: Final = ("tenant", "url", "description", "types", "filter", "rate", "enabled", "secret")
ENDPOINT_PREFIXES: Final = {"header": "headers", "field": "fields", "auth": "auth"}
_YES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class CsvFault(ValueError):
    """The file cannot be used. The text says where and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row. `key` is the tenant; `body` has what the row says and nothing else."""

    line: int
    key: str
    body: JsonObject


def tenant_rows(content: bytes) -> list[Row]:
    """Raises CsvFault."""
    return _rows(content, "id", TENANT_COLUMNS, TENANT_PREFIXES)


def endpoint_rows(content: bytes) -> list[Row]:
    """Raises CsvFault."""
    return _rows(content, "tenant", ENDPOINT_COLUMNS, ENDPOINT_PREFIXES)


def _rows(content: bytes, key: str, columns: Sequence[str], prefixes: Mapping[str, str]) -> list[Row]:
    if len(content) > MAX_BYTES:
        raise CsvFault(f"must have at most {MAX_BYTES:,} bytes; it has {len(content):,}")
    try:
        text = content.decode("utf-8-sig")  # with the mark that spreadsheets put before it
    except UnicodeDecodeError as error:
        raise CsvFault(f"must be UTF-8; byte {error.start} is not") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _require_columns(names, key, columns, prefixes)
        found = []
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append(_row(reader.line_num, names, cells, key, prefixes))
    except csv.Error as error:
        raise CsvFault(f"line {reader.line_num}: is not CSV: {error}") from error
    return found


def _require_columns(names: Sequence[str], key: str, columns: Sequence[str], prefixes: Mapping[str, str]) -> None:
    if key not in names:
        raise CsvFault(f"line 1: must name a column {key!r}; got {', '.join(names) or 'nothing'}")
    for name in names:
        prefix, _, rest = name.partition(".")
        if name not in columns and not (prefix in prefixes and rest):
            known = [*columns, *(f"{each}.NAME" for each in prefixes)]
            raise CsvFault(f"line 1: there is no column {name!r}{did_you_mean(name, known)}")
        if names.count(name) > 1:
            raise CsvFault(f"line 1: the column {name!r} occurs twice")


def _row(line: int, names: Sequence[str], cells: Sequence[str], key: str, prefixes: Mapping[str, str]) -> Row:
    if len(cells) != len(names):
        raise CsvFault(f"line {line}: must have {len(names)} cells, as line 1 has; got {len(cells)}")
    body: JsonObject = {}
    for name, cell in zip(names, map(str.strip, cells), strict=True):
        if not cell or name == key:
            continue
        prefix, _, rest = name.partition(".")
        if rest and prefix in prefixes:
            inner = body.setdefault(prefixes[prefix], {})
            assert isinstance(inner, dict)
            inner[rest] = _field(cell) if prefix == "field" else cell
        else:
            body[name] = _value(line, name, cell)
    found = cells[names.index(key)].strip()
    if not found:
        raise CsvFault(f"line {line}: {key} is empty")
    return Row(line, found, body)


def _value(line: int, name: str, cell: str) -> Json:
    if name == "types":
        return [*cell.replace(",", " ").replace(";", " ").split()]
    if name == "enabled":
        if cell.lower() not in _YES:
            raise CsvFault(f"line {line}: enabled must be true or false; got {cell!r}")
        return _YES[cell.lower()]
    return cell


def _field(cell: str) -> Json:
    """Return what the cell says as JSON, else its text: `7` is a number and `"7"` a text."""
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


@dataclass(slots=True)
class ImportResult:
    """The outcomes by row, and the faults of the rows that were not imported, MAX_FAULTS at most."""

    outcomes: list[tuple[Row, Outcome, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        return sum(each == outcome for _, each, _ in self.outcomes)


Importer: TypeAlias = "Callable[[Subscribers, Row], tuple[Outcome, str]]"


def import_rows(
    hooks: Subscribers, rows: Iterable[Row], importer: Importer, tell: Callable[[int], None]
) -> ImportResult:
    """Import row by row. A row with a fault is left out. `tell` gets how many were looked at."""
    result = ImportResult()
    for count, row in enumerate(rows, 1):
        try:
            outcome, name = importer(hooks, row)
            result.outcomes.append((row, outcome, name))
        except SubscribersError as fault:
            result.faults += [f"line {row.line}: {text}" for text in fault_texts(fault)]
            if len(result.faults) >= MAX_FAULTS:
                break
        except ValueError as fault:
            result.faults.append(f"line {row.line}: {fault}")
        tell(count)
    return result


def fault_texts(fault: SubscribersError) -> list[str]:
    return [f"{each.path}: {each.rule}" for each in fault.errors] or [fault.detail]


def import_tenant(hooks: Subscribers, row: Row) -> tuple[Outcome, str]:
    name, email = (str(row.body[key]) if key in row.body else None for key in ("name", "email"))
    metadata = cast("dict[str, str]", row.body.get("metadata", {}))
    return set_tenant(hooks, row.key, name, email, metadata)[0], row.key


def set_tenant(
    hooks: Subscribers, tenant: str, name: str | None, email: str | None, metadata: Mapping[str, str]
) -> tuple[Outcome, Tenant]:
    """Create the tenant, or change what is given: an entry of `metadata` with an empty value is removed."""
    before = find_tenant(hooks, tenant)
    new_name = name if name is not None else before["name"] if before else ""
    new_email = email if email is not None else before["email"] if before else ""
    merged = {**(before["metadata"] if before else {}), **metadata}
    new_metadata = {key: value for key, value in merged.items() if value}
    if before and (before["name"], before["email"], before["metadata"]) == (new_name, new_email, new_metadata):
        return "unchanged", before
    made = hooks.put_tenant(tenant, name=new_name, email=new_email, metadata=new_metadata)
    return "updated" if before else "created", made


def find_tenant(hooks: Subscribers, tenant: str) -> Tenant | None:
    try:
        return hooks.get_tenant(tenant)
    except SubscribersError as fault:
        if fault.code == "not_found":
            return None
        raise


class EndpointImporter:
    """Finds the endpoints of each tenant once. In a dry run, an endpoint that would be created has no id yet."""

    def __init__(self, is_dry: bool = False) -> None:
        self._is_dry = is_dry
        self._known: dict[str, dict[str, Endpoint]] = {}

    def __call__(self, hooks: Subscribers, row: Row) -> tuple[Outcome, str]:
        url = str(row.body.get("url", ""))
        fields = cast(EndpointFields, {name: value for name, value in row.body.items() if name != "url"})
        if row.key not in self._known:
            listed = hooks.list_endpoints(row.key)
            self._known[row.key] = {each["url"]: each for each in listed}
        known = self._known[row.key]
        if url not in known:
            known[url] = hooks.create_endpoint(row.key, url=url, **fields)
            return "created", f"{row.key} {url}" if self._is_dry else f"{row.key}:{known[url]['id']}"
        before = known[url]
        name = f"{row.key}:{before['id']}"
        wanted = _with_objects(before, fields)
        if "secret" not in wanted and all(before[key] == value for key, value in wanted.items()):  # type: ignore[literal-required]
            return "unchanged", name
        known[url] = hooks.change_endpoint(row.key, before["id"], **wanted)
        return "updated", name


def _with_objects(before: Endpoint, fields: EndpointFields) -> EndpointFields:
    """Return the fields with the entries of objects that the row does not name as they were."""
    wanted = fields.copy()
    if "headers" in fields:
        wanted["headers"] = {**before["headers"], **fields["headers"]}
    if "fields" in fields:
        wanted["fields"] = {**before["fields"], **fields["fields"]}
    if "auth" in fields:
        same_kind = fields["auth"].get("kind", before["auth"]["kind"]) == before["auth"]["kind"]
        wanted["auth"] = {**before["auth"], **fields["auth"]} if same_kind else fields["auth"]
    return wanted
