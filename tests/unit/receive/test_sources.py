"""When the settings of a source are read."""

from functions.receive.source import Source, Sources
from shared.jsontext import Json, JsonObject
from tests.posting import Posting


def test_a_source_is_read_at_its_first_request_and_once() -> None:
    read: list[str] = []

    def read_source(name: str, settings: Json) -> Source:
        read.append(name)
        return Source(name, auth=())

    sources = Sources({"first": {}, "second": {"bus": {}}}, read_source)
    assert list(sources) == ["first", "second"]
    assert sources.has("bus")
    assert read == []
    assert sources["second"] is sources.get("second")
    assert sources.get("third") is None
    assert read == ["second"]


async def test_a_source_whose_settings_cannot_be_read_answers_503_and_no_other_does() -> None:
    posting = Posting("open: {auth: none}\nbroken: {auth: none}")
    settings: JsonObject = {"open": {}, "broken": {}}
    whole = posting.sources

    def read_source(name: str, _: Json) -> Source:
        if name == "broken":
            raise AssertionError(name)
        return whole[name]

    posting.receiver.sources = Sources(settings, read_source)
    assert (await posting.send("/open")).status == 200
    assert (await posting.send("/broken")).status == 503
