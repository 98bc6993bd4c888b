"""What `hookchain dev` says once it is up: where to send, where to look, and a line to try."""

from deploy.config.dev_file import Hint
from deploy.config.ports import HOST
from deploy.dev.supervisor.setup import Setup
from deploy.requests.command_lines import first_event_line, first_event_line_without_secret
from deploy.requests.events import sample_beside
from deploy.requests.sender_settings import source_lines
from deploy.requests.sources import compiled_sources
from shared.secrets import variable_name


def hint(setup: Setup) -> Hint:
    """Return what others may read: the page shows it, and every local user may reach the page on some systems."""
    slices, sample = setup.configuration.slices, sample_beside(setup.configuration.path)
    trial = first_event_line_without_secret(slices, setup.ports, sample)
    return Hint(trial or "", tuple(source_lines(compiled_sources(slices["receive"]), setup.ports)))


def news(before: Setup, after: Setup) -> list[str]:
    """What a person must know of a new configuration: which it is, where to send now, what was made up."""
    lines = []
    if after.configuration.path != before.configuration.path:
        lines.append(f"the configuration is now {after.configuration.title}")
    known = _sources_each(before)
    lines += [f"point senders at {line}" for line in _sources_each(after) if line not in known]
    if after.made:
        lines.append(f"made up and kept in {after.options.env_file}: {', '.join(map(variable_name, after.made))}")
    return lines


def _sources_each(setup: Setup) -> list[str]:
    """Each as it would stand alone: in a column, a longer name moves all the others."""
    sources = compiled_sources(setup.configuration.slices["receive"])
    return [line for name, source in sources.items() for line in source_lines({name: source}, setup.ports)]


def banner(setup: Setup, seconds: float) -> str:
    told = hint(setup)
    lines = ["", f"Hookchain is up, after {seconds:.1f} s. Configuration: {setup.configuration.title}", ""]
    lines += ["  Point senders at:", *(f"    {line}" for line in told.sources), ""]
    lines += ["  Watch what happens:", f"    http://{HOST}:{setup.ports.inspector}", ""]
    slices, sample = setup.configuration.slices, sample_beside(setup.configuration.path)
    if trial := first_event_line(slices, setup.ports, setup.environ, sample):
        lines += ["  Try it:", f"    {trial}", ""]
    if setup.made:
        lines += [f"  Made up and kept in {setup.options.env_file}: {', '.join(map(variable_name, setup.made))}", ""]
    if setup.short:
        lines += [f"  Short enough to guess: {', '.join(map(variable_name, setup.short))}. Take 16 characters.", ""]
    if setup.is_env_file_exposed:
        lines += [f"  Other users can read the secrets in {setup.options.env_file}: chmod 600 it.", ""]
    mails = "are sent for real" if setup.options.send_mail else "are kept and shown on the page, not sent"
    return "\n".join([*lines, f"  Mails {mails}. Ctrl-C stops everything.", ""])
