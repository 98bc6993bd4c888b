"""JSON values for property tests."""

from hypothesis import strategies as st

from shared.jsontext import Json

SCALAR_LOOKALIKES = "no Yes null ~ 1e3 012 0o17 1:30 2026-03-01 << = #"
texts = st.text() | st.sampled_from([*SCALAR_LOOKALIKES.split(), "- a", "a: b", "a\nb\n", " x"])
floats = st.floats(allow_nan=False, allow_infinity=False)


def values_of(scalars: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=25)


json_values = values_of(st.none() | st.booleans() | st.integers() | floats | texts)
