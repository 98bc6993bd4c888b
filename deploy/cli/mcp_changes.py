"""The tools of `hookchain mcp` that change something, each with an audit record: replays, and states of destinations.

A replay takes two calls. `plan_replay` chooses the events and returns the id of the plan; `run_replay` sends them.
"""

import argparse
import dataclasses
import secrets
import sqlite3
import time
from typing import Final

from deploy.cli import command, events, mcp_events, pause, records
from deploy.cli.mcp_session import Plan, Session
from deploy.history import documents
from deploy.terminal import command_line, output
from shared.jsontext import Json, JsonObject
from shared.mcp import ToolFault

TOOL: Final = "mcp"
"""The tool in audit records."""
MAX_PLANNED: Final = 500
"""The events of a replay, which are sent within the time that clients wait for a tool."""
PLAN_SECONDS: Final = 900


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
    plan_id = str(arguments["plan"])
    plan = session.plans.pop(plan_id, None)
    if plan is None or plan.until < time.time():
        raise ToolFault("there is no such plan (any more): a plan is run once. Make a new one with plan_replay")
    options = argparse.Namespace(**{**vars(session.options), **vars(plan.options)})
    with session.platform().state() as state:
        replay = events.Replay(records.Context(options, state, output.stdout_screen(), time.time()), plan.events, TOOL)
        try:
            replay.run()
        except (*command.EXPECTED, sqlite3.Error) as error:
            session.plans[plan_id] = dataclasses.replace(plan, events=replay.unsent)
            if not replay.sent:
                raise
            done = f"{len(replay.sent)} of {len(plan.events)} events were sent as replay {replay.id}"
            advice = "and perhaps a few more. The plan has the other events: run it again to send them"
            raise command_line.CommandError(f"{command.error_text(error)}. {done}, {advice}") from error
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
    destination = str(arguments["destination"])
    options = argparse.Namespace(**{**vars(session.options), "destination": destination, "seconds": seconds})
    result = pause.act_on_destination(name, options, act, TOOL)
    return {"destination": destination, "done": result.text, "deliveries": result.deliveries}
