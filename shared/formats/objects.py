"""Objects made entry by entry from what a sender wrote."""

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject
from shared.limits import Limits


def put(made: JsonObject, key: str, value: Json, limits: Limits) -> None:
    """Raises Rejected: `dup_key` for a key that is there, `nodes` for a key too long or one too many."""
    if key in made:
        raise Rejected("dup_key", "an object has the same key twice")
    _verify_key(made, key, limits)
    made[key] = value


def gather(made: JsonObject, key: str, value: Json, limits: Limits) -> None:
    """A key's second value makes a list of both. `value` itself is no list. Raises Rejected (`nodes`)."""
    if key not in made:
        _verify_key(made, key, limits)
        made[key] = value
        return
    before = made[key]
    if isinstance(before, list):
        before.append(value)
    else:
        made[key] = [before, value]


def _verify_key(made: JsonObject, key: str, limits: Limits) -> None:
    if len(key) > limits.max_key_characters:
        raise Rejected("nodes", f"a key is longer than {limits.max_key_characters} characters")
    if len(made) >= limits.max_keys:
        raise Rejected("nodes", f"an object has more than {limits.max_keys} keys")
