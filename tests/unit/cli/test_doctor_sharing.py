"""Doctor says which files of Google's to share, and with whom."""

import json
from collections.abc import Mapping, Sequence

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.doctor.places import has_shared_files, sharing, without_caught
from deploy.gcp.resources.project import apis
from deploy.secrets.backend import StoredSecret
from deploy.topology.functions import FUNCTIONS
from deploy.topology.topology import find_topology
from shared.jsontext import JsonObject
from tests.processes import ROOT

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
    return compile_config(parse_config(text, "test.yaml", ROOT))


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


def test_a_sheet_whose_rows_are_caught_needs_no_sharing() -> None:
    caught = without_caught(notify_with(SHEET, DOCUMENT))

    assert "spreadsheets" not in found(caught, "notify@x.example", Place())[1]
    assert has_shared_files(without_caught(notify_with(f"{SHEET}, secret: sheets-key")))
    assert not has_shared_files(without_caught(notify_with(SHEET)))


def test_other_destinations_need_no_sharing() -> None:
    assert not has_shared_files(notify_with("webhook: {url: 'https://crm.example.com/in'"))
    assert has_shared_files(notify_with(DOCUMENT))


def test_the_deployment_enables_the_apis_that_its_own_account_calls() -> None:
    def enabled(*destinations: str) -> set[str]:
        slices = slices_with(*destinations)
        return {each.name for each in apis(find_topology(slices, {}, FUNCTIONS), slices["notify"])}

    by_key = enabled(f"{SHEET}, secret: sheets-key")

    own = {"sheets.googleapis.com", "docs.googleapis.com", "drive.googleapis.com"}
    assert enabled(SHEET, DOCUMENT) - by_key == own
    assert not own & by_key
