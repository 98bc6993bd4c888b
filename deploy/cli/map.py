"""`hookchain map`: the sources, routes, steps and destinations of a configuration as one picture."""

import argparse

from deploy.cli.command import DONE, NOT_DONE, parser, report, run_command
from deploy.config.configured import add_configuration, configured
from deploy.explain.map.parts import matching, read_routing, rows_of
from deploy.explain.map.picture import arrange
from deploy.explain.map.svg import draw


def main(arguments: list[str]) -> int:
    command = parser("map")
    find_help = "draw only routes with this text in the name of a source, step, destination or the route"
    command.add_argument("--find", metavar="TEXT", help=find_help)
    command.add_argument("--group", action="store_true", help="draw one box for the routes of the same sources")
    add_configuration(command)
    options = command.parse_args(arguments)
    return run_command("map", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    routing = read_routing(configured(options).slices)
    found = matching(routing, options.find or "")
    rows = rows_of(found, is_grouped=options.group)
    if not found.routes and not found.sources and not found.destinations:
        report("map", f"no route, source, step or destination has the text {options.find!r}")
        return NOT_DONE
    svg = draw(arrange(found, rows))
    # Character references, because standard output may have another encoding than UTF-8.
    print(svg.encode("ascii", "xmlcharrefreplace").decode("ascii"), end="")
    return DONE
