"""`hookchain sources --platform aws`: the URL of each source and a line to try it."""

import json

import pytest

from tests.aws.operator import Stack


def test_each_source_has_its_url_and_a_line_that_reads_the_secret(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.describe(url="https://abc.lambda-url.eu-central-1.on.aws/")
    assert stack.run("sources", "--json") == 0
    sources = {each["name"]: each for each in json.loads(capsys.readouterr().out)["sources"]}
    assert sources["shop"]["url"] == "https://abc.lambda-url.eu-central-1.on.aws/shop"
    read = f"aws secretsmanager get-secret-value --secret-id={stack.prefix}shop-password"
    assert f'-u "web:$({read} --query=SecretString' in sources["shop"]["example"]
    assert "--secret-stdin" in sources["pay"]["example"]


def test_a_stack_that_is_not_deployed_is_reported_with_the_command(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stack.run("sources") == 1
    assert f"stack {stack.name} in {stack.place.region} is not deployed: make deploy-aws" in capsys.readouterr().err
    stack.describe(status="CREATE_IN_PROGRESS", url=None)
    assert stack.run("sources") == 1
    assert "has no output ReceiveUrl (CREATE_IN_PROGRESS)" in capsys.readouterr().err
