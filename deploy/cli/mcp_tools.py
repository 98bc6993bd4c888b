"""The table of the tools that `hookchain mcp` offers. The tools that read events are in mcp_events.py, all others here.

Every result is masked here.
"""

import argparse
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from deploy.cli import command, config_text, events, explain, look_up, mcp_events, pause, records, status
from deploy.cli.mcp_session import Plan, Session, masked
from deploy.config.checkout import OWN_CONFIG, ROOT, environ_with, own_env_file
from deploy.config.configured import config_path, configured
from deploy.config.packaged_yaml import load_data
from deploy.config.sections import catalogue_pages
from deploy.config.sections.catalogue import load_catalogue
from deploy.explain import deliveries, offline, request_options
from deploy.explain.report import NOTIFY, report_document
from deploy.history import documents
from deploy.platforms.choice import is_local, open_platform, same_platform
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import stdout_screen
from shared import http, settings
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at, texts_at, to_json
from shared.mcp import Tool, ToolFault

_TOOLS: Final = Path(__file__).with_name("mcp_tools.yaml")
MAX_LINE_CHARACTERS: Final = 1_000
"""The longest line of the details of an explanation."""
MAX_LISTED_CHARACTERS: Final = 90_000
"""The longest list of sources or destinations in a result, whose own limit is MAX_RESULT_CHARACTERS."""
AUDITED_AS: Final = "mcp"
"""The name of this command in audit records."""
MAX_PLANNED: Final = 500
"""The most events of a replay, so that they are sent within the time that clients wait for a tool."""
PLAN_SECONDS: Final = 900
"""How long a planned replay can be run."""


# Tools that read. Each returns what mcp_tools.yaml describes, and raises ToolFault and what `_masked_result` expects.


def list_destinations(session: Session, _: JsonObject) -> Json:
    """Return the state of each destination, those first that need an operator, and what waits for them."""
    status_document = _status(session)
    lists = {name: objects_at(status_document, name) for name in ("destinations", "held", "retry_scheduled")}
    urgent_first = sorted(lists["destinations"], key=_is_destination_healthy)
    lists |= {"destinations": urgent_first, "waiting_routes": objects_at(status_document, "waiting_routes")}
    whole = {name: status_document[name] for name in ("dead_letters", "notes")}
    return {**_as_many_as_fit(lists), **whole}


def list_sources(session: Session, arguments: JsonObject) -> Json:
    """Return the health of the source `source`, or of all sources, those first that need an operator."""
    sources = {str(each["source"]): each for each in objects_at(_status(session), "sources")}
    if name := mcp_events.optional_text(arguments, "source"):
        if name not in sources:
            raise ToolFault(f"there is no source {name!r}{did_you_mean(name, sources)}")
        return {"sources": [sources[name]]}
    urgent_first = sorted(sources.values(), key=_is_source_healthy)
    return _as_many_as_fit({"sources": urgent_first})


def _is_destination_healthy(document: JsonObject) -> bool:
    """Return whether nobody has to look after the destination. As a key, it sorts the others first."""
    return document["state"] == "delivering" and not document["reason"]


def _is_source_healthy(document: JsonObject) -> bool:
    """Return whether nothing is known that somebody has to look after. As a key, it sorts the others first."""
    return document.get("health") in {"healthy", "unknown"}


def _as_many_as_fit(lists: Mapping[str, Sequence[JsonObject]]) -> JsonObject:
    """Return the first entries of each list, and how many of each are left out. A long entry is left out alone."""
    characters = MAX_LISTED_CHARACTERS
    shown: dict[str, list[Json]] = {name: [] for name in lists}
    for name, entries in lists.items():
        for each in map(mcp_events.shortened, entries):
            if (size := len(json.dumps(each))) <= characters:
                characters -= size
                shown[name].append(each)
    left_out: JsonObject = {name: count for name in lists if (count := len(lists[name]) - len(shown[name]))}
    return {**shown, **({"left_out": left_out} if left_out else {})}


def _status(session: Session) -> JsonObject:
    """Return the part of the status that comes from the stores. The part about processes has the token of the page."""
    configuration = status.served_configuration(session.options)
    platform = open_platform(session.options, configuration.environ)
    return status.stored_status(platform, configuration, time.time(), same_platform(session.options)).document()


def list_providers(_: Session, arguments: JsonObject) -> Json:
    """Return the provider `name`, or the names of those that have the text `find`, or of all."""
    catalogue = load_catalogue()
    if "name" in arguments:
        key = look_up.key_of(str(arguments["name"]))
        if key not in catalogue:
            raise ToolFault(f"there is no provider {key!r}{did_you_mean(key, catalogue)}")
        return catalogue_pages.entry_document(key, catalogue[key])
    found = catalogue_pages.matching(catalogue, mcp_events.optional_text(arguments, "find"))
    return {"providers": {key: entry.name for key, entry in found.items()}}


def explain_request(session: Session, arguments: JsonObject) -> Json:
    """Explain the request without any secret. With a secret, the report could be used to sign texts."""
    source = str(arguments["source"])
    headers = arguments.get("headers", {})
    assert isinstance(headers, dict)
    pairs = tuple((name.strip().lower(), value) for name, value in headers.items() if isinstance(value, str))
    if len(pairs) < len(headers):
        raise ToolFault("headers: each value must be of the type string")
    configuration = replace(configured(session.options), environ=offline.NO_SECRETS)
    sent = http.Request(
        str(arguments.get("method", "POST")),
        "/",
        headers=pairs,
        body=str(arguments["body"]).encode("utf-8", "replace"),
        peer="127.0.0.1",
    )
    request = request_options.request_at("http://localhost:8080/", source, sent)
    state = session.options.state if is_local(session.options) else None
    env_file = session.options.env_file
    report = explain.explained_request(request, configuration, state, env_file, now=time.time(), is_unsigned=True)
    shown = {name: value for name, value in report_document(report).items() if name != "reply"}
    credentials = session.credentials()
    details: JsonObject = {}
    for name in mapping_at(shown, "details"):
        lines = texts_at(shown, "details", name)
        kept = _without_headers(lines) if name == NOTIFY else lines
        # A credential is masked before the line is cut: a part of it would not be found.
        details[name] = [masked(line, credentials)[:MAX_LINE_CHARACTERS] for line in kept]
    events: list[Json] = [_without_large_data(mcp_events.without_request(each)) for each in objects_at(shown, "events")]
    return {**shown, "events": events, "details": details}


def _without_large_data(event: JsonObject) -> JsonObject:
    """Return the event without data that fills the result: the assistant has it already."""
    size = len(to_json(event.get("data")))
    return {**event, "data": f"left out: {size:,} characters"} if size > mcp_events.MAX_BODY_BYTES else event


def _without_headers(lines: Iterable[str]) -> Iterator[str]:
    """Yield the details of deliveries without the headers of the requests, whose values may be credentials.

    A request is shown as a title, the line with the method and the URL, the headers, an empty line and the body.
    """
    line_in_request = 0  # 1 for the title; 0 in a body, and in what is no request
    for line in lines:
        if line.startswith(deliveries.REQUEST_TO):
            line_in_request = 1
        elif not line.strip():
            line_in_request = 0
        elif line_in_request:
            line_in_request += 1
        is_header = line_in_request > 2
        if not is_header:
            yield line


# A configuration that is not in use


def lint_configuration(session: Session, arguments: JsonObject) -> Json:
    return _check("lint", session, arguments)


def test_configuration(session: Session, arguments: JsonObject) -> Json:
    return _check("test", session, arguments)


def _check(action: str, session: Session, arguments: JsonObject) -> Json:
    """Return the result of `lint` or `test` for a text, as if it were the file of the configuration.

    The text can name files beside that file, but no file that has secrets or events.
    """
    options = session.options
    environ = environ_with(options.env_file)
    path = config_path(options, environ) or ROOT / OWN_CONFIG
    excluded = (options.env_file, own_env_file(), options.state, settings.read_settings(environ).secrets_folder)
    return config_text.check_text(action, str(arguments["text"]), path.absolute().parent, excluded, environ)


# Changes, each with an audit record


def plan_replay(session: Session, arguments: JsonObject) -> Json:
    """Choose the events now, so that run_replay sends exactly the events that the plan counts."""
    options = _replay_options(session, arguments)
    with session.platform().state() as state:
        events.require_destination(state, options.only)
        if options.ids:
            found = events.chosen_events(state, options)
        else:
            newest_first = mcp_events.find_shown_events(session, state, options, options.limit)
            found = newest_first[::-1]
        stored = state.reader.with_document([each.id for each in found])
    if len(found) > MAX_PLANNED:
        raise ToolFault(f"these are more than {MAX_PLANNED} events: use narrower filters")
    replayable = [each for each in found if each.id in stored]
    if not replayable:
        raise ToolFault("no event matches whose body is stored")
    plan_id = secrets.token_hex(8)
    now = time.time()
    session.plans = {name: plan for name, plan in session.plans.items() if plan.until > now}
    session.plans[plan_id] = Plan(replayable, options, now + PLAN_SECONDS)
    sample: list[Json] = [documents.summary_document(each) for each in replayable[: records.SAMPLE]]
    return {
        "plan": plan_id,
        "valid_seconds": PLAN_SECONDS,
        "count": len(replayable),
        "without_body": len(found) - len(replayable),
        "only": options.only,
        "repeats_finished_deliveries": options.force,
        "first_events": sample,
    }


def _replay_options(session: Session, arguments: JsonObject) -> argparse.Namespace:
    """Return the options of `events replay`, which has either the id of an event or filters. Raises ToolFault."""
    if not arguments.keys() - {"only", "force"}:
        raise ToolFault("choose the events, by `event` or by filters")
    filters = {name: value for name, value in arguments.items() if name != "event"}
    options = session.filters(
        {"only": None, "force": False, **filters, "limit": MAX_PLANNED + 1, "rate": records.DEFAULT_RATE}
    )
    options.ids = []
    if "event" in arguments:
        options.ids = [arguments["event"]]
        options.limit = None  # with an id, it would be rejected as a filter
    return options


def run_replay(session: Session, arguments: JsonObject) -> Json:
    """Send the events of a plan, once. After an error, the plan has the events that were not sent.

    Raises ToolFault without such a plan, and CommandError if only a part of the events was sent.
    """
    plan_id = str(arguments["plan"])
    plan = session.plans.get(plan_id)
    if plan is None or plan.until < time.time():
        raise ToolFault("there is no such plan (any more): a plan is run once. Make a new one with plan_replay")
    options = argparse.Namespace(**{**vars(session.options), **vars(plan.options)})
    with session.platform().state() as state:
        del session.plans[plan_id]  # only now: a plan whose events could not be read can be run again
        replay = events.Replay(records.Context(options, state, stdout_screen(), time.time()), plan.events, AUDITED_AS)
        try:
            replay.run()
        except (*command.EXPECTED, sqlite3.Error) as error:
            session.plans[plan_id] = replace(plan, events=replay.unsent)
            if not replay.sent:
                raise
            done = f"{len(replay.sent)} of {len(plan.events)} events were sent as replay {replay.id}"
            advice = "and perhaps a few more. The plan has the other events: run it again to send them"
            raise CommandError(f"{command.error_text(error)}. {done}, {advice}") from error
    result: JsonObject = {"replay": replay.id, "count": len(replay.sent)}
    if replay.unsent:
        result["not_sent"] = [each.id for each in replay.unsent]
        result["why"] = "the bodies of these events were removed after the plan, by `forget` or after their retention"
    return result


def pause_destination(session: Session, arguments: JsonObject) -> Json:
    try:
        seconds = pause.PAUSE_TIME(str(arguments["for"])) if "for" in arguments else None
    except argparse.ArgumentTypeError as error:
        raise ToolFault(f"for: {error}") from error
    return _act("pause", pause.pause_destination, session, arguments, seconds)


def resume_destination(session: Session, arguments: JsonObject) -> Json:
    return _act("resume", pause.resume_destination, session, arguments)


def release_destination(session: Session, arguments: JsonObject) -> Json:
    return _act("release", pause.release_destination, session, arguments)


def _act(name: str, act: pause.Act, session: Session, arguments: JsonObject, seconds: float | None = None) -> Json:
    """Act on the destination as the command `name` does. `seconds` is how long a pause lasts; None is for ever."""
    destination = str(arguments["destination"])
    options = argparse.Namespace(**{**vars(session.options), "destination": destination, "seconds": seconds})
    result = pause.act_on_destination(name, options, act, AUDITED_AS)
    return {"destination": destination, "done": result.text, "deliveries": result.deliveries}


# The tools


Run: TypeAlias = Callable[[Session, JsonObject], Json]
RUNS: Final[Mapping[str, Run]] = {
    run.__name__: run
    for run in (
        mcp_events.search_events,
        mcp_events.get_event,
        mcp_events.get_event_body,
        mcp_events.list_deliveries,
        mcp_events.list_dead_letters,
        list_destinations,
        list_sources,
        list_providers,
        explain_request,
        lint_configuration,
        test_configuration,
        plan_replay,
        run_replay,
        pause_destination,
        resume_destination,
        release_destination,
    )
}
"""The function of each tool in mcp_tools.yaml. Its name is that of the tool, by which clients call it."""


def tools_of(session: Session) -> dict[str, Tool]:
    """Return the tools by name. They raise ToolFault for the errors that a command reports in one line."""
    tools = _tools(session, "reading")
    if session.options.allow_write:
        tools |= _tools(session, "writing")
    return tools


def _tools(session: Session, part: str) -> dict[str, Tool]:
    """Return the tools of a part of mcp_tools.yaml, `reading` or `writing`.

    A tool of the part `writing` that writes nothing itself, such as plan_replay, has `is_read_only`.
    """
    tools: dict[str, Tool] = {}
    for name, document in mappings_at(load_data(_TOOLS), part).items():
        tools[name] = Tool(
            str(document["description"]),
            partial(_masked_result, session, RUNS[name]),
            mappings_at(document, "arguments"),
            tuple(texts_at(document, "required")),
            is_writing=part == "writing" and not document.get("is_read_only"),
        )
    return tools


def _masked_result(session: Session, run: Run, arguments: JsonObject) -> str:
    """Return the result as JSON without credentials. Raises ToolFault, whose text is masked too."""
    credentials: list[str] = []
    try:
        credentials = session.credentials()
        text = json.dumps(run(session, arguments), ensure_ascii=False)
    except (*command.EXPECTED, sqlite3.Error) as fault:
        raise ToolFault(masked(command.error_text(fault), credentials)) from fault
    return masked(text, credentials)
