"""A dry run of a change of subscribers sees the documents that the change would leave."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, strategies as st

from deploy.subscribers.operator_api import OverlayDocuments
from shared.store_ports import NO_VERSION, Document, Documents
from tests.fakes.documents import FakeDocuments

ids = st.sampled_from(["a", "b", "c", "d"])
operations = st.lists(
    st.tuples(st.sampled_from(["write", "create", "change", "lose", "delete", "drop"]), ids), max_size=12
)


async def applied(documents: Documents, steps: Sequence[tuple[str, str]]) -> list[bool]:
    answers = []
    for number, (step, id_) in enumerate(steps):
        found = await documents.get("p", id_)
        version = found.version if found else NO_VERSION
        if step in {"delete", "drop"}:
            answers.append(await documents.delete("p", id_, version if step == "drop" else None))
            continue
        expected = {"write": None, "create": NO_VERSION, "change": version, "lose": "another"}[step]
        answers.append(await documents.write("p", id_, f"text {number}", expected) is not None)
    return answers


def texts(found: Sequence[Document]) -> list[tuple[str, str]]:
    return [(each.id, each.text) for each in found]


@given(operations, operations, st.integers(1, 5), st.sampled_from(["", "a", "b"]), st.sampled_from(["", "c", "d"]))
def test_a_dry_run_sees_what_the_change_would_leave_and_leaves_nothing(
    before: list[tuple[str, str]], steps: list[tuple[str, str]], limit: int, after: str, until: str
) -> None:
    async def run() -> None:
        real, changed = FakeDocuments(), FakeDocuments()
        await applied(real, before)
        await applied(changed, before)
        kept = dict(real.kept)
        overlay = OverlayDocuments(real)
        assert await applied(overlay, steps) == await applied(changed, steps)
        found, expected = await overlay.page("p", limit, after, until), await changed.page("p", limit, after, until)
        assert texts(found) == texts(expected)
        assert real.kept == kept

    asyncio.run(run())
