"""Text on one line, whatever a sender wrote."""

import re
from typing import Final

# Line breaks in every form that some reader takes for one, all other controls, and lone halves of surrogate pairs.
UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def oneline(value: object) -> str:
    """Return the value as one line: the filter in `{{ data.title | oneline }}`."""
    return " ".join(UNFIT.sub(" ", str(value)).split())
