"""The list of outcomes and codes in deploy/codes.md, against the types that the code uses and the page's labels."""

import re
from typing import Final, get_args

import pytest

from functions.subscribe.problems import API_STATUS, ApiCode
from shared import errors, outcomes
from shared.errors import REJECTION_STATUS, PermanentCode, RejectedCode, ReplyCode, ServerCode, StartCode, TemporaryCode
from tests.running.processes import ROOT

LIST: Final = (ROOT / "deploy/codes.md").read_text(encoding="utf-8")
PAGE_WORDS: Final = (ROOT / "deploy/dev/inspector/page/words.js").read_text(encoding="utf-8")
CODE: Final = re.compile(r"`([a-z]+(?:_[a-z]+)*)`")


def listed_in(titles: str) -> set[str]:
    """Return the words in the first column of the table whose first title that is, without those of other tables."""
    table = re.search(rf"^\| {titles} \|.*\n\|[-|]+\n((?:\|.*\n)+)", LIST, re.MULTILINE)
    assert table, f"no table of {titles}"
    return {word for line in table[1].splitlines() for word in CODE.findall(line.split("|")[1])}


def section(title: str) -> str:
    return LIST.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def codes_in(title: str) -> set[str]:
    """Return the codes in the first column of the section's table, and those that a sentence of it explains."""
    rows = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("|")]
    return {word for cell in rows for word in CODE.findall(cell)}


@pytest.mark.parametrize(
    ("titles", "type_of_outcomes"),
    [
        ("request", outcomes.RequestOutcome),
        ("event in transform", outcomes.EventOutcome),
        ("event at one route", outcomes.RouteOutcome),
        ("attempt", outcomes.AttemptOutcome),
        ("delivery pushed to notify", outcomes.DeliveryOutcome),
        ("delivery in the ledger", outcomes.DeliveryState),
        ("status of an event", outcomes.EventStatus),
    ],
)
def test_every_outcome_is_listed_and_no_other(titles: str, type_of_outcomes: object) -> None:
    assert listed_in(titles) == set(get_args(type_of_outcomes))


def test_every_code_of_a_rejected_request_is_listed_with_its_status() -> None:
    rows = [line.split("|") for line in section("Codes of rejected requests").splitlines() if line.startswith("| `")]
    assert {row[1].strip(" `"): int(row[2]) for row in rows} == dict(REJECTION_STATUS)
    assert REJECTION_STATUS.keys() == set(get_args(RejectedCode))


def test_every_code_of_the_api_for_subscribers_is_listed_with_its_status() -> None:
    title = "Codes of the API for subscribers"
    rows = [line.split("|") for line in section(title).splitlines() if line.startswith("| `")]
    assert {row[1].strip(" `"): int(row[2]) for row in rows} == dict(API_STATUS)
    assert API_STATUS.keys() == set(get_args(ApiCode))
    assert not API_STATUS.keys() & REJECTION_STATUS.keys()


@pytest.mark.parametrize(
    ("title", "codes"),
    [
        ("Codes of failures that are retried", set(get_args(TemporaryCode)) - {"apis_unavailable", "offline"}),
        ("Codes of dead letters", set(get_args(PermanentCode)) - {"not_replayable", "missing_answer"}),
    ],
)
def test_every_other_code_is_listed_and_no_other(title: str, codes: set[str]) -> None:
    steps = {"cast", "convert", "encode", "decode", "digest"}
    assert codes_in(title) - {"code"} - steps == codes


@pytest.mark.parametrize(
    "code",
    [
        *("apis_unavailable", "offline", "not_replayable", "missing_answer"),
        *get_args(StartCode),
        *get_args(ServerCode),
        *get_args(get_args(ReplyCode)[-1]),
    ],
)
def test_a_code_outside_the_tables_is_explained_in_a_sentence(code: str) -> None:
    assert f"`{code}`" in LIST


def test_a_code_has_one_meaning() -> None:
    kinds = [set(get_args(kind)) for kind in (RejectedCode, TemporaryCode, PermanentCode, StartCode)]
    assert sum(map(len, kinds)) == len(set.union(*kinds))
    assert set.union(*kinds) == {code for kind in get_args(errors.ProblemCode) for code in get_args(kind)}


def test_the_page_places_every_code_of_receive_under_a_check_and_advises_on_no_unknown_code() -> None:
    checks = PAGE_WORDS.partition("export const CHECKS = [")[2].partition("];")[0]
    advice = PAGE_WORDS.partition("const ADVICE = {")[2].partition("};")[0]
    placed = set(re.findall(r'"([a-z]+(?:_[a-z]+)*)"', checks))
    known = set(get_args(RejectedCode)) | set(get_args(TemporaryCode)) | set(get_args(ServerCode))
    assert placed <= known
    assert set(get_args(RejectedCode)) - placed == {"push_identity_mismatch"}
    assert set(re.findall(r"^  (\w+):", advice, re.MULTILINE)) <= known


@pytest.mark.parametrize(
    ("table", "type_of_outcomes"),
    [
        ("export const STATUSES", outcomes.EventStatus),
        ("const DELIVERY_STATES", outcomes.DeliveryState),
        ("export const OUTCOMES", outcomes.AttemptOutcome),
    ],
)
def test_the_page_labels_every_outcome_and_no_other(table: str, type_of_outcomes: object) -> None:
    labels = PAGE_WORDS.partition(f"{table} = {{")[2].partition("};")[0]
    assert set(re.findall(r"^  (\w+): \[", labels, re.MULTILINE)) == set(get_args(type_of_outcomes))
