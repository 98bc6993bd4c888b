"""The catalogue as a whole, and what a source takes from it."""

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from deploy.config.compiler import compile_config, secrets_needed
from deploy.config.config_file import ConfigFaults, ConfigFile
from deploy.config.sections.catalogue import CATALOGUE, SOURCES_SECRET, load_catalogue
from deploy.config.sections.source import SourceConfig
from deploy.config.warnings import provider_warnings
from shared.jsontext import Json, JsonObject
from tests.unit.receive.restated import SIGNED

ENTRIES: Final = load_catalogue()


def compiled(source: dict[str, Json]) -> JsonObject:
    sources = compile_config(ConfigFile("test", Path(), {"sources": {"hook": source}}))["receive"]["sources"]
    assert isinstance(sources, dict)
    hook = sources["hook"]
    assert isinstance(hook, dict)
    return hook


def faults(source: dict[str, Json]) -> str:
    with pytest.raises(ConfigFaults) as error:
        compiled(source)
    return str(error.value)


def auth_of_source(source: dict[str, Json]) -> list[JsonObject]:
    auth = compiled(source)["auth"]
    assert isinstance(auth, list)
    return [scheme for scheme in auth if isinstance(scheme, dict)]


def test_every_known_provider_has_an_entry(inputs_folder: Path) -> None:
    facts = yaml.safe_load((inputs_folder / "providers.yaml").read_text(encoding="utf-8"))
    assert sorted(facts["providers"]) == list(ENTRIES)
    assert len(ENTRIES) >= 88


def test_the_catalogue_has_no_key_twice() -> None:
    keys = re.findall(r"^([a-z0-9_]+):", CATALOGUE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(set(keys)) == sorted(keys)


@pytest.mark.parametrize("key", ENTRIES)
def test_a_source_needs_no_more_than_the_provider_the_secret_and_the_params_that_are_required(key: str) -> None:
    entry = ENTRIES[key]
    source: dict[str, Json] = {"provider": key}
    if any(offered.scheme.model_dump().get("secret") == SOURCES_SECRET for offered in entry.auth):
        assert "needs a secret" in faults(source) or "is missing" in faults(source)
        source["secret"] = "the-secret"
    if not entry.auth:
        assert "does not sign its requests" in faults(source)
        source["auth"] = {"scheme": "path", "secret": "the-token"}
    source["params"] = {name: "value" for name, param in entry.params.items() if param.required}
    written = str(compiled(source))
    assert SOURCES_SECRET not in written
    assert "{param." not in written


@pytest.mark.parametrize("key", ENTRIES)
def test_the_source_that_is_shown_answers_every_handshake_of_its_provider(key: str) -> None:
    entry = ENTRIES[key]
    params: dict[str, Json] = {name: "a-name" for name, param in entry.params.items() if param.required}
    proof: dict[str, Json] = {"secret": "a-name"} if entry.auth else {"auth": {"scheme": "path", "secret": "a-name"}}
    source: dict[str, Json] = {"provider": key, "params": params, **proof}
    handshakes = compiled(source).get("handshakes", [])
    assert isinstance(handshakes, list)
    assert len(handshakes) == len(entry.handshakes)


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_says_how_it_was_proven_and_how_sure_it_is(key: str) -> None:
    entry = ENTRIES[key]
    assert (entry.proven.by == "nothing") is (not entry.auth)
    assert "auth" in entry.known_from or not entry.auth
    assert not entry.handshakes or "handshakes" in entry.known_from
    assert entry.setup or entry.known_from["auth"] in {"notes", "library"}


@pytest.mark.parametrize("key", [key for key, entry in ENTRIES.items() if entry.proven.by == "vectors"])
def test_what_is_said_to_be_proven_by_vectors_has_some(inputs_folder: Path, key: str) -> None:
    published_in_documents = {"bitbucket", "jira"}  # test_catalogue_libraries.py has them
    assert (inputs_folder / "vectors" / f"{key}.json").is_file() or key in published_in_documents


def test_what_is_said_to_be_restated_is() -> None:
    tried = {key for key, _ in SIGNED} | {"travis", "telnyx", "discord", "aws_sns", "ebay"}
    assert not [key for key, entry in ENTRIES.items() if entry.proven.by == "restated" and key not in tried]


def test_a_secret_param_is_a_secret_that_the_bundle_needs() -> None:
    slices = compile_config(
        ConfigFile(
            "test",
            Path(),
            {"sources": {"hook": {"provider": "meta", "secret": "app", "params": {"verify_token": "token"}}}},
        )
    )
    assert secrets_needed(slices) == ["app", "token"]


def test_a_variant_takes_that_way_alone() -> None:
    assert [auth["variant"] for auth in auth_of_source({"provider": "gitlab", "secret": "s"})] == [
        "signing_token",
        "token",
    ]
    assert [auth["variant"] for auth in auth_of_source({"provider": "gitlab", "secret": "s", "variant": "token"})] == [
        "token"
    ]
    assert [auth["variant"] for auth in auth_of_source({"provider": "github", "secret": "s"})] == ["sha256"]
    assert [
        auth["variant"] for auth in auth_of_source({"provider": "github", "secret": "s", "variant": "legacy_sha1"})
    ] == ["legacy_sha1"]


def test_a_tolerance_replaces_the_providers() -> None:
    assert auth_of_source({"provider": "paddle", "secret": "s"})[0]["tolerance_seconds"] == 5
    assert auth_of_source({"provider": "paddle", "secret": "s", "tolerance": "10m"})[0]["tolerance_seconds"] == 600


def test_what_the_source_says_counts_before_what_the_catalogue_says() -> None:
    hook = compiled({"provider": "github", "secret": "s", "type": "data.action", "dedupe": "body"})
    assert (hook["type"], hook["id"], hook["dedupe"]) == (["data.action"], ["header.X-GitHub-Delivery"], "body")
    own = compiled({"provider": "github", "auth": {"scheme": "bearer", "secret": "t"}})
    assert own["auth"] == [{"scheme": "bearer", "secret": "t"}]
    assert own["type"] == ["header.X-GitHub-Event"]


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ({"provider": "githb", "secret": "s"}, "did you mean 'github'?"),
        ({"provider": "github"}, "GitHub needs a secret"),
        ({"provider": "github", "secret": "s", "variant": "sha512"}, "GitHub has no variant 'sha512'"),
        ({"provider": "github", "secret": "s", "params": {"a": "b"}}, "GitHub has no param 'a'"),
        ({"provider": "paypal"}, "webhook_id is missing"),
        ({"provider": "docker_hub"}, "Docker Hub does not sign its requests"),
        ({"provider": "github", "secret": "A VALUE"}, "must be the name of a secret"),
        ({"auth": "none", "variant": "v1"}, "`variant` needs `provider`"),
        ({"provider": "github", "secret": "s", "tolerance": "2 weeks"}, "tolerance"),
        ({"provider": "google_pubsub", "leeway": "11s"}, "leeway"),
        ({"provider": "github", "secret": "s", "leeway": "5s"}, "JSON Web Tokens only, and GitHub sends none"),
        ({"provider": "meta", "secret": "s", "params": {"verify_token": "A VALUE"}}, "must be the name of a secret"),
        (
            {"provider": "ebay", "secret": "s", "params": {"verification_token": "a){b"}},
            "must not contain braces or parentheses",
        ),
        ({"provider": "vercel_log_drain", "secret": "s", "params": {"verification_token": "…"}}, "printable ASCII"),
        (
            {"provider": "vercel_log_drain", "secret": "s", "params": {"verification_token": "a\nb: c"}},
            "printable ASCII",
        ),
    ],
)
def test_a_fault_is_reported(source: dict[str, Json], rule: str) -> None:
    assert rule in faults(source)


def warnings(source: dict[str, Json]) -> str:
    return " | ".join(provider_warnings(SourceConfig.model_validate(source), None))


def test_whoever_might_send_unseen_is_warned_of() -> None:
    assert "any AWS account's topic may send to you" in warnings({"provider": "aws_sns"})
    assert "topic may" not in warnings({"provider": "aws_sns", "params": {"topics": "123456789012"}})


def test_a_tolerance_that_rejects_every_request_is_warned_of() -> None:
    assert "rejects all requests of Stripe" in warnings({"provider": "stripe", "secret": "s", "tolerance": "0s"})
    assert "rejects all requests of Plaid" in warnings({"provider": "plaid", "secret": "s", "tolerance": "0s"})
    assert "rejects" not in warnings({"provider": "google_pubsub", "tolerance": "0s"})
    assert "rejects" not in warnings({"provider": "stripe", "secret": "s", "tolerance": "1s"})


def test_a_url_that_is_signed_has_to_be_known() -> None:
    assert "set `public_url` to it" in warnings({"provider": "twilio", "secret": "s"})
    assert "public_url" not in warnings({"provider": "twilio", "secret": "s", "public_url": "https://h.example.com"})
    assert "public_url" not in warnings({"provider": "github", "secret": "s"})
