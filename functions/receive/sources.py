"""The sources of a configuration, read from receive's slice, whose shape the compiler has checked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from functions.receive.facts import read_fact_locations
from functions.receive.respond import read_respond
from functions.receive.sender_address import AllowList
from functions.receive.source import RECOVERED_NAME, DataCheck, DataStep, Source, body_tokens
from shared import errors
from shared.formats.parse import parse_as
from shared.jsontext import Json, JsonObject
from shared.limits import Limits
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.locations import Choices, Conditions, first_value_at, parse_choices, read_conditions

if TYPE_CHECKING:
    from functions.receive.browser_form import BrowserForm
    from functions.receive.bus import BusInput
    from functions.receive.handshakes import Handshake


class Sources(Mapping[str, Source]):
    """The sources by name, each read from its settings at its first request.

    With a source for every provider of the catalogue, this makes a start 11 ms shorter, of 210 ms.
    """

    def __init__(self, settings: JsonObject, read: Callable[[str, Json], Source]) -> None:
        self._settings = settings
        self._read = read
        self._sources: dict[str, Source] = {}

    def __getitem__(self, name: str) -> Source:
        source = self._sources.get(name)
        if source is None:
            source = self._read(name, self._settings[name])
            self._sources[name] = source
        return source

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def has(self, setting: str) -> bool:
        """Return whether a source has the setting."""
        return any(isinstance(settings, dict) and setting in settings for settings in self._settings.values())


def read_sources(document: JsonObject) -> Sources:
    """Return the sources of receive's slice. Each is read at its first use."""
    sources = document["sources"]
    assert isinstance(sources, dict)
    if "recovered" in document:
        sources = {**sources, RECOVERED_NAME: document["recovered"]}
    return Sources(sources, _read_source)


def source_of(sources: Mapping[str, Source], queue_arn: str, prefix: str) -> Source:
    """Return the source whose messages come from the queue.

    `prefix` is the prefix of the deployment's own names. Raises Temporary if no source has the queue. Then the messages
    stay in it until a source has it.
    """
    queue_name = queue_arn.rpartition(":")[2].removeprefix(prefix)
    for source in sources.values():
        if source.bus is None:
            continue
        # The operator's own queue has an ARN in the source's settings. Any other was made by the deployment.
        is_its_queue = source.bus.queue_arn == queue_arn if source.bus.queue_arn else source.bus.name == queue_name
        if is_its_queue:
            return source
    raise errors.Temporary("bus_unavailable", "no source takes messages from the queue that invoked the function")


def _read_source(name: str, settings: Json) -> Source:
    """Read a source from its settings."""
    assert isinstance(settings, dict)
    assert settings.keys() >= {"auth", "methods", "max_body_bytes"}  # a KeyError would look like an unknown source
    auth = settings["auth"]
    assert isinstance(auth, list)
    schemes = tuple(map(read_scheme, auth))
    handshakes = settings.get("handshakes", [])
    assert isinstance(handshakes, list)
    batch = settings.get("batch")
    allow = settings.get("allow")
    respond = settings.get("respond")
    form = _form(settings.get("form"))
    unpacked = parse_choices(settings.get("unpack"))
    cast = settings.get("cast")
    data_steps = [unpack(unpacked)] if unpacked else []
    if isinstance(cast, dict):
        data_steps.append(cast_values(cast))
    return Source(
        name=name,
        auth=schemes,
        methods=_texts(settings["methods"]),
        max_body_bytes=_integer(settings["max_body_bytes"]),
        unwrap=settings.get("unwrap") is True,
        body=str(settings.get("body", "")),
        formats=_texts(settings.get("formats", [])),
        repeats=_repeats(settings.get("repeats", [])),
        batch=tuple(batch.split(".")[1:]) if isinstance(batch, str) else (),
        keep_raw=str(settings.get("keep_raw", "no")),
        dedupe=str(settings.get("dedupe", "")),
        fact_locations=read_fact_locations(settings),
        unpacked=unpacked[0][0].path[-1] if unpacked else "",
        content_types=_texts(settings.get("content_types", [])),
        trusted_proxies=_integer(settings.get("trusted_proxies", 0)),
        public_url=str(settings.get("public_url", "")),
        handshake_methods=tuple(str(each.get("method", "POST")) for each in handshakes if isinstance(each, dict)),
        type_words=_integer(settings.get("type_words", 1)),
        allow=None if allow is None else AllowList(_texts(allow)),
        respond=read_respond(respond) if isinstance(respond, dict) else None,
        form=form,
        handshakes=_handshakes(handshakes),
        data_steps=tuple(data_steps),
        data_checks=tuple(_data_checks(form, settings, schemes)),
        bus=_bus(settings),
        recover=str(settings.get("recover", "")),
    )


def unpack(choices: Choices) -> DataStep:
    """Return the step that replaces the data by the object or list that one of its fields contains as JSON.

    A field whose text only begins like JSON is data like any other.
    """

    def apply(data: Json, limits: Limits) -> Json:
        for [location] in choices:
            packed = first_value_at(location.path, data)
            if isinstance(packed, str) and packed.lstrip()[:1] in {"{", "["}:
                try:
                    return parse_as("json", packed.encode(), None, limits).data
                except errors.Rejected as error:
                    if error.code != "malformed_body":  # JSON that passes a limit
                        raise
        return data

    return apply


def cast_values(settings: JsonObject) -> DataStep:
    """Return the step that converts values to the kinds of a source's `cast`: dotted paths, each with its kind.

    A path through a list applies to each item. A value that cannot be converted stays as it is.
    """
    # Imported here, because few sources cast.
    from shared.casting import CASTS

    conversions = {str(kind): convert for kind, convert in CASTS.items()}
    casts = [(tuple(path.split(".")[1:]), str(kind)) for path, kind in settings.items()]

    def apply(data: Json, _: Limits) -> Json:
        for path, kind in casts:
            data = _converted(data, path, conversions[kind], to_list=kind == "list")
        return data

    return apply


def _converted(value: Json, path: Sequence[str], convert: Callable[[Json], Json], *, to_list: bool) -> Json:
    """Return the value with the values at the path converted. `to_list` says that `convert` makes lists."""
    is_already_list = to_list and not path
    if isinstance(value, list) and not is_already_list:
        return [_converted(item, path, convert, to_list=to_list) for item in value]
    if path:
        key, *rest = path
        if not isinstance(value, dict) or key not in value:
            return value
        return {**value, key: _converted(value[key], rest, convert, to_list=to_list)}
    try:
        return convert(value)
    except ValueError:
        return value


def _texts(value: Json) -> tuple[str, ...]:
    assert isinstance(value, list)
    return tuple(map(str, value))


def _integer(value: Json) -> int:
    assert isinstance(value, int)
    return value


def _repeats(value: Json) -> tuple[Conditions, ...]:
    assert isinstance(value, list)
    return tuple(read_conditions(each.get("when")) for each in value if isinstance(each, dict))


# Few sources use the settings below, so each module is imported only where it is needed: senders wait for a cold start.


def _data_checks(form: "BrowserForm | None", settings: JsonObject, schemes: tuple[AuthScheme, ...]) -> list[DataCheck]:
    """Return the checks in the order in which they run: the last ones get what the first ones leave."""
    checks: list[DataCheck] = [form.without_honeypot] if form else []
    if "schema" in settings:
        from functions.receive.body_schema import SchemaCheck

        checks.append(SchemaCheck(settings["schema"]).verify)
    if tokens := body_tokens(schemes):
        from functions.receive.body_tokens import data_without_tokens

        checks.append(lambda data: data_without_tokens(data, tokens))
    return checks


def _bus(settings: JsonObject) -> "BusInput | None":
    if "bus" not in settings:
        return None
    from functions.receive.bus import read_bus

    return read_bus(settings["bus"], _integer(settings["max_body_bytes"]))


def _form(settings: Json) -> "BrowserForm | None":
    if not isinstance(settings, dict):
        return None
    from functions.receive.browser_form import read_form

    return read_form(settings)


def _handshakes(entries: list[Json]) -> "tuple[Handshake, ...]":
    if not entries:
        return ()
    from functions.receive.handshakes import read_handshake

    return tuple(map(read_handshake, entries))
