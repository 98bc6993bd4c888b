"""`hookchain link`, and what receive makes of the links it prints."""

from pathlib import Path
from textwrap import indent

import pytest

from shared.jsontext import Json
from tests.fakes.command import Command
from tests.in_process.posting import Posting

KEY = "a key for links, long enough"
SOURCES = """
go: {methods: [GET], auth: {scheme: link, secret: link-key}}
other: {auth: none}
"""
CONFIG = f"sources:{indent(SOURCES, '  ')}"


@pytest.fixture
def link(command: Command, config: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    dotenv = config.parent / ".env"
    dotenv.write_text(f"LINK_KEY={KEY}\n", encoding="utf-8")
    monkeypatch.setattr("deploy.cli.link.time.time", lambda: 1_790_000_000.0)
    return command.partial("link", after=("--env-file", str(dotenv)))


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (["serial=C02 XL/0", "name=Zoë"], {"serial": "C02 XL/0", "name": "Zoë"}),
        (["--data", '{"a": ["é", 1]}'], {"a": ["é", 1]}),
        (["--data", "a: 1\nb: [x]\n"], {"a": 1, "b": ["x"]}),
        (["--data", "two words & more"], "two words & more"),
        (["n:=40", "a=b"], {"n": 40, "a": "b"}),
        (["body=x"], {"body": "x"}),
    ],
)
async def test_what_goes_into_a_link_comes_out_of_it(link: Command, arguments: list[str], data: Json) -> None:
    url = link("go", *arguments).strip()
    assert url.startswith("http://localhost:8080/go?")
    posting = Posting(SOURCES, {"link-key": KEY})
    assert (await posting.get(url.removeprefix("http://localhost:8080"))).status == 200
    assert posting.events[0].data == data


async def test_a_link_is_valid_for_an_hour_or_as_long_as_the_option_says(link: Command) -> None:
    posting = Posting(SOURCES, {"link-key": KEY})
    paths: list[str] = []
    for options in ([], ["--expires", "2h"], ["--expires", "never"]):
        url = link("go", "a=1", "--url", "https://h.example/", *options)
        paths.append(url.strip().removeprefix("https://h.example"))
    posting.clock.advance(3_601)
    assert [(await posting.get(path)).status for path in paths] == [401, 200, 200]


async def test_two_links_for_once_are_two_events(link: Command) -> None:
    posting = Posting(SOURCES, {"link-key": KEY})
    for _ in range(2):
        made = link.json("go", "a=1", "--once", "--expires", "7d")
        assert (made["once"], made["expires_at"]) == (True, "2026-09-28T14:13:20.000Z")
        for _ in range(2):
            await posting.get(str(made["url"]).removeprefix("http://localhost:8080"))
    assert len(posting.events) == 4
    assert len({event.id for event in posting.events}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["go", "a=1", "--data", "{}"], "must come from fields"),
        (["go", "a=1", "--expires", "soon"], "--expires: must be a time such as"),
        (["go", "a=1", "--once", "--expires", "never"], "needs an --expires"),
        (["go", "hc_sig=1"], "is reserved for the link"),
        (["other", "a=1"], "accepts no links"),
        (["goo", "a=1"], "did you mean 'go'?"),
        (["go", "a=1", "--url", "localhost:8080"], "--url: must be receive's URL"),
        (["go", "a=1", "--once", "--expires", "60d"], "at most 30d"),
    ],
)
def test_a_usage_error_is_explained_and_no_link_is_made(link: Command, arguments: list[str], message: str) -> None:
    assert link(*arguments, code=2) == ""
    assert message in link.error
