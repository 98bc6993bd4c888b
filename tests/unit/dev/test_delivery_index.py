"""Mails and rows by the ids of their deliveries."""

import sqlite3
from contextlib import closing
from pathlib import Path

from deploy.dev.caught import DeliveryIndex, Sheet, open_caught
from deploy.dev.mail import MailRequest

IDS = [f"{number:064x}" for number in range(50)]


def test_to_look_for_many_deliveries_reads_each_row_once() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT INTO kept (text) VALUES (?)", [(f"\\b{each} and {IDS[0]}",) for each in IDS])
        read: list[int] = []

        def noted(row_id: int) -> int:
            read.append(row_id)
            return row_id

        connection.create_function("noted", 1, noted)
        index = DeliveryIndex(connection, "SELECT noted(id), text FROM kept WHERE id > ? ORDER BY id")
        assert [index.row_ids(each) for each in IDS[1:]] == [[number] for number in range(2, 51)]
        assert index.row_ids(IDS[0]) == list(range(1, 51))
        assert read == list(range(1, 51))
        connection.execute("INSERT INTO kept (text) VALUES (?)", (IDS[1],))
        assert index.row_ids(IDS[1]) == [2, 51]


def test_what_was_caught_of_a_delivery_is_counted_and_erased_while_more_comes(tmp_path: Path) -> None:
    sheet = Sheet("people", "Sheet1")
    with open_caught(tmp_path) as caught, open_caught(tmp_path) as writer:
        for each in IDS[:2]:
            writer.mailbox.keep([MailRequest("m", 1.0, f'{{"x": "{each}"}}', 1, (b"attached",))])
        assert [caught.count_of_delivery(each) for each in IDS[:3]] == [1, 1, 0]
        writer.sheets.append(sheet, [["Ada", IDS[0]]], 1.0)
        assert caught.count_of_delivery(IDS[0]) == 2
        caught.erase_delivery(IDS[0])
        assert [caught.count_of_delivery(each) for each in IDS[:2]] == [0, 1]
        assert (caught.mailbox.count(), caught.mailbox.attachment_content(1, 0)) == (1, None)
        caught.purge(2.0)
        assert [caught.count_of_delivery(each) for each in IDS[:2]] == [0, 0]
