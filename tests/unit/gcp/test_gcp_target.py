"""Where a bundle lives, how it is named, and how gcloud is run there."""

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cloud_access import gcp_names
from deploy.cloud_access.gcp import TIMED_OUT, Gcloud, GcloudMissing, configured_project, read_json, shown
from deploy.cloud_access.gcp_names import Target, TargetFault, checked_target, find_target
from tests.stub_gcloud import install

NOBODY = argparse.Namespace(project=None, region=None, prefix=None)


def test_an_option_counts_before_the_environment_and_that_before_gclouds_own() -> None:
    environ = {"GOOGLE_CLOUD_PROJECT": "from-environ", "HOOKCHAIN_REGION": "us-central1", "HOOKCHAIN_PREFIX": "shop-"}
    text = argparse.Namespace(project="from-option", region="europe-west4", prefix="sales")
    assert find_target(text, environ, lambda: "from-gcloud") == Target("from-option", "europe-west4", "sales-")
    assert find_target(NOBODY, environ, lambda: "from-gcloud") == Target("from-environ", "us-central1", "shop-")
    assert find_target(NOBODY, {}, lambda: "from-gcloud") == Target("from-gcloud", "europe-west1", "hookchain-")


def test_without_a_project_it_says_how_to_name_one() -> None:
    with pytest.raises(TargetFault, match="PROJECT=ID"):
        find_target(NOBODY, {}, lambda: None)


@pytest.mark.parametrize(
    ("project", "region", "prefix", "word"),
    [
        ("My-Project", "europe-west1", "hookchain-", "project"),
        ("my-project", "Europe", "hookchain-", "region"),
        ("my-project", "europe-west1", "a" * 21 + "-", "prefix"),
        ("my-project", "europe-west1", "goog-shop-", "prefix"),
        ("my-project", "europe-west1", "my-google-", "prefix"),
        ("my-project", "europe-west1", "two--dashes-", "prefix"),
        ("my-project", "europe-west1", "shop-;rm -rf-", "prefix"),
    ],
)
def test_what_cannot_be_a_name_is_rejected_before_anything_is_asked(
    project: str, region: str, prefix: str, word: str
) -> None:
    with pytest.raises(TargetFault, match=word):
        checked_target(project, region, prefix)


@given(st.from_regex(r"[a-z](-?[a-z0-9]){3,19}-", fullmatch=True), st.sampled_from(["a12345", "p" * 30]))
def test_every_name_of_a_taken_prefix_is_one_that_google_takes(prefix: str, project: str) -> None:
    try:
        target = checked_target(project, "europe-west1", prefix)
    except TargetFault:
        return
    assert all(6 <= len(gcp_names.account(target, name)) <= 30 for name in ("receive", "transform", "push"))
    assert 4 <= len(gcp_names.database(target)) <= 63
    assert 3 <= len(gcp_names.bucket(target)) <= 63
    assert len(f"{gcp_names.service(target, 'transform')}-123456789012") <= 63


def test_gcloud_never_asks_and_always_says_the_project(tmp_path: Path) -> None:
    stub = install(tmp_path / "bin")
    stub.answers("run services list", [{"a": 1}])
    gcloud = Gcloud("my-project", stub.environ)
    assert read_json(gcloud, ["run", "services", "list"], "my-project") == [{"a": 1}]
    assert stub.calls[0].arguments[-2:] == ("--project=my-project", "--quiet")


def test_a_gcloud_that_hangs_is_given_up_on(tmp_path: Path) -> None:
    program = tmp_path / "gcloud"
    program.write_text("#!/bin/sh\nexec sleep 20\n")
    program.chmod(0o755)
    gcloud = Gcloud("my-project", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert gcloud.run(["version"], timeout_seconds=0.2).code == TIMED_OUT


def test_without_gcloud_it_says_where_to_get_it(tmp_path: Path) -> None:
    nowhere = Gcloud("my-project", {"PATH": str(tmp_path)})
    with pytest.raises(GcloudMissing, match="cloud"):
        nowhere.run(["version"])
    assert configured_project(nowhere) is None


@pytest.mark.parametrize(("output", "project"), [("my-project\n", "my-project"), ("(unset)\n", None), ("", None)])
def test_gclouds_own_project_is_found(output: str, project: str | None, tmp_path: Path) -> None:
    stub = install(tmp_path / "bin")
    stub.answers("config get-value project", output)
    assert configured_project(Gcloud(None, stub.environ)) == project


def test_a_line_can_be_pasted() -> None:
    assert shown(["a", "--schedule=* * *"], "my-project") == "gcloud a '--schedule=* * *' --project=my-project"
