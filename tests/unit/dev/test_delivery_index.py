"""Mails and rows by the ids of their deliveries."""

import sqlite3
from contextlib import closing
from pathlib import Path

from deploy.dev.caught import Sheet, open_caught
from deploy.dev.mail import MailRequest

IDS = [f"{number:064x}" for number in range(50)]


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
        with closing(sqlite3.connect(tmp_path / "mail.db")) as file:  # what was attached is gone from the file too
            assert file.execute("SELECT count(*) FROM attachment").fetchone() == (1,)
        caught.purge(2.0)
        assert [caught.count_of_delivery(each) for each in IDS[:2]] == [0, 0]


def test_to_look_for_many_deliveries_reads_what_was_caught_once(tmp_path: Path) -> None:
    ids = [f"{number:064x}" for number in range(300)]
    steps: list[None] = []
    with open_caught(tmp_path) as caught:
        caught.mailbox.keep([MailRequest(each, 1.0, f'{{"x": "{each}"}}', 1) for each in ids])
        caught.mailbox._db.set_progress_handler(lambda: steps.append(None), 1_000)
        assert sum(map(caught.count_of_delivery, ids)) == 300
        assert len(steps) < 100  # thousand steps of SQLite; to read all for each delivery takes four times as many
