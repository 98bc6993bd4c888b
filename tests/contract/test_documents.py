"""What every implementation of the Documents port, and its fake, must do."""

import asyncio
from pathlib import Path

import pytest

from shared.cloud.local.documents import LocalDocuments, purge_documents
from shared.errors import Temporary
from shared.store_ports import MAX_RECORD_BYTES, NO_VERSION, Document, Documents
from tests.contract.written_documents import NOW, TENANTS, texts_of, write

DAY = 86_400.0


async def test_a_document_is_none_before_its_first_write_and_then_as_the_last_one_left_it(documents: Documents) -> None:
    assert await documents.get(TENANTS, "acme") is None
    first = await documents.write(TENANTS, "acme", "one")
    assert first
    assert await documents.get(TENANTS, "acme") == Document("acme", "one", first)
    second = await documents.write(TENANTS, "acme", "two")
    assert second not in (None, first)
    assert await documents.get(TENANTS, "acme") == Document("acme", "two", second)


async def test_a_write_on_a_version_is_made_only_while_the_document_is_at_it(documents: Documents) -> None:
    first = await write(documents, "acme", "one")
    second = await documents.write(TENANTS, "acme", "two", first)
    assert second
    assert await documents.write(TENANTS, "acme", "late", first) is None
    assert await documents.get(TENANTS, "acme") == Document("acme", "two", second)


async def test_a_write_of_the_same_text_makes_another_version(documents: Documents) -> None:
    first = await write(documents, "acme", "one")
    second = await documents.write(TENANTS, "acme", "one", first)
    assert second not in (None, first)
    assert await documents.get(TENANTS, "acme") == Document("acme", "one", second or "")


async def test_a_write_on_no_version_is_made_only_where_there_is_no_document(documents: Documents) -> None:
    version = await documents.write(TENANTS, "acme", "one", NO_VERSION)
    assert version
    assert await documents.write(TENANTS, "acme", "two", NO_VERSION) is None
    assert await documents.write(TENANTS, "other", "two", version) is None
    assert texts_of(await documents.page(TENANTS, 10)) == ["one"]


async def test_of_writes_at_once_on_one_version_one_is_made(documents: Documents) -> None:
    version = await write(documents, "acme", "one")
    for expected, id in ((version, "acme"), (NO_VERSION, "new")):
        answers = await asyncio.gather(*(documents.write(TENANTS, id, f"text {n}", expected) for n in range(6)))
        [(number, made)] = [(number, each) for number, each in enumerate(answers) if each is not None]
        assert await documents.get(TENANTS, id) == Document(id, f"text {number}", made)


async def test_a_deleted_document_is_gone_and_a_new_one_in_its_place_is_another(documents: Documents) -> None:
    before = await write(documents, "acme", "one")
    assert await documents.delete(TENANTS, "acme")
    assert await documents.get(TENANTS, "acme") is None
    assert await documents.page(TENANTS, 10) == []
    await write(documents, "acme", "one")
    assert await documents.write(TENANTS, "acme", "late", before) is None
    assert not await documents.delete(TENANTS, "acme", before)


async def test_to_delete_on_a_version_deletes_that_one_only_and_says_whether_it_is_gone(documents: Documents) -> None:
    first = await write(documents, "acme", "one")
    second = await write(documents, "acme", "two")
    assert not await documents.delete(TENANTS, "acme", first)
    assert not await documents.delete(TENANTS, "acme", NO_VERSION)
    assert await documents.delete(TENANTS, "acme", second)
    assert [await documents.delete(TENANTS, "acme", each) for each in (None, second, NO_VERSION)] == [True] * 3


async def test_a_page_has_the_documents_of_its_partition_in_the_order_of_their_ids(documents: Documents) -> None:
    ids = ["a", "ep_1", "ep_10", "ep_2", "Z", "0", "a.b", "a-b", "a_b", "b"]
    for id in ids:
        await write(documents, id, id)
    for other in ("tenant", "tenants.a", "tenants-a", "tenantsa", "Tenants"):
        await write(documents, "a", "of another", other)
    in_order = sorted(ids)
    assert texts_of(await documents.page(TENANTS, 100)) == in_order
    assert texts_of(await documents.page(TENANTS, 4)) == in_order[:4]
    assert texts_of(await documents.page(TENANTS, 4, after=in_order[3])) == in_order[4:8]
    assert texts_of(await documents.page(TENANTS, 4, after=in_order[-1])) == []
    assert texts_of(await documents.page(TENANTS, 100, after="a", until="b")) == ["a-b", "a.b", "a_b"]
    assert texts_of(await documents.page(TENANTS, 100, until="Z")) == ["0"]
    assert texts_of(await documents.page(TENANTS, 100, after="b", until="a")) == []
    assert await documents.page("nobody", 100) == []


async def test_a_document_has_room_for_any_text_up_to_its_limit(documents: Documents) -> None:
    text = 'é"\\\n\0' + "x" * (MAX_RECORD_BYTES - 6)
    assert await documents.write(TENANTS, "acme", text)
    found = await documents.get(TENANTS, "acme")
    assert found is not None
    assert found.text == text


async def test_a_page_is_whole_however_large_its_documents_are(documents: Documents) -> None:
    """A store answers a megabyte or some at a time."""
    texts = ["small", *(f"{letter}" * MAX_RECORD_BYTES for letter in "abcdefgh"), "smallest"]
    for number, text in enumerate(texts):
        await write(documents, f"m{number}", text)
    assert texts_of(await documents.page(TENANTS, 100)) == texts
    assert texts_of(await documents.page(TENANTS, 7, after="m1")) == texts[2:9]


async def test_the_longest_names_have_documents_of_their_own(documents: Documents) -> None:
    partition, id = f"messages.{'t' * 100}", f"99999999999999-{'e' * 200}-0123abcd"
    for each in (id, f"{id}0"):
        assert await documents.write(partition, each, each)
    assert [each.id for each in await documents.page(partition, 10)] == [id, f"{id}0"]


async def test_a_document_is_there_until_its_time_at_least(documents: Documents) -> None:
    later = 4_000_000_000.0
    version = await documents.write(TENANTS, "acme", "one", NO_VERSION, later)
    assert version
    await documents.write(TENANTS, "other", "two", None, later + 0.5)
    assert texts_of(await documents.page(TENANTS, 10)) == ["one", "two"]
    assert await documents.write(TENANTS, "acme", "for good", version)
    assert texts_of(await documents.page(TENANTS, 10)) == ["for good", "two"]


# On this machine


async def test_documents_on_this_machine_outlive_the_process_and_are_shared_with_others(tmp_path: Path) -> None:
    one, other = (LocalDocuments(tmp_path / "documents.db") for _ in range(2))
    answers = await asyncio.gather(*(each.write(TENANTS, "acme", "x", NO_VERSION) for each in (one, other) * 10))
    assert len([each for each in answers if each is not None]) == 1
    one.close()
    other.close()
    later = LocalDocuments(tmp_path / "documents.db")
    assert texts_of(await later.page(TENANTS, 10)) == ["x"]
    later.close()


async def test_documents_that_nothing_is_written_after_are_purged_in_their_time(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    documents = LocalDocuments(path, now=lambda: NOW)
    for id, expires_at in (("over", NOW + 1), ("later", NOW + DAY), ("stays", None)):
        await documents.write(TENANTS, id, "one", None, expires_at)
    assert purge_documents(path, NOW + 2) == 1
    assert [each.id for each in await documents.page(TENANTS, 9)] == ["later", "stays"]
    documents.close()


async def test_a_file_that_cannot_be_written_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    documents = LocalDocuments(tmp_path / "state" / "documents.db")
    for done in (documents.write(TENANTS, "acme", "one"), documents.page(TENANTS, 1), documents.get(TENANTS, "acme")):
        with pytest.raises(Temporary, match=r"documents\.db cannot be") as error:
            await done
        assert error.value.code == "documents_unavailable"
