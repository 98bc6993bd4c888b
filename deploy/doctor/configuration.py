"""Whether the configuration compiles."""

from collections.abc import Mapping
from pathlib import Path

from deploy.config.config_file import NAME as NO_FILE
from deploy.config.faults import ConfigFaults
from deploy.terminal.finding import Finding, ok, problem
from shared.jsontext import JsonObject


def configuration(path: Path | None, compiled: "Mapping[str, JsonObject] | ConfigFaults") -> Finding:
    if isinstance(compiled, ConfigFaults):
        if compiled.file == NO_FILE:
            return problem(compiled.faults[0].text(compiled.file), "set EMAIL_ADDRESS, or write deploy/hookchain.yaml")
        first = compiled.faults[0].text(compiled.file)
        more = f", and {len(compiled.faults) - 1} more" if len(compiled.faults) > 1 else ""
        return problem(f"{first}{more}", "hookchain lint tells every fault")
    counts = [(compiled["receive"]["sources"], "source"), (compiled["notify"]["destinations"], "destination")]
    said = ", ".join(
        f"{len(each)} {word}{'' if len(each) == 1 else 's'}" for each, word in counts if isinstance(each, dict)
    )
    return ok(f"{path or 'no file'}: {said}")
